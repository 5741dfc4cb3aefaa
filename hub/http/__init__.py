"""HTTP code that all interfaces share: problems, delivery, caching, limits."""
