"""Parses ``LORARY_STORAGE``: a directory, or a bucket with its options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

Checksums: TypeAlias = Literal["when_supported", "when_required"]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_CHECKSUMS: dict[str, Checksums] = {
    "": "when_supported",
    "when_supported": "when_supported",
    "when_required": "when_required",
}
_BOOLEANS = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class BucketLocation:
    """A bucket of an S3 server.

    Attributes:
        checksums: When requests have the newer checksums, which old servers refuse.
    """

    bucket: str  # its name
    prefix: str = ""  # prefix of all keys, "" or with a slash at its end
    endpoint: str = ""  # address of the server, "" for Amazon's
    region: str = ""  # "" for that of the environment
    links: str = ""  # address under which others reach the server, "" for ``endpoint``
    has_links: bool = True  # whether others can reach the server
    is_path_style: bool = False  # whether the bucket is in the path, not in the host name
    checksums: Checksums = "when_supported"


def parse_location(url: str) -> Path | BucketLocation:
    """Return the location of a storage address.

    Args:
        url: ``file:///absolute/path`` or ``s3://bucket/prefix?endpoint=…&region=…&links=…``.

    Raises:
        ValueError: the address is invalid; the message says why.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        return Path(unquote(parts.path))
    if parts.scheme != "s3":
        msg = "Use file:///absolute/path or s3://bucket/prefix."
        raise ValueError(msg)
    if not _BUCKET.match(parts.netloc):
        msg = f"{parts.netloc!r} isn't a bucket name: 3 to 63 of a-z, 0-9, '.' and '-'."
        raise ValueError(msg)
    folders, pairs = unquote(parts.path).strip("/"), parse_qsl(parts.query)
    if len(pairs) > len(dict(pairs)):
        msg = "An option of s3:// is repeated."
        raise ValueError(msg)
    return _with_options(parts.netloc, f"{folders}/" if folders else "", dict(pairs))


def _with_options(bucket: str, prefix: str, options: dict[str, str]) -> BucketLocation:
    endpoint = _address("endpoint", options.pop("endpoint", ""))
    links, checksums = options.pop("links", ""), options.pop("checksums", "")
    if checksums not in _CHECKSUMS:
        msg = "checksums must be when_supported or when_required."
        raise ValueError(msg)
    location = BucketLocation(
        bucket,
        prefix,
        endpoint=endpoint,
        region=options.pop("region", ""),
        links="" if links == "no" else _address("links", links),
        has_links=links != "no",
        is_path_style=_boolean(options, "path_style", default=bool(endpoint)),
        checksums=_CHECKSUMS[checksums],
    )
    if options:
        msg = f"{', '.join(sorted(options))}: s3:// has no such option."
        raise ValueError(msg)
    return location


def _address(name: str, text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in {"http", "https"} or not parts.hostname):
        msg = f"{name}={text} isn't an address that begins with http:// or https://."
        raise ValueError(msg)
    return text.rstrip("/")


def _boolean(options: dict[str, str], name: str, *, default: bool) -> bool:
    value = options.pop(name, "")
    if value and value not in _BOOLEANS:
        msg = f"{name} must be yes or no."
        raise ValueError(msg)
    return _BOOLEANS.get(value, default)
