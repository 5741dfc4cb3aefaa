"""Finds versions by the names of their files, as workflows name them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q
from django.utils.translation import gettext as _

from lorary.client.names import saved_name
from lorary.pictures.claims.facts import without_ending
from registry.errors import Invalid
from registry.models import OUT_STATES, Adapter, File, FileRole, User, Version
from registry.names import key_of
from registry.search import index
from registry.search.syntax import parse

Viewer = User | AnonymousUser | None
T = TypeVar("T")

#: Maximum number of names per request, of matches of a name, and of adapters examined for it.
MAX_NAMES, MAX_MATCHES, MAX_EXAMINED = 100, 20, 200
#: Maximum number of adapters examined for all names of a request together.
MAX_EXAMINED_TOGETHER = 5000
#: Adapters and revisions per query, which has at most 32,766 parameters on SQLite.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Named:
    """A file with a name, and the newest published version that has it."""

    version: Version
    file: File


def by_file_names(user: Viewer, names: Sequence[str]) -> dict[str, list[Named]]:
    """Return the listed adapters that have a file of each name, one match for each adapter.

    Case, folders and the ending do not count. A name under which a client saves a file
    (``owner--name.safetensors``) is found too. Other users' unlisted adapters are left out,
    because names can be guessed.

    Raises:
        Invalid: there are too many names.
    """
    if len(names) > MAX_NAMES:
        raise Invalid(_("Send at most %(n)d names at once.") % {"n": MAX_NAMES})
    rows = index.among(Adapter.objects.listed_for(user).filter(published_at__isnull=False))
    stems = {name: _stem(name) for name in names}
    wanted = {stem for stem in stems.values() if stem}
    most = min(MAX_EXAMINED, MAX_EXAMINED_TOGETHER // max(1, len(wanted)))
    candidates = {stem: set(_with_words(rows, stem, most)) for stem in wanted}
    for stem, pk in _saved(user, candidates):
        candidates[stem].add(pk)
    found: dict[str, dict[int, Named]] = {stem: {} for stem in candidates}
    for version, file in _files(sorted({pk for ids in candidates.values() for pk in ids})):
        for stem in _names_of(version, file) & candidates.keys():
            if version.adapter_id in candidates[stem]:
                found[stem].setdefault(version.adapter_id, Named(version, file))
    return {name: list(found.get(stem, {}).values())[:MAX_MATCHES] for name, stem in stems.items()}


def _stem(name: str) -> str:
    """Return the name of a file without folders and ending, in lower case."""
    last = name.replace("\\", "/").rpartition("/")[2].strip()
    return without_ending(last).casefold()


def _with_words(rows: index.Among, stem: str, most: int) -> list[int]:
    """Return the adapters whose documents have the words of a name."""
    words = parse(f'"{stem.replace(chr(34), " ")}"').wanted[:1]
    return index.ids(rows, index.expression(words), most) if words else []


def _saved(user: Viewer, stems: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield the names that begin with ``owner--name``, and the adapter."""
    pairs = {stem: stem.split("--")[:2] for stem in stems if "--" in stem}
    if not pairs:
        return
    wanted = Q(pk__in=[])
    for owner, name in pairs.values():
        wanted |= Q(namespace__key=key_of(owner), key=key_of(name))
    rows = (
        Adapter.objects.listed_for(user).filter(wanted).values_list("pk", "namespace__key", "key")
    )
    known = {(owner, name): pk for pk, owner, name in rows}
    for stem, (owner, name) in pairs.items():
        if (key_of(owner), key_of(name)) in known:
            yield stem, known[key_of(owner), key_of(name)]


def _files(adapters: Sequence[int]) -> Iterator[tuple[Version, File]]:
    """Yield the weights of the adapters' versions, the newest published ones of each first."""
    for ids in _batches(adapters):
        rows = (
            Version.objects.filter(adapter__in=ids, state__in=OUT_STATES)
            .select_related("adapter__namespace", "revision", "author")
            .order_by("state", "-number")
        )
        for versions in _batches(list(rows)):
            yield from _weights(versions)


def _weights(versions: Sequence[Version]) -> Iterator[tuple[Version, File]]:
    """Yield the weights of some versions, in their order."""
    files: dict[int, list[File]] = {}
    rows = File.objects.filter(
        role=FileRole.WEIGHTS, revision__in={row.revision_id for row in versions}
    )
    for file in rows.select_related("blob").order_by("path"):
        files.setdefault(file.revision_id, []).append(file)
    for version in versions:
        for file in files.get(version.revision_id, []):
            yield version, file


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))


def _names_of(version: Version, file: File) -> set[str]:
    """Return the names of a file: its own, and that under which clients save it."""
    adapter = version.adapter
    saved = saved_name(adapter.owner, adapter.name, file.path, file.variant)
    stem = without_ending(saved).casefold()
    own = PurePosixPath(file.path).stem.casefold()
    return {own, stem, f"{stem}--v{version.number}"}
