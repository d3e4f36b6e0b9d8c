"""The manual against the program."""
