"""Every write of the previews, one noun a file."""
