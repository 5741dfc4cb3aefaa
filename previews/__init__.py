"""Previews: recipes, renders and their pictures."""
