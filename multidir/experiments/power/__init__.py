"""Outcomes of known mechanisms, simulated: how often a study of a given size is right."""
