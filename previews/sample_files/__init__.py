"""Checks, decodes and re-encodes untrusted pictures and videos, without Django.

```
sandbox.read ──▶ reader (a process with resource limits)
                   ├── formats    file type from the first bytes, limits, reasons for refusal
                   ├── png jpeg webp mp4_boxes    size and structure, checked before decoding
                   ├── stills     → WebP, in sRGB, upright, without metadata
                   ├── videos     → H.264 in MP4 and a poster, without sound
                   └── claims     what the metadata claims: prompt, seed, adapters by hash
```

The original file is never served.
"""
