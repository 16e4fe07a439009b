"""Directions in the formats of other programs: control vectors, steering vectors, SAE decoders, steering servers."""
