"""Computing with updates and their factors."""
