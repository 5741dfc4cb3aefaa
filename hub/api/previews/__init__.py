"""Previews, renders, samples, try-outs and workers in the API."""
