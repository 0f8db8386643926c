"""Floor 4: frames to pictures, tables and sentences."""
