"""Rendered pictures and their smaller forms."""
