"""Finds versions by the names of their files, as workflows name them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

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

#: Maximum number of names per request, of matches of a name, and of adapters examined for it.
MAX_NAMES, MAX_MATCHES, MAX_EXAMINED = 100, 20, 200


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
    candidates = {stem: set(_with_words(rows, stem)) for stem in set(stems.values()) if stem}
    for stem, pk in _saved(user, candidates):
        candidates[stem].add(pk)
    found: dict[str, dict[int, Named]] = {stem: {} for stem in candidates}
    for version, file in _files({pk for ids in candidates.values() for pk in ids}):
        for stem in _names_of(version, file) & candidates.keys():
            if version.adapter_id in candidates[stem]:
                found[stem].setdefault(version.adapter_id, Named(version, file))
    return {name: list(found.get(stem, {}).values())[:MAX_MATCHES] for name, stem in stems.items()}


def _stem(name: str) -> str:
    """Return the name of a file without folders and ending, in lower case."""
    last = name.replace("\\", "/").rpartition("/")[2].strip()
    return without_ending(last).casefold()


def _with_words(rows: index.Among, stem: str) -> list[int]:
    """Return the adapters whose documents have the words of a name."""
    words = parse(f'"{stem.replace(chr(34), " ")}"').wanted[:1]
    return index.ids(rows, index.expression(words), MAX_EXAMINED) if words else []


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


def _files(adapters: set[int]) -> list[tuple[Version, File]]:
    """Return the weights of the adapters' versions, the newest published ones first."""
    if not adapters:
        return []
    rows = (
        Version.objects.filter(adapter__in=adapters, state__in=OUT_STATES)
        .select_related("adapter__namespace", "revision", "author")
        .order_by("state", "-number")
    )
    versions = list(rows)
    files: dict[int, list[File]] = {}
    of_revisions = File.objects.filter(
        role=FileRole.WEIGHTS, revision__in={row.revision_id for row in versions}
    )
    for file in of_revisions.select_related("blob").order_by("path"):
        files.setdefault(file.revision_id, []).append(file)
    return [(row, file) for row in versions for file in files.get(row.revision_id, [])]


def _names_of(version: Version, file: File) -> set[str]:
    """Return the names of a file: its own, and that under which clients save it."""
    adapter = version.adapter
    saved = saved_name(adapter.owner, adapter.name, file.path, file.variant)
    stem = without_ending(saved).casefold()
    own = PurePosixPath(file.path).stem.casefold()
    return {own, stem, f"{stem}--v{version.number}"}
