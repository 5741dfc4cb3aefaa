"""Resolves the adapters of files; see the package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.anatomy.claims.metadata import clean
from lorary.client.errors import FileMissing, FileUnreadable, Unreachable
from lorary.client.finding.by_hash import OF_TENSORS, Match, also_in
from lorary.client.finding.by_name import MAX_CHARS, Named
from lorary.client.resolving.catalogues import OUT, CachedCatalogue, Catalogue, HubCatalogue
from lorary.client.resolving.local import COMPUTED, LocalFiles, by_name
from lorary.client.resolving.references import LoraReference, Resolved
from lorary.pictures.claims.facts import file_stem
from lorary.pictures.metadata import Unreadable, loras_of

if TYPE_CHECKING:
    from lorary.client.http.session import Session
    from lorary.client.progress import OnProgress
    from lorary.client.transfers.cache import Cache


@dataclass(frozen=True, slots=True)
class Answer:
    """The adapters of several files.

    Attributes:
        files: One for each file, in order.
        failure: Why the hub could not be asked; None if it answered.
    """

    files: tuple[Resolved, ...]
    failure: Unreachable | None = None

    @property
    def references(self) -> tuple[LoraReference, ...]:
        """The references of all files."""
        return tuple(one for file in self.files for one in file.references)


def resolve(
    session: Session,
    cache: Cache,
    files: Sequence[Path],
    folders: Sequence[Path],
    on_progress: OnProgress,
) -> Answer:
    """Return the adapters that files name; see `lorary.client.hub.Hub.resolve`."""
    read = tuple(read_file(path) for path in files)
    references = [one for file in read for one in file.references]
    failure = None
    local = LocalFiles(folders, cache, on_progress)
    catalogue: Catalogue = HubCatalogue(session)
    try:
        look_up(catalogue, references)
    except Unreachable as error:
        failure = error
        catalogue = CachedCatalogue(cache, session.endpoint, on_progress)
        look_up(catalogue, references)
    _find_here(local, references)
    _name_local(catalogue, references)
    return Answer(read, failure)


def read_file(path: Path) -> Resolved:
    """Return the references in a file, not looked up yet."""
    try:
        found = loras_of(path)
    except (OSError, ValueError) as error:  # a null byte in a name raises ValueError
        if isinstance(error, Unreadable):
            return Resolved(path, error=FileUnreadable(f"{path}: {error}"))
        reason = getattr(error, "strerror", None) or error
        return Resolved(path, error=FileMissing(f"{path} cannot be read: {reason}."))
    rows = [
        LoraReference(clean(one.name, MAX_CHARS), one.strength_or_none(), one.hashes_by_kind())
        for one in found
    ]
    return Resolved(path, tuple(rows))


def look_up(catalogue: Catalogue, references: Sequence[LoraReference]) -> None:
    """Set the versions that are known: by hash, by name only where there is no hash."""
    known = catalogue.by_hash([text for one in references for text in one.hashes.values()])
    names = [one.name for one in references if one.name and not one.hashes]
    named = catalogue.by_name(names)
    alike = {rows[0].file.sha256 for rows in named.values() if len(rows) > 1 and _are_one(rows)}
    holders = catalogue.by_hash(sorted(alike)) if alike else {}
    for one in references:
        if one.hashes:
            _take_matches(one, [m for text in one.hashes.values() for m in known.get(text, ())])
        else:
            _take_named(one, named.get(one.name, ()), holders)


def _take_matches(one: LoraReference, matches: Sequence[Match]) -> None:
    out = [match for match in matches if match.version.state in OUT]
    if not out:
        one.reason = next((m.version.reason or "withdrawn" for m in matches), "")
        return
    same = [match for match in out if match.is_same_file]
    found = same or out
    named = [match for match in found if _is_named(one, match.file.path)]
    if len({match.file.sha256 for match in found}) > 1:
        if same and len({match.file.sha256 for match in named}) != 1:
            one.state, one.evidence, one.candidates = "hub", "hash", _names(found)
            return
        found = named or found
    chosen = min(found, key=lambda match: match.version.state != "published")
    _take(one, chosen)
    one.evidence, one.derived = "hash", chosen.derived
    one.also = also_in(chosen, _with_file(chosen, found))


def _take_named(
    one: LoraReference, matches: Sequence[Named], holders: Mapping[str, Sequence[Match]]
) -> None:
    if not matches:
        return
    one.evidence = "name"
    if not _are_one(matches):
        one.state, one.candidates = "hub", _names(matches)
        return
    # The adapter that a look-up by hash chooses, in the version that the name stands for.
    ranks: dict[str, int] = {}
    for rank, match in enumerate(holders.get(matches[0].file.sha256, ())):
        ranks.setdefault(match.version.adapter, rank)

    def order(match: Named) -> tuple[bool, int]:
        rank = ranks.get(match.version.adapter, len(ranks))
        return match.version.state != "published", rank

    best, *others = sorted(matches, key=order)
    _take(one, best)
    one.also = also_in(best, others)


def _are_one(matches: Sequence[Named]) -> bool:
    """Return whether all matches are the same file."""
    return len({match.file.sha256 for match in matches}) == 1


def _with_file(chosen: Match, matches: Iterable[Match]) -> list[Match]:
    """Return the matches of the chosen file; a file that the hub made is none of theirs."""
    rows = (m for m in matches if m.derived is None and chosen.derived is None)
    return [match for match in rows if match.file.sha256 == chosen.file.sha256]


def _take(one: LoraReference, match: Match | Named) -> None:
    one.state, one.version, one.file = "hub", match.version, match.file
    one.sha256 = match.file.sha256


def _names(matches: Iterable[Match | Named]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{m.version.adapter}@{m.version.name}" for m in matches))


def _is_named(one: LoraReference, path: str) -> bool:
    return file_stem(one.name) == file_stem(path)


def _find_here(local: LocalFiles, references: Sequence[LoraReference]) -> None:
    """Set the local files: by hash, by name only where there is no hash."""
    for one in references:
        _find_quickly(local, one)
    if any(_may_be_anywhere(one) for one in references):
        local.hash_all()
        for one in filter(_may_be_anywhere, references):
            _place(local, one, local.matching(one, by_name(local.paths, one.name)))


def _find_quickly(local: LocalFiles, one: LoraReference) -> None:
    """Look at the cache, and at files of the same name or size."""
    if one.file is not None:
        here = _of_digest(local, one.name, one.file.sha256, one.file.size_bytes)
        # A file of the same name in a folder is the one that the tool would use.
        is_hidden = one.evidence == "name" and bool(local.named(one.name))
        if here is None and not is_hidden:
            here = local.cached(one.file.sha256, one.file.size_bytes)
        if here is not None:
            one.state, one.path = "here", here
            return
    if COMPUTED & one.hashes.keys():
        _place(local, one, local.matching(one, local.named(one.name) if one.name else ()))
    elif one.name and one.evidence != "hash":
        found = local.named(one.name)
        if found:
            one.state, one.evidence, one.path = "here", "name", found[0]
            one.version = one.file = one.derived = None
            one.candidates = one.also = ()
            one.sha256 = local.sha256_of(found[0])


def _of_digest(local: LocalFiles, name: str, sha256: str, size_bytes: int) -> Path | None:
    """Return a file of a digest; of copies, the one that a picture names."""
    paths = by_name(local.of_size(size_bytes), name)
    return next((path for path in paths if local.sha256_of(path) == sha256), None)


def _place(local: LocalFiles, one: LoraReference, path: Path | None) -> None:
    if path is not None:
        one.state, one.evidence, one.path = "here", "hash", path
        one.sha256 = local.sha256_of(path)
        one.candidates = ()


def _may_be_anywhere(one: LoraReference) -> bool:
    """Return whether a file with the hash may have any name and size."""
    if one.state == "here" or not COMPUTED & one.hashes.keys():
        return False
    # A derived file, or the same tensors with another header, has another size.
    is_other = one.derived is not None or bool(OF_TENSORS & one.hashes.keys())
    return one.file is None or is_other


def _name_local(catalogue: Catalogue, references: Sequence[LoraReference]) -> None:
    """Set the versions of local files that were recognised otherwise than by their versions."""
    rows = [one for one in references if one.state == "here" and one.sha256]
    unknown = [one for one in rows if one.file is None or one.file.sha256 != one.sha256]
    known = catalogue.by_hash([one.sha256 for one in unknown])
    for one in unknown:
        out = [m for m in known.get(one.sha256, ()) if m.version.state in OUT]
        one.version, one.file = (out[0].version, out[0].file) if out else (None, None)
        one.derived = out[0].derived if out else None
        one.also = also_in(out[0], _with_file(out[0], out)) if out else ()
