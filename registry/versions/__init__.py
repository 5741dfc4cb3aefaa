"""Versions: their contents and revisions, publication, and withdrawal."""
