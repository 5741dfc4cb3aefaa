"""Metadata claims about the base model, the training, trigger words and the strength."""
