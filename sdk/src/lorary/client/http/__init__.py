"""Requests to a hub: sent, repeated, redirected, and their JSON answers."""
