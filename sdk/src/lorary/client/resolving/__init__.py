"""Finds the adapters that pictures and workflows name: here, on the hub, or nowhere.

```
read    pictures, workflows, texts ─▶ references (lorary.pictures)
known   what the hub has of them, by hash or by name
local   what folders and the cache have of them, by hash or by name
```

A hash decides: a file of the same name with another hash is another file. Names count only where
no hash is known.
"""
