"""Checks of a file's texts and hashes, and the findings they report."""
