"""APIs of other hubs, on top of the same services."""
