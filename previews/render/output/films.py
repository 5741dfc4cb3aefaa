"""Encodes videos as H.264 in MP4, which all browsers play and seek, with their recipe.

The container has the same two texts as a PNG, as tags: ``parameters`` and ``lorary``. One thread
encodes, so that the same frames give the same bytes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av

from previews.render.output.images import Caption
from previews.render.pictures import Film

if TYPE_CHECKING:
    from PIL import Image

MEDIA_TYPE = "video/mp4"
#: Frames per second if the recipe has none.
FPS = 8
#: Quality: hardly any difference is visible. x264's macroblock tree gives other bytes from time to
#: time for the same frames.
_CODEC = {"preset": "medium", "crf": "16", "x264-params": "mbtree=0"}
#: Other tags than the usual ones are kept.
_CONTAINER = {"movflags": "+faststart+use_metadata_tags"}


def encode(frames: Sequence[Image.Image], fps: int, text: Caption) -> Film:
    """Return a video of frames with even sides, the same bytes for the same frames and texts."""
    rate = fps or FPS
    with tempfile.TemporaryDirectory() as folder:  # faststart reads the file again
        file = Path(folder) / "film.mp4"
        _write(file, frames, rate, text)
        return Film(file.read_bytes(), MEDIA_TYPE, len(frames), rate)


def _write(file: Path, frames: Sequence[Image.Image], rate: int, text: Caption) -> None:
    with av.open(file, "w", format="mp4", options=_CONTAINER) as container:
        container.metadata["parameters"] = text.parameters
        container.metadata["lorary"] = json.dumps(text.document, sort_keys=True)
        track = container.add_stream("libx264", rate=rate, options=_CODEC)
        track.thread_count = 1
        track.pix_fmt = "yuv420p"
        track.width, track.height = frames[0].size
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_image(picture.convert("RGB"))
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(track.encode(frame))
        container.mux(track.encode())
