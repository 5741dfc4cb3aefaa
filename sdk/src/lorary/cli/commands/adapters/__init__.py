"""Commands on adapters and their versions."""
