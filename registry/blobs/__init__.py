"""Stored bytes: how they are promoted, moved between stores and looked up by hash."""
