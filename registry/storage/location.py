"""What ``LORARY_STORAGE`` says: a directory, or a bucket and how to reach it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["BucketPlace", "place_of"]

Checksums: TypeAlias = Literal["when_supported", "when_required"]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_CHECKSUMS: dict[str, Checksums] = {
    "": "when_supported",
    "when_supported": "when_supported",
    "when_required": "when_required",
}
_WORDS = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """A bucket of an S3 server.

    Attributes:
        bucket: Its name.
        prefix: What every key in it begins with, "" or with a slash at its end.
        endpoint: Address of the server, "" for Amazon's.
        region: "" for what the environment says.
        links: Address under which others reach the server, for links; "" for ``endpoint``.
        has_links: Whether others reach the server at all.
        is_path_style: Whether the bucket stands in the path, not in the host name.
        checksums: When requests carry the newer checksums, which old servers refuse.
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    links: str = ""
    has_links: bool = True
    is_path_style: bool = False
    checksums: Checksums = "when_supported"


def place_of(url: str) -> Path | BucketPlace:
    """Return what a storage address names.

    Args:
        url: ``file:///absolute/path`` or ``s3://bucket/prefix?endpoint=…&region=…&links=…``.

    Raises:
        ValueError: it says nothing that can be followed; the message says what.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        return Path(unquote(parts.path))
    if parts.scheme != "s3":
        msg = "Use file:///absolute/path or s3://bucket/prefix."
        raise ValueError(msg)
    if not _BUCKET.match(parts.netloc):
        msg = f"{parts.netloc!r} is no name of a bucket: 3 to 63 of a-z, 0-9, '.' and '-'."
        raise ValueError(msg)
    folders, pairs = unquote(parts.path).strip("/"), parse_qsl(parts.query)
    if len(pairs) > len(dict(pairs)):
        msg = "An option of s3:// is there twice."
        raise ValueError(msg)
    return _with_options(parts.netloc, f"{folders}/" if folders else "", dict(pairs))


def _with_options(bucket: str, prefix: str, options: dict[str, str]) -> BucketPlace:
    endpoint = _address("endpoint", options.pop("endpoint", ""))
    links, checksums = options.pop("links", ""), options.pop("checksums", "")
    if checksums not in _CHECKSUMS:
        msg = "checksums is when_supported or when_required."
        raise ValueError(msg)
    place = BucketPlace(
        bucket,
        prefix,
        endpoint=endpoint,
        region=options.pop("region", ""),
        links="" if links == "no" else _address("links", links),
        has_links=links != "no",
        is_path_style=_word(options, "path_style", default=bool(endpoint)),
        checksums=_CHECKSUMS[checksums],
    )
    if options:
        msg = f"{', '.join(sorted(options))}: there is no such option of s3://."
        raise ValueError(msg)
    return place


def _address(name: str, text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in {"http", "https"} or not parts.hostname):
        msg = f"{name}={text} is no address; it begins with http:// or https://."
        raise ValueError(msg)
    return text.rstrip("/")


def _word(options: dict[str, str], name: str, *, default: bool) -> bool:
    said = options.pop(name, "")
    if said and said not in _WORDS:
        msg = f"{name} is yes or no."
        raise ValueError(msg)
    return _WORDS.get(said, default)
