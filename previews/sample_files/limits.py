"""What a picture may be and what reading it may cost."""

from __future__ import annotations

__all__ = [
    "MAX_FILM_BYTES", "MAX_FRAMES", "MAX_PICTURE_BYTES", "MAX_PIXELS", "MAX_SECONDS", "MAX_SIDE",
    "MAX_TEXT_BYTES", "MIB",
]  # fmt: skip

MIB = 1024 * 1024

MAX_PICTURE_BYTES = 20 * MIB
MAX_FILM_BYTES = 64 * MIB

#: Of a still picture; libwebp and libjpeg go to 16,383 and 65,535 pixels a side.
MAX_PIXELS = 40_000_000
MAX_SIDE = 16_383

#: Of whatever moves: 1080p, either way round, 60 frames a second.
MAX_FILM_PIXELS = 1920 * 1088
MAX_SECONDS = 20
MAX_FRAMES = 1_200

#: Texts of a file together, unpacked; workflows of ComfyUI reach a megabyte.
MAX_TEXT_BYTES = 4 * MIB

#: Of the process that reads: address space, seconds of CPU, seconds by the clock, bytes a file.
MEMORY_BYTES = 1536 * MIB
CPU_S = 60
WALL_S = 120
WRITE_BYTES = 64 * MIB
