"""Renders: jobs that apply a recipe to a version or a stack."""
