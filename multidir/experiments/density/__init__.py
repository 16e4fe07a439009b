"""Where along a trace the projection on a direction rises, and which tokens are there."""
