"""Metadata: rules for files that are made of others, ModelSpec, and rewriting of headers."""
