"""Server-rendered pages, one noun per file. Views read selectors and call services."""
