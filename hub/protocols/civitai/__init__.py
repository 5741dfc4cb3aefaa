"""Civitai's API, version 1: reading and downloading by its shapes.

Nothing is written through this door. Numbers are ours: a model is an adapter, a model version a
version, a post a render.
"""
