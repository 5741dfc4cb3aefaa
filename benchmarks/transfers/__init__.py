"""Benchmarks of uploads and downloads: by the web, by the API, and by clients."""
