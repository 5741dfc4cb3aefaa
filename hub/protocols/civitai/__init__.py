"""Civitai's API, version 1: reading and downloading.

The API is read-only. Ids are Lorary's own: a model is an adapter, a model version a version, a post
a render.
"""
