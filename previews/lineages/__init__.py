"""Measured lineages: which base model an adapter fits, by its author's pictures."""
