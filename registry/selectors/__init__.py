"""Every non-trivial read of the catalogue; what a user may not see is absent."""
