"""Recipes: the prompts, seeds and strengths that versions are rendered with."""
