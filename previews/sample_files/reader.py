"""``python -m previews.sample_files.reader FILE FOLDER``: read one file in a separate process.

It writes the files to serve and ``outcome.json`` into the folder. The kernel limits its memory, CPU
time, wall time and written bytes, whatever a decoder does.
"""

from __future__ import annotations

import io
import json
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from lorary.pictures import mp4, webm
from lorary.pictures.faults import Broken
from previews.sample_files import formats
from previews.sample_files.formats import HEAD_BYTES, Format, Refused, Why, sniff
from previews.sample_files.mp4_boxes import require_whole
from registry.confined import processes

#: Files that are written into the folder.
OUTCOME, PICTURE, FILM = "outcome.json", "picture.webp", "film.mp4"


def main(source: Path, folder: Path) -> None:
    """Read a file within limits and write the outcome."""
    confine()
    try:
        outcome = read(source, folder)
    except Refused as refusal:
        outcome = {"refused": refusal.why, "facts": refusal.facts}
    except MemoryError:
        outcome = {"refused": Why.HEAVY, "facts": {}}
    (folder / OUTCOME).write_text(json.dumps(outcome), encoding="utf-8")


def confine() -> None:
    """Set the limits of this process; code that it runs cannot raise them."""
    processes.limit(
        {
            resource.RLIMIT_AS: formats.MEMORY_BYTES,
            resource.RLIMIT_CPU: formats.CPU_S,
            resource.RLIMIT_FSIZE: formats.WRITE_BYTES,
        },
        hard=5,  # only the soft limit of CPU time sends a distinct signal
    )
    signal.alarm(formats.WALL_S)


def read(source: Path, folder: Path) -> dict[str, Any]:
    """Write the files to serve into the folder and return the outcome.

    Raises:
        Refused: the file is not accepted.
    """
    # Decoders are imported after the limits are set.
    from lorary.pictures.claims.gather import gather  # noqa: PLC0415
    from previews.sample_files import stills, videos  # noqa: PLC0415

    data = _data(source)
    kind = sniff(data[:HEAD_BYTES])
    parts = None if kind.is_film else stills.take_apart(kind, data)
    if parts is None:
        require_whole(kind, data)
        picture, size = videos.save(videos.frames_of_film(kind, data), folder / FILM)
    elif len(parts.durations_ms) > 1:
        picture, size = videos.save(videos.frames_of_webp(parts), folder / FILM)
    else:
        picture = stills.decode(kind, parts)
        size = picture.size
    stills.save(picture, folder / PICTURE)
    return {
        "is_film": (folder / FILM).exists(),
        "width": size[0],
        "height": size[1],
        "placeholder": stills.placeholder(picture),
        "facts": gather(parts.texts, parts.exif) if parts else gather(_texts_of_film(kind, data)),
    }


def _texts_of_film(kind: Format, data: bytes) -> dict[str, str]:
    """Return the texts of a video that can be decoded; {} if they are damaged or too large."""
    read_texts = mp4.texts_in if kind == Format.MP4 else webm.texts_in
    with suppress(Broken):
        return read_texts(io.BytesIO(data), len(data), formats.MAX_TEXT_BYTES)
    return {}


def _data(source: Path) -> bytes:
    with source.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
        limit = formats.MAX_FILM_BYTES if sniff(head).is_film else formats.MAX_PICTURE_BYTES
        data = head + handle.read(limit + 1 - len(head))
    if len(data) > limit:
        raise Refused(Why.SIZE, limit_mib=limit // formats.MIB)
    return data


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
