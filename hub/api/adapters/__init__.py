"""Adapters, aliases and look-up by hash in the API."""
