"""Rendered pictures and videos, and the recipes inside them."""
