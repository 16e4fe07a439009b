"""Finding directions in a store, and how they lie, separate, decode and follow from the planted causes."""
