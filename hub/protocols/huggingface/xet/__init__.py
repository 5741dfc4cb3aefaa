"""Xet uploads, by which Hugging Face's default client sends large files.

A client cuts files into chunks, packs chunks into xorbs, sends these, and then a shard that lists
the chunks of each file. The hub assembles the files when the shard arrives, and keeps no chunks.
``xorbs`` and ``shards`` read the formats, ``staging`` stores xorbs until then, ``assembling``
assembles files, ``endpoints`` has the views and the upload permissions.

Source: the Xet protocol specification of huggingface/xet-core, ``spec/``.
"""
