"""Everything that may be worth steering: found, measured and ordered."""
