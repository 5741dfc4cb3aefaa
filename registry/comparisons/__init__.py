"""Comparisons of the weights of two versions, computed on demand."""
