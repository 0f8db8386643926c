"""Floor 1: the nouns of the project and the files they are kept in."""
