"""Uploads: files that are being received and checked."""
