"""Training sparse dictionaries, and what they are worth."""
