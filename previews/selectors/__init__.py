"""Every non-trivial read of the previews; what a user may not see is absent."""
