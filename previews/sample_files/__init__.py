"""Pictures and short videos of anybody: judged, decoded and encoded again, without Django.

```
sandbox.read ──▶ reader (a process of its own, within limits of the kernel)
                   ├── formats    what the first bytes are; what is not taken is refused by name
                   ├── png jpeg webp boxes    taken apart and measured before a decoder sees them
                   ├── stills     → WebP, in sRGB, upright, without metadata
                   ├── films      → H.264 in MP4 and a poster, silent
                   └── claims     what the metadata say: prompt, seed, adapters by hash
```

What is served is never what was sent.
"""
