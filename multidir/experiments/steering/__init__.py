"""Steering with one direction at a time: grids of windows, doses and blocks, baselines, and the rules on them."""
