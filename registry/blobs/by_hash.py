"""Finds versions by the hash of a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, Min, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from registry.errors import Invalid, NotFound
from registry.models import (
    Adapter,
    BlobHash,
    DerivedHash,
    File,
    HashKind,
    User,
    Version,
    VersionState,
    Visibility,
)
from registry.scan import hashes as file_hashes
from registry.scan.hashes import Form

Viewer = User | AnonymousUser | None

#: Maximum number of matches per hash (the earliest published ones), and per request.
MAX_MATCHES, MAX_ROWS = 20, 10_000

#: Maximum hashes per query: each has up to four forms, and a query has at most 32,766 parameters.
_BATCH = 500

#: Number of hexadecimal digits of a complete digest, which cannot be guessed.
_WHOLE = 64


@dataclass(frozen=True, slots=True)
class Match:
    """A file with a hash, and its version.

    Attributes:
        kind: Kind of the hash, see ``HashKind``.
        value: The hash as stored.
        version: A published, yanked or withdrawn version.
        file: A file of that version.
        derived: How the file with the hash was made of that file; None if it is that file.
    """

    kind: str
    value: str
    version: Version
    file: File
    derived: DerivedHash | None = None


def by_hash(user: Viewer, text: str, kind: str = "") -> list[Match]:
    """Return the files that match a hash, the earliest published first.

    Files that the hub made of others (``registry.derived``) come last; they are found by their
    hashes also when they are no longer stored.

    Args:
        text: The hash in full or in the usual short form of its kind, in any case, optionally with
            ``0x`` or a prefix such as ``blake3:``.
        kind: Only this kind; "" for any.

    Raises:
        Invalid: it is not a hash.
        NotFound: no version that the user may see has such a file.
    """
    found = by_hashes(user, [text], kind)[text]
    if not found:
        raise NotFound(_("No file that you can see has this hash."))
    return found


def by_hashes(user: Viewer, texts: Sequence[str], kind: str = "") -> dict[str, list[Match]]:
    """Return the matches of each hash, [] without any; see ``by_hash``.

    Other users' unlisted adapters are found only by whole digests, because short forms could be
    enumerated.

    Raises:
        Invalid: one of them is not a hash, or there are more than the hub allows.
    """
    most = settings.LORARY.max_hashes
    if len(texts) > most:
        raise Invalid(_("Send at most %(n)d hashes at once.") % {"n": most})
    forms = {text: _forms(text, kind) for text in texts}
    each = max(1, min(MAX_MATCHES, MAX_ROWS // max(1, len(forms))))
    rest, found = iter(forms.items()), dict[str, list[Match]]()
    while batch := dict(islice(rest, _BATCH)):
        found |= _matches(user, batch, each)
    return found


def _matches(
    user: Viewer, forms_by_text: Mapping[str, Sequence[Form]], each: int
) -> dict[str, list[Match]]:
    """Return text → matches, at most ``each``, the earliest published first."""
    wanted = {form for forms in forms_by_text.values() for form in forms}
    blobs, derived = _blobs_of(wanted), _derived_of(wanted)
    keys = {pk for ids in blobs.values() for pk in ids}
    keys |= {one.source_id for rows in derived.values() for one in rows}
    places = list(_places(user, keys)) if keys else []
    hidden = _hidden(user, places)
    held: dict[int, list[int]] = {}
    for order, (_version, file) in enumerate(places):
        held.setdefault(file.blob_id, []).append(order)
    found: dict[str, list[Match]] = {}
    for text, forms in forms_by_text.items():
        rows: list[tuple[bool, int, int, DerivedHash | None]] = [
            (False, order, rank, None)
            for rank, form in enumerate(forms)
            for blob in blobs.get(form, ())
            for order in held.get(blob, ())
        ]
        exact = {order for _is_derived, order, _rank, _one in rows}  # the same data, for instance
        rows += [
            (True, order, rank, one)
            for rank, form in enumerate(forms)
            for one in derived.get(form, ())
            for order in held.get(one.source_id, ())
            if places[order][0].adapter_id == one.adapter_id and order not in exact
        ]
        rows.sort(key=lambda row: row[:3])
        matches = (
            Match(*forms[rank], *places[order], one)
            for _is_derived, order, rank, one in rows
            if len(forms[rank].value) == _WHOLE or places[order][0].adapter_id not in hidden
        )
        found[text] = list(islice(matches, each))
    return found


def _forms(text: str, kind: str) -> list[Form]:
    forms = file_hashes.forms_of(text)
    if not forms:
        message = _("“%(text)s” is not a hash. A hash has 8, 10, 12 or 64 hex digits.")
        raise Invalid(message % {"text": text[:80]})
    return [form for form in forms if not kind or form.kind == kind]


def versions_with(text: str, adapters: QuerySet[Adapter]) -> QuerySet[Version] | None:
    """Return the versions whose weights, or files made of them, have a hash; None if it is not one.

    A hash is what ``by_hash`` accepts, or the beginning of a sha256. The query does not check who
    may see the versions: combine it with a condition that does.

    Args:
        adapters: The adapters that are searched; files made in others do not count against the
            maximum number of matches.
    """
    forms, beginning = file_hashes.forms_of(text), file_hashes.beginning_of(text)
    if not forms and not beginning:
        return None
    wanted = _having(forms)
    if beginning:  # “g” comes after all digits
        first, after = beginning, f"{beginning}g"
        wanted |= Q(kind=HashKind.SHA256, value__gte=first, value__lt=after)
    blobs = BlobHash.objects.filter(wanted).values("blob")
    held = Q(revision__files__blob__in=blobs)
    seen = Exists(adapters.filter(pk=OuterRef("adapter")))
    made = DerivedHash.objects.filter(wanted).filter(seen).values_list("adapter", "source")
    for adapter, source in made.alias(first=Min("pk")).order_by("first")[:MAX_MATCHES]:
        held |= Q(adapter=adapter, revision__files__blob=source)
    return Version.objects.exclude(state=VersionState.DRAFT).filter(held)


def _having(forms: Iterable[Form]) -> Q:
    by_kind: dict[str, list[str]] = {}
    for form in forms:
        by_kind.setdefault(form.kind, []).append(form.value)
    wanted = Q(pk__in=[])
    for kind, values in by_kind.items():
        wanted |= Q(kind=kind, value__in=values)
    return wanted


def _blobs_of(forms: Iterable[Form]) -> dict[Form, set[int]]:
    """Return hash → ids of the blobs that have it."""
    rows = BlobHash.objects.filter(_having(forms)).values_list("kind", "value", "blob")
    found: dict[Form, set[int]] = {}
    for kind, value, blob in rows:
        found.setdefault(file_hashes.Form(kind, value), set()).add(blob)
    return found


def _derived_of(forms: Iterable[Form]) -> dict[Form, list[DerivedHash]]:
    """Return hash → derived files that have it."""
    found: dict[Form, list[DerivedHash]] = {}
    for one in DerivedHash.objects.filter(_having(forms)).order_by("pk"):
        found.setdefault(file_hashes.Form(one.kind, one.value), []).append(one)
    return found


def _places(user: Viewer, blobs: Iterable[int]) -> Iterator[tuple[Version, File]]:
    """Yield visible versions with their files of these blobs, the oldest first."""
    files = File.objects.filter(blob__in=list(blobs))
    seen = Adapter.objects.visible_to(user).among("adapter")
    versions = (
        Version.objects.exclude(state=VersionState.DRAFT)
        .filter(seen, revision__in=files.values("revision"))
        .select_related("adapter__namespace", "revision", "author")
        .order_by("published_at", "pk")[:MAX_ROWS]
    )
    rows = list(versions)
    held: dict[int, list[File]] = {}
    revisions = {row.revision_id for row in rows}
    for file in files.filter(revision__in=revisions).select_related("blob").order_by("path"):
        held.setdefault(file.revision_id, []).append(file)
    for row in rows:
        for file in held.get(row.revision_id, []):
            yield row, file


def _hidden(user: Viewer, places: Iterable[tuple[Version, File]]) -> set[int]:
    """Return ids of other users' unlisted adapters."""
    adapters = {version.adapter for version, _file in places}
    unlisted = {one.pk for one in adapters if one.visibility == Visibility.UNLISTED}
    if not unlisted:
        return unlisted
    own = Adapter.objects.listed_for(user).filter(pk__in=unlisted)
    return unlisted - set(own.values_list("pk", flat=True))


def places_of_weights(
    user: Viewer, hashes: Mapping[str, str], most: int = 5
) -> list[dict[str, str]]:
    """Return the listed versions that have the same weights.

    Args:
        user: The uploader, who must not learn about others' private and unlisted adapters.
        most: Maximum number of results.

    Returns:
        ``adapter``, ``version`` and ``same``: ``file``, ``tensors`` in another file, or ``weights``
        in another number format.
    """
    kinds = (HashKind.SHA256, HashKind.WEIGHTS_F16, HashKind.WEIGHTS_BF16)
    found = _blobs_of([file_hashes.Form(kind, hashes[kind]) for kind in kinds if kind in hashes])
    blobs = {pk for ids in found.values() for pk in ids}
    places = [(version, file) for version, file in _places(user, blobs)] if blobs else []
    hidden = _hidden(user, places)
    return [
        {
            "adapter": version.adapter.full_name,
            "version": version.name,
            "same": _sameness(file, hashes),
        }
        for version, file in places
        if version.adapter_id not in hidden and version.state != VersionState.WITHDRAWN
    ][:most]


def _sameness(file: File, hashes: Mapping[str, str]) -> str:
    if file.sha256 == hashes[HashKind.SHA256]:
        return "file"
    tensors = file.blob.hashes.get(HashKind.TENSORS)
    return "tensors" if tensors == hashes[HashKind.TENSORS] else "weights"
