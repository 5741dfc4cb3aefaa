"""What the metadata of a picture claim: how it was made, and with which files.

Each tool writes in a form of its own; all become ``facts.Facts``. Nothing here is proven: whoever
writes a file can write anything into it, so every value is text or a number within limits.
"""
