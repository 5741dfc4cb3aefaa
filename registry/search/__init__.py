"""Search for adapters: documents of normalised words, the query language, ranking, corrections."""
