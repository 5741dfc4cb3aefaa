"""Adapter files on a loaded base: read, brought into one form, written into its weights."""
