"""Floor 2: tables to inference."""
