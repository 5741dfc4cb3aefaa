"""Repositories, for Hugging Face clients."""
