"""Reads claims: how a picture was made, and with which files.

Each tool has its own format; all become ``facts.Facts``. The claims are not verified, so every
value is text or a number within limits.
"""
