"""Two versions, of one adapter or of two, side by side."""
