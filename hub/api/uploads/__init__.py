"""Uploads and inspection in the API."""
