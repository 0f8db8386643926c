"""Floor 3: the analysis layer. Reads long tables, never a model, and concludes."""
