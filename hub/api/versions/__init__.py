"""Versions and their files in the API."""
