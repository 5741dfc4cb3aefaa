"""Merging: exact sums of adapters, and the ways that work on elements."""
