"""From problems to traces, labels and stored activations, written here or published."""
