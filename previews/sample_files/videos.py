"""Whatever moves: decoded within limits, made silent, encoded as H.264 in MP4.

A container is opened as what its first bytes say and from memory, so that no demuxer for lists of
other files, and no network, comes into play.
"""

from __future__ import annotations

import io
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError
from PIL import Image

from previews.sample_files.containers import Parts, require_pixels
from previews.sample_files.formats import (
    MAX_FILM_PIXELS,
    MAX_FRAMES,
    MAX_SECONDS,
    Format,
    Refused,
    Why,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    #: Makes a picture, and the second at which it ends; most of a fast video are never made.
    Moment = tuple[Callable[[], Image.Image], float]

__all__ = ["frames_of_film", "frames_of_webp", "save"]

#: Longest side of what is served, and frames a second.
SERVED_SIDE, SERVED_FPS = 1280, 30
#: Ticks of a second, in which each frame says when it is shown.
TICKS = 1000

_DEMUXERS = {Format.MP4: "mov", Format.WEBM: "matroska"}
_CODECS = {"h264", "hevc", "vp8", "vp9", "av1"}
_ENCODER = {"preset": "superfast", "crf": "21", "maxrate": "8M", "bufsize": "16M"}


def frames_of_film(kind: Format, data: bytes, tags: dict[str, str]) -> Iterator[Moment]:
    """Yield the pictures of a video, each with the second at which it ends.

    Args:
        kind: MP4 or WebM.
        data: The whole file.
        tags: Gets the texts of the container.

    Raises:
        Refused: it is not sound, too long, too large, or of another codec.
    """
    try:
        with av.open(
            io.BytesIO(data), "r", format=_DEMUXERS[kind], metadata_errors="replace"
        ) as container:
            tags.update(_texts(container.metadata))
            yield from _decoded(container, _picture_of(container))
    except (FFmpegError, EOFError) as error:
        raise Refused(Why.DAMAGED) from error


def _texts(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key.casefold(): value for key, value in metadata.items()}


def _picture_of(container: InputContainer) -> VideoStream:
    """Return the first stream of pictures, once its header is within the limits."""
    if not container.streams.video:
        raise Refused(Why.BLANK)
    stream = container.streams.video[0]
    name = stream.codec_context.name if stream.codec_context is not None else "?"
    if name.removeprefix("lib").partition("-")[0] not in _CODECS | {"dav1d", "vpx"}:
        raise Refused(Why.CODEC, codec=name)
    require_pixels(stream.width, stream.height, limit=MAX_FILM_PIXELS)
    lengths = [stream.duration * stream.time_base] if stream.duration and stream.time_base else []
    lengths += [Fraction(container.duration, av.time_base)] if container.duration else []
    _require_short(float(max(lengths, default=Fraction(0))))
    stream.thread_count = 1
    return stream


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[Moment]:
    """Yield pictures; what the header said of size and length is measured again."""
    usual = 1 / float(stream.average_rate or 25)
    began: float | None = None
    for count, frame in enumerate(container.decode(stream)):
        if count >= MAX_FRAMES:
            raise Refused(Why.FRAMES, limit=MAX_FRAMES)
        require_pixels(frame.width, frame.height, limit=MAX_FILM_PIXELS)
        at = frame.time if frame.time is not None else count * usual
        began = at if began is None else began
        ends = at - began + usual
        _require_short(ends - usual)
        yield partial(_picture, frame), ends


def _picture(frame: VideoFrame) -> Image.Image:
    """Return a frame as people see it: cameras write down how they were held."""
    width, height = _even((frame.width, frame.height))
    picture: Image.Image = frame.to_image(width=width, height=height)
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture


def frames_of_webp(parts: Parts) -> Iterator[Moment]:
    """Yield the pictures of an animated WebP on white, each with the second at which it ends.

    Raises:
        Refused: it cannot be decoded.
    """
    ends = 0.0
    try:
        with Image.open(io.BytesIO(parts.picture), formats=["WEBP"]) as picture:
            for number, duration_ms in enumerate(parts.durations_ms):
                picture.seek(number)
                picture.load()
                ends += duration_ms / 1000
                yield partial(_on_white, picture), ends
    except (OSError, EOFError) as error:
        raise Refused(Why.DAMAGED) from error


def _on_white(picture: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")


def _require_short(seconds: float) -> None:
    if not seconds <= MAX_SECONDS + 0.5:  # half a second: containers round; NaN is no length
        raise Refused(Why.LENGTH, seconds=round(min(seconds, 1e9)), limit_s=MAX_SECONDS)


def save(frames: Iterable[Moment], file: Path) -> tuple[Image.Image, tuple[int, int]]:
    """Write an MP4 and return the first picture with the size of what was written.

    Raises:
        Refused: there is no picture in it.
    """
    first: Image.Image | None = None
    size = (0, 0)
    with av.open(file, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=SERVED_FPS, options=_ENCODER)
        stream.thread_count = 1
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        for picture, tick in _thinned(frames):
            if first is None:
                first, size = picture, _even(picture.size)
                stream.width, stream.height = size
            frame = av.VideoFrame.from_image(picture.resize(size))
            frame.pts, frame.time_base = tick, Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        if first is None:
            raise Refused(Why.BLANK)
        container.mux(stream.encode())
    return first, size


def _thinned(frames: Iterable[Moment]) -> Iterator[tuple[Image.Image, int]]:
    """Yield at most ``SERVED_FPS`` pictures a second with their ticks, the last one twice.

    The second time is where it ends: an MP4 has no other word for how long it is to be seen.
    """
    began, next_at = 0.0, 0.0
    picture: Image.Image | None = None
    for make, ends in frames:
        if began >= next_at - 0.002:
            picture = make()
            yield picture, round(began * TICKS)
            next_at = began + 1 / SERVED_FPS
        began = ends
    if picture is not None and began > next_at + 1 / SERVED_FPS:
        yield picture, round((began - 1 / SERVED_FPS) * TICKS)


def _even(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size that is served: small enough, and even, as 4:2:0 wants it."""
    scale = min(1.0, SERVED_SIDE / max(size))
    width, height = (max(2, round(side * scale / 2) * 2) for side in size)
    return width, height
