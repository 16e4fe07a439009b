"""One direction finder per file: each reads an activation store and gives directions."""
