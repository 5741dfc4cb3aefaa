"""Pages for signing in, tokens and settings."""
