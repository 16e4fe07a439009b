"""From a design to outcomes, from outcomes to estimates, from estimates to verdicts."""
