"""``/model-versions``: one version, by its number or by a hash of its file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson
from django.utils.translation import gettext as _

from hub.protocols.civitai import files, shapes
from hub.protocols.civitai.asked import Asked, number
from hub.protocols.civitai.door import Refused, answer, door, origin
from hub.protocols.civitai.shapes import Shelf
from registry.blobs import by_hash as blobs_by_hash
from registry.errors import Gone, Invalid, NotFound
from registry.models import VersionState
from registry.versions import by_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.http import HttpRequest, HttpResponse

    from registry.blobs.by_hash import Match
    from registry.models import Version

MOST_HASHES, MOST_IDS = 100, 10_000

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
#: Order of the states in which a version is told; the others are not.
_TOLD = (VersionState.PUBLISHED, VersionState.YANKED)


@door("GET")
def version(request: HttpRequest, number_text: str) -> HttpResponse:
    """Return a version; one that is not offered any more, too."""
    found = _of(request, number_text)
    return answer(shapes.versions([found], origin(request))[0])


@door("GET")
def mini(request: HttpRequest, number_text: str) -> HttpResponse:
    """Return what a download needs, of the file that ``modelFileId`` names or the primary one."""
    found, asked = _of(request, number_text), Asked(request)
    asked.whole("epoch", 0, 0, 1_000_000)  # of training results, which are not kept here
    wanted = asked.id("modelFileId")
    shelf = Shelf(origin(request), by_id.manifests_of([found]))
    listed = shelf.files(found)
    file = next((one for one in listed if one.pk == wanted), None)
    file = files.main_of(listed) if wanted is None else file
    if file is None:
        raise NotFound(_("File not found: this version has no file with this number."))
    return answer(shapes.mini(found, file, shelf))


def _of(request: HttpRequest, number_text: str) -> Version:
    """Return a version by its number.

    Raises:
        Refused: there is none, or it was withdrawn: to clients that is the same.
    """
    try:
        return by_id.version(request.user, number(number_text))
    except Gone as error:
        raise Refused(404, f"Model not found: {error.detail}") from error
    except NotFound as error:
        raise Refused(404, "Model not found") from error


@door("GET", scope="search")
def by_hash(request: HttpRequest, value: str) -> HttpResponse:
    """Return the version whose weights have a hash; of several the one published first."""
    try:
        found = _told(request, blobs_by_hash.by_hash(request.user, value))
    except (Invalid, NotFound) as error:
        raise Refused(404, f"Model not found: {error.detail}") from error
    if not found:
        raise Refused(404, "Model not found")
    return answer(shapes.versions(found[:1], origin(request))[0])


@door("POST", scope="search")
def by_hashes(request: HttpRequest) -> HttpResponse:
    """Return the versions of at most 100 SHA-256 digests; those of none are left out."""
    asked = _digests(request, MOST_HASHES)
    numbers = {pk for _sha256, pk, _owner in by_id.with_digests(request.user, asked)}
    found = by_id.published(request.user, numbers)
    return answer(shapes.versions(found, origin(request)))


@door("POST", scope="search")
def ids_by_hashes(request: HttpRequest) -> HttpResponse:
    """Return the numbers of versions for at most 10,000 SHA-256 digests."""
    found = by_id.with_digests(request.user, _digests(request, MOST_IDS))
    return answer(
        [
            {"modelVersionId": pk, "modelId": owner, "hash": sha256.upper()}
            for sha256, pk, owner in found
        ]
    )


def _told(request: HttpRequest, matches: Iterable[Match]) -> Sequence[Version]:
    """Return the versions that are out and have a number, those on offer first."""
    found = {one.version.pk: one.version for one in matches if one.version.state in _TOLD}
    owners = {one.adapter_id for one in found.values()}
    seen = by_id.adapters_for(request.user).filter(pk__in=owners, withdrawn_reason="")
    known = set(seen.values_list("pk", flat=True)) if owners else set()
    told = [one for one in found.values() if one.adapter_id in known]
    return sorted(told, key=lambda one: _TOLD.index(VersionState(one.state)))


def _digests(request: HttpRequest, most: int) -> list[str]:
    """Return the digests of a body, in lower case.

    Raises:
        Invalid: it is no list of whole SHA-256 digests, or too long a one.
    """
    try:
        said = orjson.loads(request.body)
    except ValueError as error:
        raise Invalid(_("Send a JSON array of SHA256 hashes.")) from error
    if not isinstance(said, list) or not said or len(said) > most:
        raise Invalid(_("Send a JSON array of 1 to %(n)d SHA256 hashes.") % {"n": most})
    found = [one.lower() for one in said if isinstance(one, str)]
    if len(found) != len(said) or not all(_SHA256.match(one) for one in found):
        raise Invalid(_("Each hash must be a complete SHA256, 64 hex digits."))
    return found
