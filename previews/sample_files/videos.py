"""Decodes videos and animations within limits and encodes them as H.264 in MP4, without sound.

A container is opened from memory with the demuxer for its first bytes, so that no demuxer opens
other files or the network.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError
from PIL import Image

from previews.sample_files.containers import Parts, require_end, require_pixels
from previews.sample_files.formats import (
    HEAD_BYTES,
    MAX_FILM_PIXELS,
    MAX_FRAMES,
    MAX_SECONDS,
    Format,
    Refused,
    Why,
    named,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    #: A function that makes the picture of a frame, and the second at which the frame ends.
    Moment = tuple[Callable[[], Image.Image], float]


# Finds the end of a video file, to refuse files with other data after it.
#
# ```
# MP4:   u32 BE length, 4 letters, bytes … box after box; length 1: u64 follows, 0: to the end
# WebM:  EBML header | Segment, each: id, length as a variable-length number, bytes
# ```
#
# Source: ISO/IEC 14496-12 §4.2; RFC 8794 §4 and §5.

_LETTERS = re.compile(rb"[ -~\xa9]{4}\Z")
_SEGMENT = b"\x18\x53\x80\x67"


def require_whole(kind: Format, data: bytes) -> None:
    """Raise ``Refused`` for a video that is incomplete or has data after its end."""
    require_end(data, _end_of_boxes(data) if kind == Format.MP4 else _end_of_segment(data))


def _end_of_boxes(data: bytes) -> int:
    place = 0
    while place < len(data):
        length, letters = (
            int.from_bytes(data[place : place + 4], "big"),
            data[place + 4 : place + 8],
        )
        if not _LETTERS.match(letters):
            raise Refused(Why.TRAILING, what=named(data[place : place + HEAD_BYTES]))
        if length == 1:
            length = int.from_bytes(data[place + 8 : place + 16], "big")
        elif length == 0:
            return len(data)
        if length < 8:
            raise Refused(Why.DAMAGED)
        place += length
    return place


def _end_of_segment(data: bytes) -> int:
    """Return the end of the Segment; a live recording has none and ends with the file."""
    length, start = _number(data, 4)
    place = start + length
    if data[place : place + 4] != _SEGMENT:
        raise Refused(Why.DAMAGED)
    length, start = _number(data, place + 4)
    is_unknown = length == (1 << 7 * (start - place - 4)) - 1
    return len(data) if is_unknown else start + length


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of variable length and its end."""
    first = data[place] if place < len(data) else 0
    size = 9 - first.bit_length()
    if size > 8:
        raise Refused(Why.CUT)
    value = int.from_bytes(data[place : place + size], "big") & ((1 << 7 * size) - 1)
    return value, place + size


#: Longest side and frames per second of a served video.
SERVED_SIDE, SERVED_FPS = 1280, 30
#: Time base: ticks per second.
TICKS = 1000

_DEMUXERS = {Format.MP4: "mov", Format.WEBM: "matroska"}
_CODECS = {"h264", "hevc", "vp8", "vp9", "av1"}
_ENCODER = {"preset": "superfast", "crf": "21", "maxrate": "8M", "bufsize": "16M"}


def frames_of_film(kind: Format, data: bytes, tags: dict[str, str]) -> Iterator[Moment]:
    """Yield the frames of a video; ``tags`` gets the texts of the container.

    Raises:
        Refused: it is damaged, too long, too large, or has another codec.
    """
    try:
        with av.open(
            io.BytesIO(data), "r", format=_DEMUXERS[kind], metadata_errors="replace"
        ) as container:
            tags.update({key.casefold(): value for key, value in container.metadata.items()})
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
    """Yield frames; their size and duration is checked again."""
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
    """Yield the frames of an animated WebP on white. Raises Refused: it cannot be decoded."""
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
    """Write an MP4; return its first picture and its size. Raises Refused: there are no frames."""
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
    """Yield at most ``SERVED_FPS`` pictures a second with their ticks.

    The last picture is repeated at its end, because an MP4 does not store how long it is shown.
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
