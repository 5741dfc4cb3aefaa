"""Finding adapters: the first page, search, profiles."""
