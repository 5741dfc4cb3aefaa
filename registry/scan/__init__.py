"""Reads an uploaded file once: its checks, hashes and value digests."""
