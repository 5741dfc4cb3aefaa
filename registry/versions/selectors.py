"""Versions and files by the names people use for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from lorary.anatomy import Finding as Result
from registry.blobs import selectors as blob_selectors
from registry.errors import Gone, NotFound
from registry.models import OUT_STATES, File, FileRole, Revision, Version, VersionState
from registry.scan import checks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from registry.models import Adapter, Finding, User

LATEST = "latest"

#: Versions that a refusal names.
NAMED = 5

_NUMBER = re.compile(r"v([1-9][0-9]{0,8})\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


def listing(user: User | AnonymousUser | None, adapter: Adapter) -> QuerySet[Version]:
    """Return versions, newest first; drafts only for those who may publish here."""
    rows = adapter.versions.select_related("adapter", "adapter__namespace", "revision", "author")
    if user is not None and user.is_authenticated and adapter.is_writable_by(user):
        return rows
    return rows.exclude(state=VersionState.DRAFT)


def is_shown(user: User | AnonymousUser | None, version: Version) -> bool:
    """Whether a user who may see the adapter may see this version of it."""
    return listing(user, version.adapter).filter(pk=version.pk).exists()


def get(user: User | AnonymousUser | None, adapter: Adapter, name: str = LATEST) -> Version:
    """Return the version that ``v3``, an alias, a revision or ``latest`` names.

    Raises:
        NotFound: no such version, or a draft of somebody else's; ``facts["adapter"]`` tells that
            the adapter itself is there.
    """
    rows = listing(user, adapter).select_related("anatomy")
    version = _by_name(rows, adapter, name)
    if version is None:
        raise absent(adapter, name, _("“%(adapter)s” has no version “%(version)s”."))
    return version


def absent(adapter: Adapter, name: str, text: str) -> NotFound:
    """Return the refusal of a version that an adapter does not have; it names those there are.

    Args:
        adapter: Who asks may see it; ``facts["adapter"]`` tells that it is there.
        name: What was asked for.
        text: Says so, of ``%(adapter)s`` and ``%(version)s``.
    """
    facts = {"adapter": adapter.full_name, "version": name[:96]}
    return NotFound(f"{text % facts} {_instead(adapter)}".rstrip(), **facts)


def _instead(adapter: Adapter) -> str:
    """Return a sentence that names versions there are, the newest first; "" where none is out.

    Drafts and withdrawn ones are left out, so it is for everybody who may see the adapter.
    """
    rows = adapter.versions.filter(state__in=OUT_STATES).order_by("-number")
    names = [f"v{number}" for number in rows.values_list("number", flat=True)[: NAMED + 1]]
    if not names:
        return ""
    text = _("It has %(names)s.") if len(names) <= NAMED else _("Its newest are %(names)s.")
    told = text % {"names": ", ".join(names[:NAMED])}
    latest = adapter.latest_version
    if latest is None or latest.name == names[0]:
        return told
    return f"{told} {_('The latest is %(latest)s.') % {'latest': latest.name}}"


def _by_name(rows: QuerySet[Version], adapter: Adapter, name: str) -> Version | None:
    if name == LATEST:
        return _latest(rows, adapter)
    if number := _NUMBER.match(name):
        return rows.filter(number=int(number[1])).first()
    revisions = Revision.objects.filter(adapter=adapter)
    named = {"commit": name} if _COMMIT.match(name) else {"aliases__name": name}
    revision = revisions.filter(**named).first()
    return standing_for(rows, [revision]).get(revision.pk) if revision else None


def standing_for(rows: QuerySet[Version], revisions: Iterable[Revision]) -> dict[int, Version]:
    """Return revision id → the version that it is, or whose weights it has; in three queries.

    A commit of a card alone is no version; who asks for it, or for ``main`` after it, means the
    weights that lie there. Of several versions with the same weights the newest one counts.

    Args:
        rows: Versions that may be found.
        revisions: Of any adapters.
    """
    asked = {revision.pk: revision.adapter_id for revision in revisions}
    found = {version.revision_id: version for version in rows.filter(revision__in=asked)}
    bare = {pk: adapter for pk, adapter in asked.items() if pk not in found}
    held = _weights(bare)
    if not held:
        return found
    blobs = {blob for weights in held.values() for _path, blob in weights}
    sharing = rows.filter(adapter__in=set(bare.values()), revision__files__blob__in=blobs)
    candidates = sorted(set(sharing), key=lambda version: version.number)
    weights_of = _weights(version.revision_id for version in candidates)
    same = {
        (version.adapter_id, weights_of[version.revision_id]): version for version in candidates
    }
    for pk, weights in held.items():
        if version := same.get((bare[pk], weights)):
            found[pk] = version
    return found


def _weights(revisions: Iterable[int]) -> dict[int, frozenset[tuple[str, int]]]:
    """Return revision id → path and blob of its weights; those that have none are left out."""
    rows = File.objects.filter(revision__in=list(revisions), role=FileRole.WEIGHTS)
    held: dict[int, set[tuple[str, int]]] = {}
    for pk, path, blob in rows.values_list("revision", "path", "blob"):
        held.setdefault(pk, set()).add((path, blob))
    return {pk: frozenset(lines) for pk, lines in held.items()}


def _latest(rows: QuerySet[Version], adapter: Adapter) -> Version | None:
    """Return what is offered; else the newest that is there, a tombstone only where all are."""
    if adapter.latest_version_id is not None:
        return rows.filter(pk=adapter.latest_version_id).first()
    return rows.exclude(state=VersionState.WITHDRAWN).first() or rows.first()


def gone(version: Version, asked: str = "") -> Gone:
    """Return the refusal of a withdrawn version: its reason, and what is still known of it.

    Args:
        version: The tombstone.
        asked: By which name it was asked for, where that is an alias or a revision.
    """
    adapter = version.adapter
    said = {"asked": asked[:96], "version": version.name, "reason": version.withdrawn_reason}
    if asked in {"", LATEST, version.name}:
        text = _("%(version)s was withdrawn: %(reason)s") % said
    else:
        text = _("“%(asked)s” names %(version)s, which was withdrawn: %(reason)s") % said
    latest = adapter.latest_version.name if adapter.latest_version else None
    if latest:
        text = f"{text.rstrip('.')}. {_('%(latest)s is offered instead.') % {'latest': latest}}"
    when = version.withdrawn_at
    return Gone(
        text,
        adapter=adapter.full_name,
        version=version.name,
        state=version.state,
        reason=version.withdrawn_reason,
        withdrawn_at=when.isoformat() if when else None,
        revision=version.revision.commit,
        latest_version=latest,
        files=[
            {"path": file.path, "size": file.size_bytes, "sha256": file.sha256}
            for file in version.files
        ],
    )


def file(version: Version, path: str) -> File:
    """Return a file of a version.

    Raises:
        NotFound: no such path; ``facts["adapter"]`` as with ``get``.
        Gone: the version was withdrawn; its digests stay on its page.
    """
    if version.state == VersionState.WITHDRAWN:
        raise gone(version)
    found = version.files.filter(path=path).first()
    if found is None:
        text = _("This version has no file “%(path)s”.") % {"path": path[:255]}
        full_name = version.adapter.full_name
        raise NotFound(text, adapter=full_name, version=version.name, path=path[:255])
    return found


def document_of(version: Version, primary: File | None) -> dict[str, Any]:
    """Return the anatomy of a version's primary file, {} where it has not been read."""
    own = _own(version)
    if own:
        return {key: part for key, part in own.items() if key != "findings"}
    return blob_selectors.document_of(primary.blob if primary else None)


def findings_of(
    version: Version, primary: File | None, *, is_owner: bool
) -> list[Finding | Result]:
    """Return what was found about a version's primary file, each finding once.

    What the header says with the configuration beside it stands for what it says alone.

    Args:
        version: The version.
        primary: Its primary file.
        is_owner: Also what only those who can act on it are told.
    """
    found: list[Finding | Result] = list(primary.blob.findings.all()) if primary else []
    if own := _own(version):
        of_bytes = [row for row in found if not checks.comes_from_header(row.code)]
        found = [*(Result(**told) for told in own["findings"]), *of_bytes]
    if not is_owner:
        found = [row for row in found if checks.is_public(row.code, row.severity)]
    return list({(row.code, row.message): row for row in found}.values())


def hidden_findings(version: Version, primary: File | None) -> int:
    """Return how many findings are shown to those alone who can act on them."""
    found = findings_of(version, primary, is_owner=True)
    return sum(not checks.is_public(row.code, row.severity) for row in found)


def _own(version: Version) -> dict[str, Any]:
    anatomy = getattr(version, "anatomy", None)
    return anatomy.document if anatomy is not None and anatomy.is_current else {}
