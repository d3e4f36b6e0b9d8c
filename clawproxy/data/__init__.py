"""Files that the program reads from its own package."""
