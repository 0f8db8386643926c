"""Shipped data: languages, the quickstart study, the built-in analysis plan."""
