"""API of packs."""
