"""Recognises copies and relatives of adapters by sketches of their weights."""
