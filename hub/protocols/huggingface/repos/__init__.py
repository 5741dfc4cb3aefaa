"""Repositories as Hub clients read and manage them."""
