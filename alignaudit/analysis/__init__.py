"""Floor 3: the analysis layer. Reads records, never a model."""
