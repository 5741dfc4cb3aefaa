"""``/model-versions``: versions by id or by a hash of a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import orjson
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from hub.protocols.civitai import files, shapes
from hub.protocols.civitai.endpoint import Refused, answer, endpoint, origin
from hub.protocols.civitai.query import MAX_NUMBER, QueryParameters, number
from hub.protocols.civitai.shapes import VersionBundle
from registry.blobs import by_hash as blobs_by_hash
from registry.blobs.by_hash import Match
from registry.errors import Gone, Invalid, NotFound
from registry.models import Version, VersionState
from registry.versions import by_id

MOST_HASHES, MOST_IDS, MOST_NUMBERS = 100, 10_000, 100
#: Length of the notes that are formatted for several versions, of one and of all. It takes 0.1 s
#: for each 10,000 characters of lists.
MOST_NOTES, MOST_NOTES_IN_ALL = 2_000, 20_000

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
#: Visible states, in the order of preference.
_LISTED_STATES = (VersionState.PUBLISHED, VersionState.YANKED)


@endpoint("GET")
def version(request: HttpRequest, number_text: str) -> HttpResponse:
    """Return a version, also a yanked one."""
    found = _of(request, number_text)
    return answer(shapes.versions([found], origin(request))[0])


@endpoint("GET")
def mini(request: HttpRequest, number_text: str) -> HttpResponse:
    """Return what a download needs, for the file ``modelFileId`` or the primary one."""
    found, parameters = _of(request, number_text), QueryParameters(request)
    parameters.whole("epoch", 0, 0, 1_000_000)  # of training results, which a hub does not have
    wanted = parameters.id("modelFileId")
    bundle = VersionBundle(origin(request), by_id.manifests_of([found]))
    listed = bundle.files(found)
    file = next((one for one in listed if one.pk == wanted), None)
    file = files.main_of(listed) if wanted is None else file
    if file is None:
        raise NotFound(_("File not found: this version has no file with this number."))
    return answer(shapes.mini(found, file, bundle))


def _of(request: HttpRequest, number_text: str) -> Version:
    """Return a version by its id."""
    try:
        return by_id.version(request.user, number(number_text))
    except Gone as error:
        raise Refused(404, f"Model not found: {error.detail}") from error
    except NotFound as error:
        raise Refused(404, "Model not found") from error


@endpoint("POST", scope="search")
def by_ids(request: HttpRequest) -> HttpResponse:
    """Return the versions with at most 100 ids, each as ``version`` does; Civitai has no such view.

    Versions that the caller cannot see are left out, and so are those with long notes.
    """
    left, rows = MOST_NOTES_IN_ALL, []
    for row in by_id.several(request.user, _numbers(request)):
        if len(row.notes) <= min(left, MOST_NOTES):
            left -= len(row.notes)
            rows.append(row)
    return answer(shapes.versions(rows, origin(request), has_notes=True))


@endpoint("GET", scope="search")
def by_hash(request: HttpRequest, value: str) -> HttpResponse:
    """Return the version whose weights have a hash, the first published one of several.

    A file that the hub made of a version's file is answered with that version, and with
    ``derivedFrom``, which Civitai does not have.
    """
    try:
        matches = blobs_by_hash.by_hash(request.user, value)
    except (Invalid, NotFound) as error:
        raise Refused(404, f"Model not found: {error.detail}") from error
    listed = _listed(request, matches)
    if not listed:
        raise Refused(404, "Model not found")
    document = shapes.versions([listed[0].version], origin(request))[0]
    return answer(document | shapes.derived_from(listed[0]))


@endpoint("POST", scope="search")
def by_hashes(request: HttpRequest) -> HttpResponse:
    """Return the versions of at most 100 SHA-256 digests; unknown digests are left out."""
    digests = _digests(request, MOST_HASHES)
    numbers = {pk for _sha256, pk, _owner in by_id.with_digests(request.user, digests)}
    found = by_id.published(request.user, numbers)
    return answer(shapes.versions(found, origin(request)))


@endpoint("POST", scope="search")
def ids_by_hashes(request: HttpRequest) -> HttpResponse:
    """Return the ids of the versions of at most 10,000 SHA-256 digests."""
    found = by_id.with_digests(request.user, _digests(request, MOST_IDS))
    return answer(
        [
            {"modelVersionId": pk, "modelId": owner, "hash": sha256.upper()}
            for sha256, pk, owner in found
        ]
    )


def _listed(request: HttpRequest, matches: Iterable[Match]) -> Sequence[Match]:
    """Return the matches in visible adapters.

    Files of versions come before files that the hub made, then published versions before yanked
    ones.
    """
    found = [one for one in matches if one.version.state in _LISTED_STATES]
    owners = {one.version.adapter_id for one in found}
    seen = by_id.adapters_for(request.user).filter(pk__in=owners, withdrawn_reason="")
    known = set(seen.values_list("pk", flat=True)) if owners else set()
    return sorted(
        (one for one in found if one.version.adapter_id in known),
        key=lambda one: (
            one.derived is not None,
            _LISTED_STATES.index(VersionState(one.version.state)),
        ),
    )


def _numbers(request: HttpRequest) -> list[int]:
    """Return the ids of a body."""
    try:
        document = orjson.loads(request.body)
    except ValueError:
        document = None
    listed = document if isinstance(document, list) else []
    found = [one for one in listed if type(one) is int and 0 < one <= MAX_NUMBER]
    if not found or len(found) != len(listed) or len(found) > MOST_NUMBERS:
        raise Invalid(_("Send a JSON array of 1 to %(n)d ids.") % {"n": MOST_NUMBERS})
    return found


def _digests(request: HttpRequest, most: int) -> list[str]:
    """Return the digests of a body, in lower case."""
    try:
        document = orjson.loads(request.body)
    except ValueError as error:
        raise Invalid(_("Send a JSON array of SHA256 hashes.")) from error
    if not isinstance(document, list) or not document or len(document) > most:
        raise Invalid(_("Send a JSON array of 1 to %(n)d SHA256 hashes.") % {"n": most})
    found = [one.lower() for one in document if isinstance(one, str)]
    if len(found) != len(document) or not all(_SHA256.match(one) for one in found):
        raise Invalid(_("Each hash must be a complete SHA256, 64 hex digits."))
    return found
