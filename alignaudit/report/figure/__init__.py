"""One figure per module."""
