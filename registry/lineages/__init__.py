"""Lineages that operators know by hash or number."""
