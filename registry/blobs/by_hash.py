"""Which versions hold the file that somebody knows a hash of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext as _

from registry.errors import Invalid, NotFound
from registry.models import Adapter, BlobHash, File, HashKind, Version, VersionState, Visibility
from registry.scan import hashes as file_hashes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from registry.models import User
    from registry.scan.hashes import Form

    Viewer = User | AnonymousUser | None

#: Matches of one hash, the earliest published ones, and of all hashes in one question together.
MAX_MATCHES, MAX_ROWS = 20, 10_000

#: Hashes in one query: each has up to four forms, and a query has at most 32,766 parameters.
_BATCH = 500

#: Hexadecimal digits of a whole digest, which nobody hits by trying.
_WHOLE = 64


@dataclass(frozen=True, slots=True)
class Match:
    """A file of a version that has a hash.

    Attributes:
        kind: Kind of the hash, see ``HashKind``.
        value: The hash of that kind, as it is stored.
        version: Published, yanked or withdrawn.
        file: Of that version.
    """

    kind: str
    value: str
    version: Version
    file: File


def by_hash(user: Viewer, text: str, kind: str = "") -> list[Match]:
    """Return the files that a hash may mean, those that were published first at the front.

    Args:
        user: Who asks.
        text: In full or in the form that is customary for its kind, in any case, with or without
            ``0x`` or a prefix such as ``blake3:``.
        kind: Only this kind; any when left out.

    Raises:
        Invalid: it can be no hash.
        NotFound: no version that the user may see holds such a file.
    """
    found = by_hashes(user, [text], kind)[text]
    if not found:
        raise NotFound(_("No file that you may see here has this hash."))
    return found


def by_hashes(user: Viewer, texts: Sequence[str], kind: str = "") -> dict[str, list[Match]]:
    """Return what each of several hashes may mean, [] where it is nothing; see ``by_hash``.

    Unlisted adapters of others are found by whole digests only: of the short forms there are so few
    that somebody could try them all.

    Raises:
        Invalid: one of them can be no hash, or there are more than the hub takes at once.
    """
    most = settings.LORARY.max_hashes
    if len(texts) > most:
        raise Invalid(_("Ask for at most %(n)d hashes at once.") % {"n": most})
    forms = {text: _forms(text, kind) for text in texts}
    each = max(1, min(MAX_MATCHES, MAX_ROWS // max(1, len(forms))))
    rest, found = iter(forms.items()), dict[str, list[Match]]()
    while batch := dict(islice(rest, _BATCH)):
        found |= _matches(user, batch, each)
    return found


def _matches(
    user: Viewer, asked: Mapping[str, Sequence[Form]], each: int
) -> dict[str, list[Match]]:
    """Return text → matches, at most ``each``, the first published at the front."""
    blobs = _blobs_of({form for several in asked.values() for form in several})
    keys = {pk for several in blobs.values() for pk in several}
    places = list(_places(user, keys)) if keys else []
    hidden = _hidden(user, places)
    held: dict[int, list[int]] = {}
    for order, (_version, file) in enumerate(places):
        held.setdefault(file.blob_id, []).append(order)
    found: dict[str, list[Match]] = {}
    for text, several in asked.items():
        rows = sorted(
            (order, rank)
            for rank, form in enumerate(several)
            for blob in blobs.get(form, ())
            for order in held.get(blob, ())
            if len(form.value) == _WHOLE or places[order][0].adapter_id not in hidden
        )
        found[text] = [Match(*several[rank], *places[order]) for order, rank in rows[:each]]
    return found


def _forms(text: str, kind: str) -> list[Form]:
    forms = file_hashes.forms_of(text)
    if not forms:
        message = _("“%(text)s” is no hash: those have 8, 10, 12 or 64 hex digits.")
        raise Invalid(message % {"text": text[:80]})
    return [form for form in forms if not kind or form.kind == kind]


def adapters_with(forms: Iterable[Form]) -> QuerySet[Version, int]:
    """Return a query of the keys of adapters whose weights have one of these hashes.

    It knows nothing of who asks: use it as a condition beside one that does.
    """
    blobs = BlobHash.objects.filter(_having(forms)).values("blob")
    versions = Version.objects.exclude(state=VersionState.DRAFT)
    return versions.filter(revision__files__blob__in=blobs).values_list("adapter", flat=True)


def _having(forms: Iterable[Form]) -> Q:
    by_kind: dict[str, list[str]] = {}
    for form in forms:
        by_kind.setdefault(form.kind, []).append(form.value)
    wanted = Q(pk__in=[])
    for kind, values in by_kind.items():
        wanted |= Q(kind=kind, value__in=values)
    return wanted


def _blobs_of(forms: Iterable[Form]) -> dict[Form, set[int]]:
    """Return hash → keys of the blobs that have it."""
    rows = BlobHash.objects.filter(_having(forms)).values_list("kind", "value", "blob")
    found: dict[Form, set[int]] = {}
    for kind, value, blob in rows:
        found.setdefault(file_hashes.Form(kind, value), set()).add(blob)
    return found


def _places(user: Viewer, blobs: Iterable[int]) -> Iterator[tuple[Version, File]]:
    """Yield versions that the user may see with their files of these blobs, the oldest first."""
    files = File.objects.filter(blob__in=list(blobs))
    versions = (
        Version.objects.exclude(state=VersionState.DRAFT)
        .filter(adapter__in=Adapter.objects.visible_to(user), revision__in=files.values("revision"))
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
    """Return keys of adapters that only those who know their address may see."""
    adapters = {version.adapter for version, _file in places}
    unlisted = {one.pk for one in adapters if one.visibility == Visibility.UNLISTED}
    if not unlisted:
        return unlisted
    own = Adapter.objects.listed_for(user).filter(pk__in=unlisted)
    return unlisted - set(own.values_list("pk", flat=True))


def places_of_weights(
    user: Viewer, hashes: Mapping[str, str], most: int = 5
) -> list[dict[str, str]]:
    """Return where the same weights are published already, as far as lists show it to the user.

    Args:
        user: Who sends a file; others' private and unlisted adapters are not for them to know.
        hashes: Of the file, by kind.
        most: At most so many.

    Returns:
        ``adapter``, ``version`` and ``same``: ``file``, ``tensors`` in another file, or ``weights``
        in another number format.
    """
    kinds = (HashKind.SHA256, HashKind.WEIGHTS_F16, HashKind.WEIGHTS_BF16)
    found = _blobs_of([file_hashes.Form(kind, hashes[kind]) for kind in kinds if kind in hashes])
    blobs = {pk for several in found.values() for pk in several}
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
