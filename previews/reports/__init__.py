"""Look reports of versions: requests, states, pictures, and comparison of two versions."""
