"""The body of a commit: one JSON document per line, read as a stream.

```
{"key": "header", "value": {"summary": …, "description": …, "parentCommit": …}}      first
{"key": "file", "value": {"path": …, "content": …, "encoding": "base64"}}
{"key": "lfsFile", "value": {"path": …, "algo": "sha256", "oid": …, "size": …}}    size is optional
{"key": "deletedFile", "value": {"path": …}}   {"key": "deletedFolder", "value": {"path": "sub/"}}
```

A body may have a hundred megabytes, so at most one line is held in memory.

Source: huggingface_hub ``_prepare_commit_payload``.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.utils.translation import gettext as _

from hub.protocols.huggingface.repos.shapes import INLINE_BYTES
from registry.errors import Invalid, TooLarge
from registry.names import has_control
from registry.uploads.receive import Readable

#: Maximum length: clients start a new commit at 100 MB of contents, which base64 makes longer.
MAX_BODY_BYTES = 192 * 1024 * 1024
#: Clients send at most 1000 files in one commit.
MAX_OPERATIONS = 2000
#: Maximum length of a line: the longest content as base64, its path, and JSON syntax.
MAX_LINE_BYTES = INLINE_BYTES * 4 // 3 + 64 * 1024
BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Header:
    """Message and expected parent of a commit; ``parent`` is empty if any is accepted."""

    message: str
    parent: str


@dataclass(frozen=True, slots=True)
class Content:
    """A small file with its content."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Pointer:
    """A file that was uploaded before; ``size_bytes`` is optional."""

    path: str
    sha256: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """A file, or a folder with ``/`` at its end."""

    path: str


Operation: TypeAlias = "Content | Pointer | Deletion"


def lines(stream: Readable) -> Iterator[dict[str, Any]]:
    """Yield the documents of a body.

    Raises:
        Invalid: a line is not a JSON object.
        TooLarge: a line is too long, or there are too many.
    """
    for number, line in enumerate(_split(stream), start=1):
        if number > MAX_OPERATIONS:
            text = _("A commit can change at most %(limit)d files.")
            raise TooLarge(text % {"limit": MAX_OPERATIONS}, limit=MAX_OPERATIONS)
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            text = _("Line %(n)d of the commit is not JSON.")
            raise Invalid(text % {"n": number}) from error
        if not isinstance(document, dict) or not isinstance(document.get("value"), dict):
            text = _("Line %(n)d of the commit is not an object with “key” and “value”.")
            raise Invalid(text % {"n": number})
        yield document


def _split(stream: Readable) -> Iterator[bytes]:
    """Yield non-empty lines, without line ends."""
    line = bytearray()
    while block := stream.read(BLOCK):
        *ended, rest = block.split(b"\n")
        for piece in ended:
            line += piece
            _require_short(line)
            if line.strip():
                yield bytes(line)
            line = bytearray()
        line += rest
        _require_short(line)
    if line.strip():
        yield bytes(line)


def _require_short(line: bytearray) -> None:
    if len(line) > MAX_LINE_BYTES:
        raise _too_long()


def _too_long() -> TooLarge:
    text = _(
        "Files in a commit can have at most %(limit)d bytes. Send larger files with LFS before "
        "the commit."
    )
    return TooLarge(text % {"limit": INLINE_BYTES}, limit=INLINE_BYTES)


def header_of(documents: Iterator[dict[str, Any]]) -> Header:
    """Return the first document.

    Raises:
        Invalid: it is not a header.
    """
    first = next(documents, {})
    if first.get("key") != "header":
        raise Invalid(_("A commit must begin with its header."))
    value = {name: given for name, given in first["value"].items() if given is not None}
    summary, description = value.get("summary", ""), value.get("description", "")
    if not isinstance(summary, str) or not isinstance(description, str):
        raise Invalid(_("“summary” and “description” of a commit must be text."))
    parent = _text(value, "parentCommit", "").strip()
    return Header(f"{summary.strip()}\n\n{description.strip()}".strip(), parent)


def operations(documents: Iterator[dict[str, Any]]) -> Iterator[Operation]:
    """Yield the operations of a commit.

    Raises:
        Invalid: an operation is unknown or incomplete.
        TooLarge: a content is too long for a commit.
    """
    for document in documents:
        kind, value = document.get("key"), document["value"]
        read = _READERS.get(kind) if isinstance(kind, str) else None
        if read is None:
            text = _("A commit cannot contain “%(key)s” on this hub.")
            raise Invalid(text % {"key": str(kind)[:40]})
        yield read(value)


def _text(value: dict[str, Any], name: str, default: str | None = None) -> str:
    text = value.get(name) if value.get(name) is not None else default
    if not isinstance(text, str) or has_control(text):
        raise Invalid(_("“%(name)s” of a commit must be text.") % {"name": name})
    return text


def _content(value: dict[str, Any]) -> Content:
    if value.get("encoding", "base64") != "base64":
        raise Invalid(_("Contents of a commit must be base64."))
    try:
        data = base64.b64decode(_text(value, "content", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        text = _("The content of “%(path)s” is not base64.")
        raise Invalid(text % {"path": _text(value, "path")[:255]}) from error
    if len(data) > INLINE_BYTES:
        raise _too_long()
    return Content(_text(value, "path"), data)


def _pointer(value: dict[str, Any]) -> Pointer:
    sha256, size = _text(value, "oid").lower(), value.get("size")
    is_digest = len(sha256) == 64 and not set(sha256) - set("0123456789abcdef")
    if value.get("algo", "sha256") != "sha256" or not is_digest:
        raise Invalid(_("A file that was sent before the commit must be named by its sha256."))
    if size is not None and (type(size) is not int or not 0 <= size < 2**63):
        raise Invalid(_("“size” of a commit must be a number of bytes."))
    return Pointer(_text(value, "path"), sha256, size)


def _deletion(value: dict[str, Any]) -> Deletion:
    return Deletion(_text(value, "path").rstrip("/"))


def _folder(value: dict[str, Any]) -> Deletion:
    return Deletion(_text(value, "path").rstrip("/") + "/")


_READERS: dict[str, Callable[[dict[str, Any]], Operation]] = {
    "file": _content,
    "lfsFile": _pointer,
    "deletedFile": _deletion,
    "deletedFolder": _folder,
}
