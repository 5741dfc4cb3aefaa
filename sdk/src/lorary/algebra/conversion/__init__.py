"""Converts adapters between namings, with a certificate."""
