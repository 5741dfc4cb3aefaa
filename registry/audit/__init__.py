"""The audit log: reading, exporting and removing events."""
