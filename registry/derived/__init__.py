"""Derived files: weights in another naming, of a smaller rank, or without training metadata."""
