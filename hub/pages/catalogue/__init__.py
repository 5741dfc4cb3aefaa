"""Finding adapters: home page, search, profiles."""
