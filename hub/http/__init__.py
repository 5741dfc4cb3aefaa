"""What all doors share of HTTP: problems, delivery, caching, limits."""
