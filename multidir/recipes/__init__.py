"""Finding, configuring and running recipes: the short files in `data/`, `train/` and `analysis/`."""
