"""Adds pictures and short videos to the gallery of a version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from lorary.client.errors import FileUnreadable, TooLarge, reading_file
from lorary.client.http.session import Request

if TYPE_CHECKING:
    from lorary.client.http.session import Session
    from lorary.client.names import Reference

#: Ending of a file to its media type.
MEDIA = {
    ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".mp4": "video/mp4", ".png": "image/png",
    ".webm": "video/webm", ".webp": "image/webp",
}  # fmt: skip
_MOST_BYTES = 64 * 1024 * 1024


def add_sample(
    session: Session, version: Reference, path: Path, *, caption: str = "", rating: str = ""
) -> None:
    """Add a file to the gallery of a version; see `lorary.client.hub.Hub.add_sample`."""
    media = MEDIA.get(path.suffix.casefold())
    if media is None:
        message = f"{path.name} is not a picture or video that a gallery takes."
        raise FileUnreadable(message)
    with reading_file(path):
        if path.exists() and not path.is_file():  # reading a pipe would wait forever
            message = f"{path.name} is not a regular file."
            raise FileUnreadable(message)
        size = path.stat().st_size
        if size > _MOST_BYTES:
            message = f"{path.name} is larger than {_MOST_BYTES // 2**20} MiB."
            raise TooLarge(message)
        data = path.read_bytes()
    values = {"name": path.name.encode("utf-8", "replace").decode(), "caption": caption,
              "maturity": rating}  # fmt: skip
    query = urlencode({key: value for key, value in values.items() if value})
    url = f"{session.api_root}/{version.version_path}/samples?{query}"
    headers = {"Content-Type": media, "Accept": "application/json"}
    session.ask(Request("POST", url, headers, lambda: (data,), len(data)))


def count_samples(session: Session, version: Reference) -> int:
    """Return how many pictures and videos the gallery of a version has."""
    return sum(1 for _ in session.items(f"{version.version_path}/samples", {"limit": 100}))
