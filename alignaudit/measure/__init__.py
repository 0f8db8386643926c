"""Floor 2: arrays to numbers. No model, no file, no torch."""
