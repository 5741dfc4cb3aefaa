"""Base models of a worker: the bases file, checks, opened pipelines."""
