"""The site: server-rendered pages, one noun a file. Views read selectors and call services."""
