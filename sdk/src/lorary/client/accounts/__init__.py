"""Signing in by browser; tokens in the keyring of the operating system."""
