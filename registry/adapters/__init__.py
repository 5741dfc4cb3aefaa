"""Adapters: creating and editing them, finding and listing them."""
