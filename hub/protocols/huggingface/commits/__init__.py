"""Commits that Hugging Face clients push."""
