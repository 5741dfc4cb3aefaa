"""Reads a file in a separate process, and checks the result of that process."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from previews.sample_files import formats
from previews.sample_files.formats import HEAD_BYTES, Format, Interrupted, Refused, Why, sniff
from previews.sample_files.reader import FILM, OUTCOME, PICTURE
from registry.confined import processes

log = logging.getLogger(__name__)

MAX_OUTCOME_BYTES = 1024 * 1024

_PLACEHOLDER = re.compile(r"data:image/webp;base64,[A-Za-z0-9+/=]{1,2000}\Z")

#: Signals from outside; a worker that stops also stops its reader.
_STOPPED = {-signal.SIGTERM, -signal.SIGINT, -signal.SIGKILL, -signal.SIGHUP}
_TOO_SLOW = {-signal.SIGXCPU, -signal.SIGALRM}


@dataclass(frozen=True, slots=True)
class Reading:
    """The files to serve, and what the metadata claims."""

    picture: Path  # WebP; the first frame of a video
    film: Path | None  # MP4; None for a picture
    width: int  # in pixels, like the height
    height: int
    placeholder: str  # ``data:`` URL of a tiny picture
    facts: dict[str, Any]  # prompt, seed, resources and so on


def read(source: Path, folder: Path) -> Reading:
    """Read a file; the files to serve are written into the empty ``folder``.

    Raises:
        Refused: the file is not accepted.
        Interrupted: the reader was stopped from outside; try again.
    """
    outcome = _outcome(_run(source, folder), folder)
    if "refused" in outcome:
        raise Refused(Why(outcome["refused"]), **outcome["facts"])
    width, height = _size(outcome["width"], outcome["height"])
    if not _PLACEHOLDER.match(outcome["placeholder"]):
        raise ValueError(outcome)
    return Reading(
        picture=_written(folder / PICTURE, Format.WEBP),
        film=_written(folder / FILM, Format.MP4) if outcome["is_film"] else None,
        width=width,
        height=height,
        placeholder=outcome["placeholder"],
        facts=dict(outcome.get("facts", {})),
    )


def _size(width: int, height: int) -> tuple[int, int]:
    if not (0 < int(width) <= formats.MAX_SIDE and 0 < int(height) <= formats.MAX_SIDE):
        raise ValueError((width, height))
    return int(width), int(height)


def _run(source: Path, folder: Path) -> int:
    """Run the reader; return its exit code."""
    module = "previews.sample_files.reader"
    with processes.started(module, folder, str(source), str(folder)) as reader:
        try:
            return reader.wait(formats.WALL_S + processes.LATE_S)
        except subprocess.TimeoutExpired:
            return -signal.SIGALRM


def _outcome(code: int, folder: Path) -> dict[str, Any]:
    if code in _STOPPED:
        raise Interrupted
    if code in _TOO_SLOW:
        raise Refused(Why.SLOW)
    if code != 0:
        log.info("the reader of a sample failed (%s): %s", code, processes.errors_in(folder))
        raise Refused(Why.DAMAGED)
    with (folder / OUTCOME).open("rb") as handle:
        text = handle.read(MAX_OUTCOME_BYTES + 1)
    if len(text) > MAX_OUTCOME_BYTES:
        raise ValueError(code)
    found: dict[str, Any] = json.loads(text)
    return found


def _written(file: Path, kind: Format) -> Path:
    """Return a file that the reader wrote, after a check of its type."""
    with file.open("rb") as handle:
        if sniff(handle.read(HEAD_BYTES)) != kind:
            raise ValueError(file.name)
    return file
