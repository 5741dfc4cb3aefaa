"""Plans which files of a folder become which versions of which adapters."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from lorary.client.errors import LoraryError
from lorary.client.names import collision_key
from lorary.client.samples import MEDIA
from lorary.library.importing.fields import (
    Fields,
    chosen,
    name_of,
    text_of,
    values_of,
    with_given,
)
from lorary.library.importing.journal import Entry
from lorary.library.index.listing import Row
from lorary.library.sidecars.reading import Value
from lorary.library.variants import Checkpoint, checkpoint_of, split_copy

_UNUSUAL = re.compile(r"[^A-Za-z0-9._]+")
_REPEATED = re.compile(r"[.-]{0,255}--[.-]{0,255}|\.{2,255}")
_MOST_NAME = 80
_MARK = 8  # digits of a sha256 in a name
MOST_PREVIEWS = 10
#: Base model and series, or ``session`` and its id; and the number of a download.
_Group = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not published.

    Attributes:
        reason: ``broken``, ``not_an_adapter``, ``duplicate``, ``same_tensors``, ``published`` or
            ``known``.
        message: Why, for a person.
    """

    path: Path
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PlannedVersion:
    """A version to publish.

    Attributes:
        rows: Its files: one, or both halves of a pair.
        values: All that is said about it.
        fields: The values that are used.
        label: Its label: ``epoch 4`` in a run, else what a sidecar says.
        previews: Pictures for its gallery.
        sidecar_errors: Why some sidecars could not be read.
        attached: Other files to publish with it.
        published: The version that the hub has of it; empty if it has none.
        elsewhere: All versions of the hub that have its files: ``owner/name@v1``.
        is_here: Whether the namespace has its files; pictures may be missing.
    """

    rows: tuple[Row, ...]
    values: tuple[Value, ...]
    fields: Fields
    label: str
    previews: tuple[Path, ...]
    sidecar_errors: tuple[LoraryError, ...]
    attached: tuple[Path, ...] = ()
    published: str = ""
    elsewhere: tuple[str, ...] = ()
    is_here: bool = False

    @property
    def paths(self) -> tuple[Path, ...]:
        """Paths of its files."""
        return tuple(row.path for row in self.rows)


@dataclass(frozen=True, slots=True)
class PlannedAdapter:
    """An adapter to create or to extend, with its versions in their order."""

    name: str
    fields: Fields
    versions: tuple[PlannedVersion, ...]
    is_known: bool  # whether some of it is published under this name

    @property
    def mark(self) -> str:
        """Digits that make its name unique."""
        return self.versions[0].rows[0].sha256[:_MARK]

    @property
    def newest(self) -> PlannedVersion | None:
        """The version that becomes its newest; None if only pictures are added."""
        return next((one for one in reversed(self.versions) if not one.is_here), None)

    def renamed(self) -> PlannedAdapter:
        """Return it with a name that nothing else has."""
        stem = self.name[: _MOST_NAME - _MARK - 1].rstrip("-._")
        return replace(self, name=f"{stem}-{self.mark}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import will do."""

    adapters: tuple[PlannedAdapter, ...]
    skipped: tuple[Skipped, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files to publish."""
        rows = (row for one in self.adapters for version in one.versions for row in version.rows)
        return sum(row.size for row in rows)

    def without_known(self, namespace: str) -> Plan:
        """Return it without versions whose files only other namespaces of the hub have."""
        skipped, adapters = [*self.skipped], []
        own = f"{namespace}/".casefold()
        for adapter in self.adapters:
            kept: list[PlannedVersion] = []
            for version in adapter.versions:
                places = [_elsewhere([row]) for row in version.rows]
                # Its own version may still lack pictures.
                is_own = any(one.casefold().startswith(own) for one in chain(*places))
                if is_own or not all(places):
                    kept.append(version)
                    continue
                skipped += [
                    Skipped(row.path, "known", f"the hub has it as {', '.join(listed)}")
                    for row, listed in zip(version.rows, places, strict=True)
                ]
            if kept:
                adapters.append(replace(adapter, versions=tuple(kept)))
        return Plan(tuple(adapters), tuple(skipped))


def plan(
    rows: Iterable[Row], namespace: str, journal: Mapping[str, Entry], given: Fields | None = None
) -> Plan:
    """Return what to do with the files of a folder.

    Args:
        namespace: The namespace to publish to.
        journal: What the files of earlier imports became.
        given: Values that a person gave for all new adapters, which come first.
    """
    skipped: list[Skipped] = []
    groups: dict[_Group, list[Row]] = {}
    names: dict[_Group, str] = {}
    begun: set[_Group] = set()
    here: set[str] = set()

    def rank(row: Row) -> tuple[bool]:
        return (not _published(row, namespace, journal.get(row.sha256)),)

    weights = list(unique(rows, rank, skipped))
    downloads = downloads_of(weights, lambda row: row.series)
    for row in weights:
        group, entry = _group_of(row, downloads.get(row.path, "")), journal.get(row.sha256)
        published = _published(row, namespace, entry)
        if published:
            here.add(row.sha256)
            names[group] = published.partition("@")[0].partition("/")[2]
            begun.add(group)
        elif entry is not None:
            names.setdefault(group, entry.adapter)
        if published and (entry is None or entry.pictures):
            skipped.append(Skipped(row.path, "published", f"it is {published} already"))
        else:
            groups.setdefault(group, []).append(row)
    return Plan(tuple(_named(groups, names, begun, here, given or {})), tuple(skipped))


def unique(
    rows: Iterable[Row], rank: Callable[[Row], tuple[bool, ...]], skipped: list[Skipped]
) -> Iterator[Row]:
    """Yield the files that can be published; of those with the same tensors, the best one.

    Args:
        rank: Returns a sort key, of which the least is best; `Row.copy_order` decides among equals.
    """
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.error is not None:
            skipped.append(Skipped(row.path, "broken", row.error[1]))
        elif row.kind != "adapter":
            message = f"it is not an adapter but {row.kind or 'something else'}"
            skipped.append(Skipped(row.path, "not_an_adapter", message))
        else:
            found.setdefault(row.data_sha256 or row.sha256, []).append(row)
    for same in found.values():
        best = min(same, key=lambda row: (rank(row), row.copy_order()))
        skipped += [_duplicate(row, best) for row in same if row is not best]
        yield best


def downloads_of(rows: Iterable[Row], run_name: Callable[[Row], str]) -> dict[Path, str]:
    """Return path → `` (1)`` or "" for files whose names differ by such a number alone.

    Browsers add it to a second download of the same name, which may be another adapter. Files whose
    headers name the same session get the same value.

    Args:
        run_name: Returns the common name of the run of a file.
    """
    places: defaultdict[tuple[object, ...], list[tuple[str, Row]]] = defaultdict(list)
    for row in rows:
        name, copy = split_copy(row.path.stem)
        number = row.number
        if number is None:
            number = checkpoint_of(f"{name}{row.path.suffix}").number
        places[split_copy(run_name(row))[0], row.half, number].append((copy, row))
    return {
        row.path: min(
            copy_of_other
            for copy_of_other, other in listed
            if other is row or (row.session and other.session == row.session)
        )
        for listed in places.values()
        if len({copy for copy, _ in listed}) > 1
        for _, row in listed
    }


def _duplicate(row: Row, kept: Row) -> Skipped:
    if row.sha256 == kept.sha256:
        return Skipped(row.path, "duplicate", f"it is the same file as {kept.path}")
    message = f"it has the same tensors as {kept.path}, with a different header"
    return Skipped(row.path, "same_tensors", message)


def _published(row: Row, namespace: str, entry: Entry | None) -> str:
    """Return the version of the namespace that has these bytes, in whatever state; "" for none."""
    if entry is not None and entry.version:
        return f"{namespace}/{entry.adapter}@{entry.version}"
    for match in row.matches or ():
        owner = str(match["adapter"]).partition("/")[0]
        if match["same"] == "file" and owner.casefold() == namespace.casefold():
            return f"{match['adapter']}@{match['version']}"
    return ""


def _group_of(row: Row, copy: str) -> _Group:
    """Return what the versions of one adapter have in common; see `downloads_of` for ``copy``."""
    if row.half or not row.session:
        # Files of one name for different base models are different works.
        return row.family or " ".join(row.candidates), row.series, copy
    return "session", row.session, ""


def _named(
    groups: Mapping[_Group, Sequence[Row]],
    names: Mapping[_Group, str],
    begun: Collection[_Group],
    here: Collection[str],
    given: Fields,
) -> Iterator[PlannedAdapter]:
    """Yield the adapters; a name that is taken gets digits of a hash.

    Args:
        here: sha256 of the files that the namespace has.
    """
    taken = {collision_key(name) for name in names.values()}
    # Of two downloads, the one without a number gets the name.
    order = sorted(groups.items(), key=lambda item: (item[0][2], min(row.path for row in item[1])))
    for key, rows in order:
        stated = given if key not in begun else {}
        versions = tuple(
            replace(
                one,
                fields=with_given(one.fields, stated),
                is_here=all(row.sha256 in here for row in one.rows),
            )
            for one in versions_of(rows)
        )
        values = [value for version in reversed(versions) for value in version.values]
        name = names.get(key)
        adapter = PlannedAdapter(
            name or _adapter_name(versions[-1].rows[0]),
            with_given(chosen(values), stated),
            versions,
            is_known=key in begun,
        )
        if name is None:
            if collision_key(adapter.name) in taken:
                adapter = adapter.renamed()
            taken.add(collision_key(adapter.name))
        yield adapter


def versions_of(rows: Sequence[Row]) -> Iterator[PlannedVersion]:
    """Yield the versions of an adapter in their order; halves of one epoch are one version."""
    ordered = sorted(rows, key=lambda row: (row.order, row.path))
    halves: dict[float, list[Row]] = {}
    sets: list[list[Row]] = []
    for row in ordered:
        number = float("inf") if row.number is None else row.number
        other = halves.get(number) if row.half else None
        if other is not None and len(other) == 1 and other[0].half != row.half:
            other.append(row)
            continue
        sets.append([row])
        if row.half:
            halves[number] = sets[-1]
    if any(len(one) > 1 for one in sets):
        sets.sort(key=lambda one: float("inf") if one[0].number is None else one[0].number)
    units = {place_of(row).unit for row in rows if row.number is not None}
    for one in sets:
        yield _version(sorted(one, key=lambda row: row.half), len(sets), units)


def _elsewhere(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return the versions that have the bytes of files of a new version, each once."""
    matches = (match for row in rows for match in row.matches or ())
    same = (one for one in matches if one["same"] == "file" and one["state"] != "withdrawn")
    return tuple(dict.fromkeys(f"{one['adapter']}@{one['version']}" for one in same))


def place_of(row: Row) -> Checkpoint:
    """Return the place of a file in its run, by its name or that of its folder."""
    return checkpoint_of("/".join(row.path.parts[-2:]))


def _version(rows: Sequence[Row], siblings: int, units: Collection[str]) -> PlannedVersion:
    """Return the plan for the files of a version.

    Args:
        siblings: How many versions the adapter has.
        units: What the names of its checkpoints count: ``epoch``, ``step``, both or nothing.
    """
    values: list[Value] = []
    errors: list[LoraryError] = []
    for row in rows:
        found, faults = values_of(row)
        values += found
        errors += faults
    fields = chosen(values)
    label = text_of(fields, "label")
    checkpoint = place_of(rows[0])
    if checkpoint.number is not None and (siblings > 1 or not label):
        label = checkpoint.variant.replace("-", " ")
    elif siblings > 1:
        label = _last_label(rows[0], units)
    previews = [
        row.path.with_name(name)
        for row in rows
        for name in row.companions.previews
        if os.path.splitext(name)[1].casefold() in MEDIA  # noqa: PTH122 - a name, not a path
    ]
    return PlannedVersion(
        tuple(rows), tuple(values), fields, label, tuple(previews[:MOST_PREVIEWS]), tuple(errors),
        elsewhere=_elsewhere(rows),
    )  # fmt: skip


def _last_label(row: Row, units: Collection[str]) -> str:
    """Return the label of a version without a number: its header's, in the unit of the others."""
    unit, number = ("step", row.steps) if units == {"step"} else ("epoch", row.epochs)
    if number:
        return f"{unit} {number}"
    return "final" if units else ""


def _adapter_name(row: Row) -> str:
    """Return a name for an adapter."""
    return name_from(name_of(row)) or f"adapter-{row.sha256[:_MARK]}"


def name_from(words: str) -> str:
    """Return a name as hubs take it: ``Café noir (v2)`` → ``cafe-noir-v2``; empty for none."""
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    joined = _REPEATED.sub("-", _UNUSUAL.sub("-", plain)).strip(".-_").casefold()
    return joined[:_MOST_NAME].rstrip(".-").removesuffix(".git").rstrip(".-")
