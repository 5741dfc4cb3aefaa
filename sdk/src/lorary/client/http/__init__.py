"""HTTP requests to a hub: retries, redirects and JSON responses."""
