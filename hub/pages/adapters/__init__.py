"""The page of an adapter and what its owner does there."""
