"""Commands on files that are here: what they are, and where they come from."""
