"""Publishes the adapters of a folder with what their headers and sidecars say.

```
fields    header, sidecars, names ─▶ a value for each field, with source and confidence
plan      files of the index ─▶ adapters and their versions; nothing is sent
publish   plan ─▶ versions on the hub; the journal says what is done
```

A version is published once: the journal and the hub are asked for its sha256 before. Details of an
adapter are set when it is created and never again, so that edits on the hub stay.
"""
