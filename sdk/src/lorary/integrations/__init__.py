"""Packs in other libraries."""
