"""Server-rendered pages, one noun per module. Views read selectors and call services."""
