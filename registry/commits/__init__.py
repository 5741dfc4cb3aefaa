"""Commits: revisions that are made of changed files."""
