"""Help: how to use adapters with each tool."""
