"""Floor 2: arrays to inference; contrasts of paired runs, their tests and their intervals."""
