"""Aliases: names that an owner moves from version to version."""
