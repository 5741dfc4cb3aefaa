"""Covers of adapters: their selection, the owner's choice, and the drawing without a picture."""
