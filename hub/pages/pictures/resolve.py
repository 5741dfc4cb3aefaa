"""“What does this picture use?”: the adapters that a picture or workflow names, by their hashes.

Files are read in this request and not stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from hub.http import limits
from lorary.anatomy.claims.metadata import clean
from lorary.pictures import metadata
from lorary.pictures.formats import HEAD_BYTES, format_of
from previews.sample_files.formats import MAX_FILM_BYTES, MAX_PICTURE_BYTES, MAX_TEXT_BYTES, MIB
from registry.adapters.by_file_name import MAX_NAMES, Named, by_file_names
from registry.blobs.by_hash import Match, by_hashes
from registry.errors import Invalid
from registry.models import OUT_STATES

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from django.core.files.uploadedfile import UploadedFile
    from django.http import HttpRequest, HttpResponse

    from lorary.pictures.claims.facts import Resource
    from registry.models import User

#: Maximum number of files of a request, of adapters shown for a file, and of links for each.
MAX_FILES, MAX_ROWS, MAX_LINKS = 10, 100, 3
#: Maximum number of characters of a name that is shown, and of one that is looked up.
MAX_NAME, MAX_LOOKUP = 120, 255


@dataclass(frozen=True, slots=True)
class Place:
    """A version that has the file."""

    title: str  # ``owner/name v1``
    url: str


@dataclass(frozen=True, slots=True)
class Row:
    """An adapter that a file names.

    Attributes:
        places: Versions that have it, at most ``MAX_LINKS``.
        is_by_name: Whether only the name was compared, because no hash is known.
        search_url: Search for its name, if no version has it.
    """

    name: str
    strength: str
    hash: str
    places: list[Place]
    is_by_name: bool
    search_url: str


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file with its adapters, or why it could not be read."""

    name: str
    rows: list[Row]
    problem: str = ""


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    """Show the form, and after a POST the adapters of its files.

    Raises:
        Invalid: there are no files, or too many.
    """
    files: list[ReadFile] = []
    if request.method == "POST":
        files = _read(request.user, request.FILES.getlist("files"))
    is_refused = bool(files) and all(file.problem for file in files)
    context = {"files": files, "max_files": MAX_FILES}
    return render(request, "pages/resolve.html", context, status=422 if is_refused else 200)


def _read(user: User | AnonymousUser, sent: Sequence[UploadedFile[Any]]) -> list[ReadFile]:
    if not sent:
        raise Invalid(_("Choose at least one file."))
    if len(sent) > MAX_FILES:
        text = ngettext(
            "Choose at most %(n)d file.", "Choose at most %(n)d files at once.", MAX_FILES
        )
        raise Invalid(text % {"n": MAX_FILES})
    with limits.inspecting():
        found = [(clean(file.name or "", MAX_NAME), *_resources(file)) for file in sent]
    known = _Known.of(user, [one for _name, resources, _problem in found for one in resources])
    return [
        ReadFile(name, [known.row(one) for one in resources], problem)
        for name, resources, problem in found
    ]


def _resources(file: UploadedFile[Any]) -> tuple[list[Resource], str]:
    """Return the adapters that a file names, or why it cannot be read."""
    head = file.read(HEAD_BYTES)
    kind = format_of(head)
    most = MAX_FILM_BYTES if kind is not None and kind.is_film else MAX_PICTURE_BYTES
    if (file.size or 0) > most:
        return [], _("The file is larger than %(n)d MiB.") % {"n": most // MIB}
    try:
        found = metadata.read(file.file, max_bytes=most, max_text_bytes=MAX_TEXT_BYTES)  # type: ignore[arg-type]  # any seekable binary file
    except metadata.Unreadable as error:
        return [], str(error)
    return found[:MAX_ROWS], ""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the hub has of several adapters."""

    by_hash: dict[str, list[Match]]
    by_name: dict[str, list[Named]]

    @classmethod
    def of(cls, user: User | AnonymousUser, resources: Sequence[Resource]) -> _Known:
        """Look up hashes, and the names of those without a hash."""
        hashes = {text for one in resources for text in one.hashes_by_kind().values()}
        names = {_lookup(one.name) for one in resources if not one.hashes_by_kind()}
        return cls(
            by_hashes(user, sorted(hashes)[: settings.LORARY.max_hashes]),
            by_file_names(user, sorted(names)[:MAX_NAMES]),
        )

    def row(self, one: Resource) -> Row:
        """Return a row for an adapter."""
        hashes = one.hashes_by_kind()
        matches = [match for text in hashes.values() for match in self.by_hash.get(text, ())]
        found = matches if hashes else self.by_name.get(_lookup(one.name), [])
        strength, name = one.strength_or_none(), clean(one.name, MAX_NAME)
        return Row(
            name=name or _("Without a name"),
            strength="" if strength is None else f"{strength:g}",
            hash=next((f"{kind} {text[:12]}" for kind, text in hashes.items()), ""),
            places=_places(found),
            is_by_name=not hashes,
            search_url=_search_url(one.key),
        )


def _lookup(name: str) -> str:
    """Return a name without characters that databases refuse."""
    return clean(name, MAX_LOOKUP)


def _search_url(key: str) -> str:
    """Return the address of a search for a name; "" for none."""
    words = _lookup(key.rpartition("/")[2]).replace("_", " ")[:MAX_NAME]
    return f"{reverse('browse')}?{urlencode({'q': words})}" if words else ""


def _places(found: Iterable[Match | Named]) -> list[Place]:
    """Return links to public versions, one for each adapter."""
    places: dict[int, Place] = {}
    for match in found:
        version = match.version
        adapter = version.adapter
        if version.state in OUT_STATES:
            url = f"{reverse('adapter', args=[adapter.owner, adapter.name])}?v={version.name}"
            places.setdefault(adapter.pk, Place(f"{adapter.full_name} {version.name}", url))
    return list(places.values())[:MAX_LINKS]
