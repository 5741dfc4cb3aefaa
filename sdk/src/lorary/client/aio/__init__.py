"""The client of a hub for asyncio."""
