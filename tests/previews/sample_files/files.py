"""Pictures and videos made in code, sound ones and hostile ones."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def photo(width: int = 96, height: int = 64) -> Image.Image:
    """A picture of more colours than a palette has, dark on the left and red at the bottom."""
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    return Image.merge("RGB", (down, across, across))


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*extra: bytes, picture: Image.Image | None = None, size: tuple[int, int] = (0, 0)) -> bytes:
    """A PNG with further chunks behind its header, which may lie about the size."""
    plain = encoded(picture or photo(), "PNG")
    head, rest = plain[8:33], plain[33:]
    if any(size):
        head = chunk(b"IHDR", struct.pack(">II", *size) + head[16:21])
    return SIGNATURE + head + b"".join(extra) + rest


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP of the given chunks."""
    body = b"WEBP"
    for name, data in chunks:
        body += name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def animation(durations_ms: Sequence[int] = (100, 100, 100)) -> bytes:
    frames = [photo().rotate(90 * number) for number in range(len(durations_ms))]
    options = {"append_images": frames[1:], "duration": list(durations_ms)}
    return encoded(frames[0], "WEBP", save_all=True, **options)


def film(
    seconds: float = 0.5,
    *,
    fps: int = 10,
    size: tuple[int, int] = (64, 48),
    kind: str = "mp4",
    codec: str = "libx264",
    tags: dict[str, str] | None = None,
) -> bytes:
    """A video whose pictures are told apart by their brightness."""
    stream = io.BytesIO()
    options = {"movflags": "use_metadata_tags"} if kind == "mp4" else {}
    with av.open(stream, "w", format=kind, options=options) as container:
        container.metadata.update(tags or {})
        track = container.add_stream(codec, rate=fps)
        assert isinstance(track, VideoStream)
        track.width, track.height, track.pix_fmt = *size, "yuv420p"
        count = round(seconds * fps)
        for number in range(count):
            grey = 40 + 180 * number // count
            frame = av.VideoFrame.from_image(Image.new("RGB", size, (grey, grey, 60)))
            container.mux(track.encode(frame))
        container.mux(track.encode())
    return stream.getvalue()


def sound() -> bytes:
    """A QuickTime file in which nothing is to be seen."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mov") as container:
        track = container.add_stream("pcm_s16le", rate=8000)
        assert isinstance(track, AudioStream)
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(track.encode(frame))
    return stream.getvalue()
