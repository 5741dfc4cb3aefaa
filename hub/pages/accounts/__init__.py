"""Pages of accounts: signing in, tokens, settings."""
