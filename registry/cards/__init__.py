"""Adapter cards: README.md, its front matter, and its HTML."""
