"""What pictures, videos and workflows say about how they were made. No Django, no decoder.

```
metadata.texts_in(file) ─▶ texts by keyword
   ├── png  jpeg  webp  mp4  webm    the parts of a file, within limits
   └── exif                          the texts in Exif
claims ─▶ prompt, seed, adapters by hash or name
```

The server checks samples with the same parts before it decodes them.
"""
