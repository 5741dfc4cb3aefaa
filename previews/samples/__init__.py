"""Samples: pictures and videos that owners add to a version's gallery."""
