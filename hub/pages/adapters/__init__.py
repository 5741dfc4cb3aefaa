"""The page of an adapter, and its owner's forms."""
