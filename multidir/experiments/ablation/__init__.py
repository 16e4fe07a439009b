"""Directions taken out: what goes, what stays, what can still be read."""
