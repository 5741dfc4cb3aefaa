"""Captioned pictures of a small world, each drawn from one seed."""
