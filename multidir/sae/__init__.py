"""Sparse autoencoders: exact-sparse training from the store, the SAELens format, and what a dictionary is worth."""
