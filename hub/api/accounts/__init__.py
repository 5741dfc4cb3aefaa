"""Accounts, tokens and authentication in the API."""
