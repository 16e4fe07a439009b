"""What can be done to the residual stream, one operator per file."""
