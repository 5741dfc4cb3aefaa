"""Renders of packs: recipes of their variants, and the cover sheets of their versions."""
