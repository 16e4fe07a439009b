"""Bytes to nouns and back: atomic files, tables, direction sets, run folders, the activation store."""
