"""What notebooks show of the values that a hub returns."""
