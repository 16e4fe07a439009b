"""Pure statistics: estimates with intervals, resampled by cluster, with a generator that is always passed in."""
