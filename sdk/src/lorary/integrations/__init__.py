"""Adapters and packs in other libraries."""
