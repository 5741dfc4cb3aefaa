"""The changes of a commit: new and deleted files, and checks that need no file content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from django.utils.translation import gettext as _

from registry.cards import fields
from registry.errors import Invalid, NotFound, TooLarge, UploadRefused
from registry.names import check_path
from registry.scan import ignored_paths
from registry.uploads import receive
from registry.versions import contents

#: Maximum number of files in one commit; clients of the Hub send at most this many.
MAX_CHANGES = 1000
#: Maximum number of files in a revision.
MAX_MANIFEST = 1000
#: Maximum bytes of a file whose content is in the commit, and of all such files together.
MAX_INLINE_BYTES = 16 * 2**20
MAX_INLINE_TOTAL = 128 * 2**20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Put:
    """A path for stored bytes that were uploaded before or that the committer can read.

    Without ``size_bytes`` it is a copy; otherwise the length is compared.
    """

    path: str
    sha256: str
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Inline:
    """A path with its content."""

    path: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Changes:
    """Checked changes: new files by path, and deleted paths; a folder ends with a slash."""

    files: Mapping[str, Put | Inline]
    deletes: tuple[str, ...]


def checked(*, puts: Sequence[Put], inlines: Sequence[Inline], deletes: Sequence[str]) -> Changes:
    """Return checked changes; only the front matter of a README is read.

    Raises:
        PathInvalid, Invalid: a path or a digest is invalid, a path occurs twice, there are too
            many changes, or the front matter of a README cannot be read.
        TooLarge: the commit contains too much content.
        UploadRefused: a file is a pickle, according to its name.
    """
    if len(puts) + len(inlines) + len(deletes) > MAX_CHANGES:
        text = _("A commit can change at most %(limit)d files. Send several commits.")
        raise Invalid(text % {"limit": MAX_CHANGES}, limit=MAX_CHANGES)
    files: dict[str, Put | Inline] = {}
    for put in puts:
        _add(files, Put(check_path(put.path), receive.digest_of(put.sha256), put.size_bytes))
    for inline in inlines:
        _add(files, Inline(check_path(inline.path), inline.data))
    _require_room(inlines)
    if found := [
        ignored_paths.pickle_pushed(path) for path in files if ignored_paths.is_pickle(path)
    ]:
        raise UploadRefused(
            found[0].message, findings=found, paths=[*filter(ignored_paths.is_pickle, files)]
        )
    contents.require_distinct(files)
    readme = files.get(fields.NAME)
    if isinstance(readme, Inline):
        fields.read(fields.decoded(readme.data))
    return Changes(files, tuple(dict.fromkeys(_deleted_path(path) for path in deletes)))


def _add(files: dict[str, Put | Inline], file: Put | Inline) -> None:
    if file.path in files:
        text = _("This commit contains “%(path)s” twice.")
        raise Invalid(text % {"path": file.path}, path=file.path)
    files[file.path] = file


def _deleted_path(path: str) -> str:
    """Return a checked path to delete; some clients put “./” before it."""
    folder = "/" if path.endswith("/") else ""
    return check_path(path.removeprefix("./").rstrip("/")) + folder


def _require_room(inlines: Sequence[Inline]) -> None:
    most = max((len(inline.data) for inline in inlines), default=0)
    if most > MAX_INLINE_BYTES:
        text = _(
            "A file in a commit can have at most %(limit)d bytes. Upload it before the commit."
        )
        raise TooLarge(text % {"limit": MAX_INLINE_BYTES}, limit=MAX_INLINE_BYTES)
    if sum(len(inline.data) for inline in inlines) > MAX_INLINE_TOTAL:
        text = _(
            "The files in a commit can have at most %(limit)d bytes in all. Send several commits."
        )
        raise TooLarge(text % {"limit": MAX_INLINE_TOTAL}, limit=MAX_INLINE_TOTAL)


def applied(before: Mapping[str, T], changes: Changes, incoming: Mapping[str, T]) -> dict[str, T]:
    """Return the files of a revision after changes.

    Args:
        changes: The changes; a path that is both deleted and new is replaced.

    Raises:
        NotFound: there is no file to delete at ``facts["path"]``.
        Invalid: there are too many files, or names that some systems cannot store together.
    """
    after = dict(before)
    for path in changes.deletes:
        deleted = [path] if path in after else _inside(path, after)
        if not deleted:
            text = _("“%(path)s” cannot be deleted: a file with this name does not exist.")
            raise NotFound(text % {"path": path}, path=path)
        for each in deleted:
            del after[each]
    after |= incoming
    if len(after) > MAX_MANIFEST:
        text = _("A revision can have at most %(limit)d files; this one would have %(n)d.")
        detail = text % {"limit": MAX_MANIFEST, "n": len(after)}
        raise Invalid(detail, limit=MAX_MANIFEST)
    contents.require_distinct(after)
    return after


def _inside(folder: str, paths: Iterable[str]) -> list[str]:
    """Return the paths in a folder; an empty list if the name has no trailing slash."""
    return [path for path in paths if folder.endswith("/") and path.startswith(folder)]
