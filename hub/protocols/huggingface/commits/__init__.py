"""Commits that Hub clients push."""
