"""``python -m previews.brought.reader FILE FOLDER``: read one file in a process of its own.

Writes what is to be served and ``outcome.json`` into the folder. The process is never trusted to
end by itself: the kernel holds it to memory, CPU, time and bytes written, whatever a decoder does.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from previews.brought import limits
from previews.brought.formats import HEAD_BYTES, sniff
from previews.brought.refusals import Refused, Why

__all__ = ["OUTCOME", "main", "read"]

OUTCOME = "outcome.json"


def main(source: Path, folder: Path) -> None:
    """Read a file within limits and write what became of it."""
    confine()
    try:
        outcome = read(source, folder)
    except Refused as refusal:
        outcome = {"refused": refusal.why, "facts": refusal.facts}
    except MemoryError:
        outcome = {"refused": Why.HEAVY, "facts": {}}
    (folder / OUTCOME).write_text(json.dumps(outcome), encoding="utf-8")


def confine() -> None:
    """Give this process its limits, which nothing that it runs can raise again."""
    wanted = {
        resource.RLIMIT_AS: limits.MEMORY_BYTES,
        resource.RLIMIT_CPU: limits.CPU_S,
        resource.RLIMIT_FSIZE: limits.WRITE_BYTES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        with suppress(ValueError):  # macOS has no limit of the address space
            # At the soft limit of CPU comes a signal that says so, at the hard one none.
            resource.setrlimit(kind, (most, most + 5))
    signal.alarm(limits.WALL_S)


def read(source: Path, folder: Path) -> dict[str, Any]:
    """Return what to serve of a file, which is written into the folder.

    Raises:
        Refused: it is not taken.
    """
    # Decoders are loaded once the limits hold.
    from previews.brought import films, stills  # noqa: PLC0415
    from previews.brought.claims.gathered import gather  # noqa: PLC0415

    kind = sniff(_head(source, HEAD_BYTES))
    data = _whole(source, limits.MAX_FILM_BYTES if kind.is_film else limits.MAX_PICTURE_BYTES)
    texts: dict[str, str] = {}
    parts = None if kind.is_film else stills.take_apart(kind, data)
    if parts is None:
        frames = films.frames_of_film(kind, data, texts)
    else:
        frames = films.frames_of_webp(parts)
        texts.update(parts.texts)
    if parts is None or len(parts.durations_ms) > 1:
        picture, size = films.save(frames, folder / "film.mp4")
        file, poster = "film.mp4", stills.save(picture, folder, "poster")
    else:
        picture = stills.decode(kind, parts)
        file, poster, size = stills.save(picture, folder, "picture"), "", picture.size
    return {
        "file": file,
        "poster": poster,
        "width": size[0],
        "height": size[1],
        "placeholder": stills.placeholder(picture),
        "facts": gather(texts, parts.exif if parts else b""),
    }


def _head(source: Path, size: int) -> bytes:
    with source.open("rb") as handle:
        return handle.read(size)


def _whole(source: Path, limit: int) -> bytes:
    with source.open("rb") as handle:
        data = handle.read(limit + 1)
    if len(data) > limit:
        raise Refused(Why.SIZE, limit_mib=limit // limits.MIB)
    return data


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
