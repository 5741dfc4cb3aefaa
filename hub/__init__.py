"""The web application of Lorary: pages, API and protocols."""
