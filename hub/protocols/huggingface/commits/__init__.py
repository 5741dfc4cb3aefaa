"""Commits as Hub clients push them."""
