"""Publication: versions that are made of uploads, with their card."""
