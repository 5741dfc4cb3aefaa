"""The site and all doors of Lorary."""
