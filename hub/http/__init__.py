"""HTTP code shared by all interfaces: problems, delivery, caching, limits."""
