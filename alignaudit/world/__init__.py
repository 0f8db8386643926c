"""Floor 2: the embedded default, a synthetic multilingual world."""
