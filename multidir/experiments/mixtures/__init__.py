"""Learned mixtures of directions, and the contest that they enter."""
