"""The site: views, one noun a file."""
