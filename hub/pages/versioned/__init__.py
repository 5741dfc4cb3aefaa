"""Pages that adapters and packs share, because both have versions."""
