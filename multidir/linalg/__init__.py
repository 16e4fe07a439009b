"""Pure array mathematics: moments, contrasts, angles and bases, for numpy arrays and torch tensors alike."""
