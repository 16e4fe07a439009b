"""Linear probes: what is known where, how early, and beside what text alone tells."""
