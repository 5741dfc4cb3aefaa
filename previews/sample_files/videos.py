"""Decodes videos and animations within limits and encodes them as H.264 in MP4, without sound.

A container is opened from memory with the demuxer for its first bytes, so that no demuxer opens
other files or the network.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
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
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    #: A function that makes the picture of a frame, and the second at which the frame ends.
    Moment = tuple[Callable[[], Image.Image], float]

#: Maximum side and frames per second of a served video.
SERVED_SIDE, SERVED_FPS = 1280, 30
#: Time base: ticks per second.
TICKS = 1000

_DEMUXERS = {Format.MP4: "mov", Format.WEBM: "matroska"}
_CODECS = {"h264", "hevc", "vp8", "vp9", "av1"}
_ENCODER = {"preset": "superfast", "crf": "21", "maxrate": "8M", "bufsize": "16M"}


def frames_of_film(kind: Format, data: bytes) -> Iterator[Moment]:
    """Yield the frames of a video.

    Raises:
        Refused: it is damaged, too long, too large, or has another codec.
    """
    try:
        with av.open(
            io.BytesIO(data), "r", format=_DEMUXERS[kind], metadata_errors="replace"
        ) as container:
            yield from _decoded(container, _picture_of(container))
    except (FFmpegError, EOFError) as error:
        raise Refused(Why.DAMAGED) from error


def _picture_of(container: InputContainer) -> VideoStream:
    """Return the first video stream, after a check of its header."""
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
    """Yield frames; their sizes and durations are checked again."""
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
    """Return the picture of a frame, rotated as the video says."""
    width, height = _even((frame.width, frame.height))
    picture: Image.Image = frame.to_image(width=width, height=height)
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture


def frames_of_webp(parts: Parts) -> Iterator[Moment]:
    """Yield the frames of an animated WebP on white.

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
    if not seconds <= MAX_SECONDS + 0.5:  # containers round durations; NaN is refused
        raise Refused(Why.LENGTH, seconds=round(min(seconds, 1e9)), limit_s=MAX_SECONDS)


def save(frames: Iterable[Moment], file: Path) -> tuple[Image.Image, tuple[int, int]]:
    """Write an MP4; return its first picture and its size.

    Raises:
        Refused: there are no frames.
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
    """Yield at most ``SERVED_FPS`` pictures per second, with their ticks.

    The last picture is repeated at its end, because an MP4 does not store its duration.
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
    """Return the size to serve, with even sides, as 4:2:0 requires."""
    scale = min(1.0, SERVED_SIDE / max(size))
    width, height = (max(2, round(side * scale / 2) * 2) for side in size)
    return width, height
