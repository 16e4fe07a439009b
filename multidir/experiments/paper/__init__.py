"""What the paper claims and published, and our numbers beside it."""
