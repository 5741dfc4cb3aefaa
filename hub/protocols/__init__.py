"""Dialects of other hubs, spoken over the same services."""
