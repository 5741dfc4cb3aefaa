"""Uploads: bytes on their way in, until they are accepted or refused."""
