"""Renders: a recipe applied to a version or a stack."""
