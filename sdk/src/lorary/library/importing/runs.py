"""Plans the push of a folder: a finished adapter, or the output of a training run.

All weights of the folder become versions of one adapter, in the order of the run. README.md and
the ``adapter_config.json`` beside the weights are published with them; the hub reads both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lorary.anatomy.display_names import title_of
from lorary.client.errors import LoraryError
from lorary.client.names import Reference
from lorary.client.transfers.cards import CARD, MOST_CARD_BYTES, Card, read_card
from lorary.library.importing.fields import (
    RANK,
    Field,
    Fields,
    chosen,
    combined,
    with_given,
)
from lorary.library.importing.journal import Entry
from lorary.library.importing.pictures import pictures_of, samples_in
from lorary.library.importing.planning import (
    PlannedAdapter,
    PlannedVersion,
    Skipped,
    downloads_of,
    unique,
    versions_of,
)
from lorary.library.index.listing import Row
from lorary.library.sidecars.reading import Value
from lorary.library.variants import checkpoint_of, is_generic, run_of, split_copy

CONFIG = "adapter_config.json"
#: Key of a card's front matter to the fields that it states; the hub reads the values.
_STATED = {
    "base_model": ("family", "lineage"), "license": ("licence",), "license_name": ("licence",),
    "tags": ("tags",), "instance_prompt": ("trigger_words",),
}  # fmt: skip
#: Fields that a sidecar of one checkpoint states for the whole run.
_SHARED = frozenset({"family", "lineage", "strength", "trigger_words"})
#: Folders with the state of a training, from which it can be resumed.
_STATE = re.compile(r".{0,250}-state|backup|backups", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Run:
    """What the push of a folder will do.

    Attributes:
        adapter: The adapter with the versions to publish, and those that still lack pictures.
        here: Versions that the hub has with everything.
        skipped: Files that are not published.
        card: The card that is published with each version.
    """

    adapter: PlannedAdapter
    here: tuple[PlannedVersion, ...]
    skipped: tuple[Skipped, ...]
    card: Card | None

    @property
    def is_begun(self) -> bool:
        """Whether the hub has some of the versions."""
        return bool(self.here) or any(one.published for one in self.adapter.versions)


def plan_run(
    rows: Iterable[Row],
    root: Path,
    target: Reference,
    given: Fields,
    journal: Mapping[str, Entry],
) -> Run:
    """Return what to do with the files of a folder.

    Args:
        root: The folder.
        given: Values that a person gave, which come first.
        journal: sha256 → what pushes from this computer did.

    Raises:
        LoraryError: ``several_adapters``: the files are not of one run.
    """
    skipped: list[Skipped] = []
    weights = [_placed(row, root) for row in _without_state(rows, root, skipped)]

    def rank(row: Row) -> tuple[bool, bool]:
        return not _version_of([row], target, journal), row.number is not None

    usable = list(unique(weights, rank, skipped))
    _require_one_run(usable)
    card = read_card(root / CARD)
    if card is None and os.path.lexists(root / CARD):
        message = f"it is not a file of UTF-8 text with at most {MOST_CARD_BYTES // 2**20} MiB"
        skipped.append(Skipped(root / CARD, "card_unreadable", message))
    planned = tuple(versions_of(usable))
    pictures = pictures_of(planned, samples_in([root, *(row.path.parent for row in usable)]))
    values = [value for version in reversed(planned) for value in version.values]
    fields = with_given(_with_title(_unstated(chosen(values), card), target), given)
    shared = {name: fields[name] for name in _SHARED & fields.keys()}
    titled = {"title": fields["title"]}
    versions = [
        _completed(version, own, card, shared)
        for version, own in zip(planned, pictures, strict=True)
    ]
    versions = [
        replace(
            one,
            fields=with_given({**one.fields, **titled}, given),
            label=str(given["label"].best.value) if "label" in given else one.label,
            published=_version_of(one.rows, target, journal),
        )
        for one in versions
    ]
    due = tuple(one for one in versions if _is_due(one, journal))
    return Run(
        PlannedAdapter(target.name, fields, due, is_known=True),
        tuple(one for one in versions if one not in due),
        tuple(skipped),
        card,
    )


def _without_state(rows: Iterable[Row], root: Path, skipped: list[Skipped]) -> Iterable[Row]:
    for row in rows:
        below = row.path.relative_to(root).parts[:-1]
        if any(_STATE.fullmatch(part) for part in below):
            message = "it is the saved state of a training run, for resuming it"
            skipped.append(Skipped(row.path, "training_state", message))
        else:
            yield row


def _placed(row: Row, root: Path) -> Row:
    """Return a file with its place in the run; folders of checkpoints belong to one run."""
    number = checkpoint_of(row.path.relative_to(root).as_posix()).number
    return replace(row, number=number)


def _require_one_run(rows: Sequence[Row]) -> None:
    runs: list[tuple[set[tuple[str, str]], Row]] = []
    downloads = downloads_of(rows, _name_of)
    for row in rows:
        marks = _marks(row, downloads.get(row.path))
        same = [one for one in runs if not marks.isdisjoint(one[0])]
        if marks:
            runs = [one for one in runs if one not in same]
            runs.append((marks.union(*(one[0] for one in same)), same[0][1] if same else row))
    families = {row.family: row for row in rows if row.family}
    different = [row for _, row in runs] if len(runs) > 1 else [*families.values()]
    if len(different) > 1:
        names = ", ".join(row.path.name for row in different[:5])
        what = "different adapters" if len(runs) > 1 else "different base models"
        message = (
            f"The folder has files of {what}: {names}{', …' if len(different) > 5 else ''}. "
            "Move the files of each adapter to a separate folder and push that folder, or publish "
            "all of them as separate adapters with `lorary import`."
        )
        raise LoraryError(message, code="several_adapters")


def _name_of(row: Row) -> str:
    bases = {"base": {"family": row.family, "candidates": row.candidates}}
    return run_of(row.path.name, bases)


def _marks(row: Row, copy: str | None) -> set[tuple[str, str]]:
    """Return what files of one run have in common; nothing for a name that says nothing.

    Args:
        copy: See `downloads_of`; None if no other name differs by the number of a download alone.
    """
    name = split_copy(_name_of(row))[0] if copy is not None else _name_of(row)
    is_telling = copy is not None or not is_generic(name.partition("(")[0])
    marks = {("name", f"{name}{copy or ''}")} if is_telling else set()
    return marks | ({("session", row.session)} if row.session else set())


def _completed(
    version: PlannedVersion, pictures: tuple[Path, ...], card: Card | None, shared: Fields
) -> PlannedVersion:
    """Return a version with its pictures, the files beside it, and what others of the run state."""
    configs = dict.fromkeys(path.with_name(CONFIG) for path in version.paths)
    attached = [config for config in configs if config.is_file()][:1]
    return replace(
        version,
        fields=_shared(_unstated(version.fields, card), shared),
        previews=pictures,
        attached=(*attached, card.path) if card else tuple(attached),
    )


def _shared(own: Fields, shared: Fields) -> Fields:
    """Return the fields of a version with those of its run that are missing or trusted more."""
    better = {
        name: field
        for name, field in shared.items()
        if name not in own or RANK[field.best.confidence] < RANK[own[name].best.confidence]
    }
    return combined(own, better)


def _version_of(rows: Iterable[Row], target: Reference, journal: Mapping[str, Entry]) -> str:
    """Return the version that the adapter has with these weights, in whatever state; or ""."""
    names = {_found(row, target) or _pushed(row, journal) for row in rows}
    return names.pop() if len(names) == 1 else ""


def _pushed(row: Row, journal: Mapping[str, Entry]) -> str:
    entry = journal.get(row.sha256)
    return entry.version if entry is not None else ""


def _found(row: Row, target: Reference) -> str:
    """Return the version of the adapter that the hub found by the hash of a file."""
    wanted = target.full_name.casefold()
    return next(
        (
            str(match["version"])
            for match in row.matches or ()
            if match["same"] == "file" and str(match["adapter"]).casefold() == wanted
        ),
        "",
    )


def _unstated(fields: Fields, card: Card | None) -> Fields:
    """Return the fields without those that the card states; what is trusted more stays."""
    stated = {name for key in (card.keys if card else ()) for name in _STATED.get(key, ())}
    return {
        name: field
        for name, field in fields.items()
        if not (card and name == "card")
        and (name not in stated or field.best.confidence in {"proven", "declared"})
    }


def _with_title(fields: Fields, target: Reference) -> Fields:
    """Return the fields with the adapter's name as the title, if no file has one."""
    title = fields.get("title")
    if title is not None and title.best.confidence != "guessed":
        return fields
    return {**fields, "title": Field(Value("title", title_of(target.name), "--to", "guessed"))}


def _is_due(version: PlannedVersion, journal: Mapping[str, Entry]) -> bool:
    """Return whether something is left to do.

    A version that another computer pushed keeps the pictures that it has.
    """
    if not version.published:
        return True
    entries = [journal.get(row.sha256) for row in version.rows]
    return all(one is not None and one.pictures < len(version.previews) for one in entries)
