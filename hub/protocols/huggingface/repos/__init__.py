"""Repositories, for Hub clients."""
