"""Reads adapter files and applies them to the weights of a loaded base."""
