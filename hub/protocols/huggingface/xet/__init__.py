"""The upload half of Xet, which the Hub's default client sends every large file through.

A client cuts files into chunks, packs chunks into xorbs, sends these, and then a shard that says
which chunks make up which file. Nothing of it is kept: files are put together when the shard comes.
``xorbs`` and ``shards`` read the formats, ``staging`` keeps xorbs meanwhile, ``assembling`` makes
files of them, ``grants`` says who may send, ``endpoints`` speaks HTTP.

Source: the Xet protocol specification of huggingface/xet-core, ``spec/``.
"""
