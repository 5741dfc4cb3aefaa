"""Previews, galleries and try-outs on pages."""
