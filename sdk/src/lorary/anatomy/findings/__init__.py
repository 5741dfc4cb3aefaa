"""Findings, and the checks of texts and hashes."""
