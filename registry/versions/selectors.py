"""Versions and files by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from lorary.anatomy import Finding as Result
from lorary.anatomy.families import family_title
from registry.adapters import selectors as adapter_selectors
from registry.adapters.manifests import MAIN
from registry.blobs import selectors as blob_selectors
from registry.blobs.anatomies import allowed_families
from registry.errors import Gone, Invalid, Moved, NotFound
from registry.models import (
    OUT_STATES,
    Adapter,
    File,
    FileRole,
    Finding,
    PackVersion,
    Revision,
    User,
    Version,
    VersionState,
)
from registry.names import key_of
from registry.scan import checks

LATEST = "latest"
#: States of versions that ``main`` means only if no other one is published.
NOT_OFFERED = (VersionState.YANKED, VersionState.WITHDRAWN)

#: Maximum number of versions that an error message lists.
NAMED = 5

#: Names of aliases that publishing creates, one for each version.
VERSION_TAG = r"^v[0-9]+$"
_NUMBER = re.compile(r"v([1-9][0-9]{0,8})\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


def listing(user: User | AnonymousUser | None, adapter: Adapter) -> QuerySet[Version]:
    """Return versions, newest first; drafts only for users who may publish them."""
    rows = adapter.versions.select_related("adapter", "adapter__namespace", "revision", "author")
    if user is not None and user.is_authenticated and adapter.is_writable_by(user):
        return rows
    return rows.exclude(state=VersionState.DRAFT)


def is_shown(user: User | AnonymousUser | None, version: Version) -> bool:
    """Return whether a user who can see the adapter can see this version of it."""
    return listing(user, version.adapter).filter(pk=version.pk).exists()


def get(user: User | AnonymousUser | None, adapter: Adapter, name: str = LATEST) -> Version:
    """Return the version named by ``v3``, an alias, a revision or ``latest``."""
    rows = listing(user, adapter).select_related("anatomy")
    version = _by_name(rows, adapter, name)
    if version is None:
        raise absent(adapter, name, _("“%(adapter)s” has no version “%(version)s”."))
    return version


def version_named(user: User | AnonymousUser | None, reference: str) -> Version:
    """Return the version for ``owner/name@v1``; without ``@v1`` the latest one."""
    full_name, _at, version = reference.strip().partition("@")
    owner, _slash, name = full_name.partition("/")
    try:
        adapter = adapter_selectors.get(user, owner, name)
    except Moved as moved:
        adapter = adapter_selectors.get(user, *moved.facts["full_name"].split("/"))
    return get(user, adapter, version or LATEST)


def many(user: User | AnonymousUser | None, references: Sequence[str]) -> dict[str, Version]:
    """Return reference → version, as ``version_named`` does, for those that can be used.

    Left out are versions that the user cannot see or that do not exist, withdrawn ones, and those
    of renamed and blocked adapters. Numbers and latest versions take two queries for all
    references; each other name takes a few queries.
    """
    parsed = {one: _parsed(one) for one in references}
    adapters = _adapters(user, {(owner, name) for owner, name, _rev in parsed.values()})
    named = {
        one: (adapter, rev)
        for one, (owner, name, rev) in parsed.items()
        if (adapter := adapters.get((owner, name))) is not None
    }
    numbers, latest = Q(pk__in=[]), set[int]()
    for adapter, rev in named.values():
        if rev == LATEST:
            latest.add(adapter.latest_version_id or 0)
        elif number := _NUMBER.match(rev):
            numbers |= Q(adapter=adapter, number=int(number[1]))
    rows = Version.objects.exclude(state=VersionState.DRAFT).filter(numbers | Q(pk__in=latest))
    rows = rows.select_related("adapter__namespace", "revision", "author", "anatomy")
    by_number = {(version.adapter_id, version.number): version for version in rows}
    by_pk = {version.pk: version for version in by_number.values()}
    found: dict[str, Version | None] = {}
    for one, (adapter, rev) in named.items():
        if rev == LATEST:
            found[one] = by_pk.get(adapter.latest_version_id or 0)
        elif number := _NUMBER.match(rev):
            found[one] = by_number.get((adapter.pk, int(number[1])))
        if found.get(one) is None:
            found[one] = _by_name(listing(user, adapter).select_related("anatomy"), adapter, rev)
    return {
        one: version
        for one, version in found.items()
        if version is not None and version.state != VersionState.WITHDRAWN
    }


def _parsed(reference: str) -> tuple[str, str, str]:
    """Return the keys of namespace and adapter, and the name of a version."""
    full_name, _at, rev = reference.partition("@")
    owner, _slash, name = full_name.partition("/")
    return key_of(owner), key_of(name), rev or LATEST


def _adapters(
    user: User | AnonymousUser | None, keys: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Adapter]:
    """Return the keys of namespace and adapter → the adapter, by current names."""
    wanted = Q(pk__in=[])
    for owner, name in keys:
        wanted |= Q(namespace__key=owner, key=name)
    rows = Adapter.objects.visible_to(user).filter(wanted)
    found = rows.select_related("namespace", "latest_version")
    return {(adapter.namespace.key, adapter.key): adapter for adapter in found}


def manifests_of(versions: Iterable[Version]) -> dict[int, list[File]]:
    """Return revision id → files, as ``Version.files`` has them, with findings; 2 queries."""
    rows = File.objects.filter(revision__in={version.revision_id for version in versions})
    rows = rows.select_related("blob", "blob__anatomy").prefetch_related("blob__findings")
    found: dict[int, list[File]] = {}
    for one in rows.order_by("-is_primary", "path"):
        found.setdefault(one.revision_id, []).append(one)
    return found


def name_of(version: Version) -> str:
    """Return ``owner/name@v1``."""
    return f"{version.adapter.full_name}@{version.name}"


def exact(user: User | AnonymousUser | None, adapter: Adapter, name: str) -> Version:
    """Return the version with this number or revision, for requests that take versions down.

    ``latest`` and aliases move on to another version, which a repeated request would take down too.

    Raises:
        NotFound: there is no such version.
        Invalid: the name can move; ``facts["version"]`` is the version that it means now.
    """
    version = get(user, adapter, name)
    if name not in {version.name, version.revision.commit}:
        raise not_exact(version, name)
    return version


def not_exact(version: Version | PackVersion, requested: str) -> Invalid:
    """Return the refusal of a name that can move, with the version that it means now."""
    detail = _(
        "“%(requested)s” currently means %(version)s, but can mean another version later. "
        "Use %(version)s here."
    ) % {"requested": requested[:96], "version": version.name}
    return Invalid(detail, version=version.name, fields={"version": detail})


def absent(adapter: Adapter, name: str, text: str) -> NotFound:
    """Return the error for an unknown version, with a list of existing ones.

    Args:
        text: Message with ``%(adapter)s`` and ``%(version)s``.
    """
    facts = {"adapter": adapter.full_name, "version": name[:96]}
    if name == LATEST and adapter.latest_version_id is None:
        text = _("“%(adapter)s” has no published version yet.")
    return NotFound(f"{text % facts} {_existing(adapter)}".rstrip(), **facts)


def _existing(adapter: Adapter) -> str:
    """Return sentences that list the newest public versions and some aliases; "" if there are none.

    Drafts and withdrawn versions are omitted, so that everyone who can see the adapter may read it.
    """
    rows = adapter.versions.filter(state__in=OUT_STATES).order_by("-number")
    names = [f"v{number}" for number in rows.values_list("number", flat=True)[: NAMED + 1]]
    if not names:
        return ""
    text = (
        _("Its versions are %(names)s.")
        if len(names) <= NAMED
        else _("Its newest versions are %(names)s.")
    )
    sentences = [text % {"names": ", ".join(names[:NAMED])}]
    latest = adapter.latest_version
    if latest is not None and latest.name != names[0]:
        sentences.append(_("The latest is %(latest)s.") % {"latest": latest.name})
    tags = adapter.aliases.filter(revision__isnull=False, is_branch=False).order_by("name")
    aliases = tags.exclude(name__regex=VERSION_TAG).values_list("name", flat=True)[:NAMED]
    if aliases:
        sentences.append(_("Its aliases include %(names)s.") % {"names": ", ".join(aliases)})
    return " ".join(sentences)


def _by_name(rows: QuerySet[Version], adapter: Adapter, name: str) -> Version | None:
    if name == LATEST:
        return _latest(rows, adapter)
    if number := _NUMBER.match(name):
        return rows.filter(number=int(number[1])).first()
    revisions = Revision.objects.filter(adapter=adapter)
    named = {"commit": name} if _COMMIT.match(name) else {"aliases__name": name}
    revision = revisions.filter(**named).first()
    found = versions_for(rows, [revision]).get(revision.pk) if revision else None
    if name != MAIN or found is None or found.state not in NOT_OFFERED:
        return found
    # As for clients of the Hugging Face Hub (``revisions.default_revisions``).
    return rows.filter(pk=adapter.latest_version_id or 0).first() or found


def versions_for(rows: QuerySet[Version], revisions: Iterable[Revision]) -> dict[int, Version]:
    """Return revision id → its version, or the newest version with the same weights; 3 queries.

    For example, a commit that only edits the card is not a version, but has the weights of one.
    """
    adapters = {revision.pk: revision.adapter_id for revision in revisions}
    found = {version.revision_id: version for version in rows.filter(revision__in=adapters)}
    bare = {pk: adapter for pk, adapter in adapters.items() if pk not in found}
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
    """Return revision id → path and blob of its weights; revisions without weights are omitted."""
    rows = File.objects.filter(revision__in=list(revisions), role=FileRole.WEIGHTS)
    held: dict[int, set[tuple[str, int]]] = {}
    for pk, path, blob in rows.values_list("revision", "path", "blob"):
        held.setdefault(pk, set()).add((path, blob))
    return {pk: frozenset(lines) for pk, lines in held.items()}


def _latest(rows: QuerySet[Version], adapter: Adapter) -> Version | None:
    """Return the latest version, otherwise the newest one, preferably not withdrawn."""
    if adapter.latest_version_id is not None:
        return rows.filter(pk=adapter.latest_version_id).first()
    return rows.exclude(state=VersionState.WITHDRAWN).first() or rows.first()


def newest_yanked(adapters: Iterable[int]) -> dict[int, Version]:
    """Return adapter id → its newest yanked version; adapters without one are omitted."""
    rows = Version.objects.filter(adapter__in=list(adapters), state=VersionState.YANKED)
    return {version.adapter_id: version for version in rows.order_by("number")}


def gone(version: Version, requested: str = "") -> Gone:
    """Return the error for a withdrawn version, with the reason and the contents of its tombstone.

    Args:
        requested: The requested name, if it is an alias or a revision.
    """
    adapter = version.adapter
    names = {
        "requested": requested[:96],
        "version": version.name,
        "reason": version.withdrawn_reason,
    }
    if requested in {"", LATEST, version.name}:
        text = _("%(version)s was withdrawn: %(reason)s") % names
    else:
        text = _("“%(requested)s” points to %(version)s, which was withdrawn: %(reason)s") % names
    latest = adapter.latest_version.name if adapter.latest_version else None
    if latest:
        text = f"{text.rstrip('.')}. {_('Use %(latest)s instead.') % {'latest': latest}}"
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
        NotFound: the path does not exist; ``facts["adapter"]`` as with ``get``.
        Gone: the version was withdrawn.
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
    """Return the anatomy of a version's primary file; empty if there is none."""
    own = _pair_document(version)
    if own:
        return {key: part for key, part in own.items() if key != "findings"}
    return blob_selectors.document_of(primary.blob if primary else None)


def findings_of(
    version: Version, primary: File | None, *, is_owner: bool
) -> list[Finding | Result]:
    """Return the findings about a version's primary file, without duplicates.

    Findings of the header with its configuration replace those of the header alone. A declared
    base model that the tensors exclude is a finding, too.

    Args:
        is_owner: Whether to include findings that only the owner sees.
    """
    found: list[Finding | Result] = list(primary.blob.findings.all()) if primary else []
    if own := _pair_document(version):
        of_bytes = [row for row in found if not checks.comes_from_header(row.code)]
        found = [*(Result(**values) for values in own["findings"]), *of_bytes]
    found += _declared_findings(version, primary)
    if not is_owner:
        found = public_of(found)
    return list({(row.code, row.message): row for row in found}.values())


def _declared_findings(version: Version, primary: File | None) -> list[Result]:
    declared = version.declared_family
    allowed = allowed_families(document_of(version, primary).get("base") or {})
    if not declared or not allowed or declared in allowed:
        return []
    text = _(
        "The author declares %(declared)s, but the tensors fit %(allowed)s. The tensors decide."
    ) % {
        "declared": family_title(declared),
        "allowed": ", ".join(map(family_title, allowed)),
    }
    facts: dict[str, object] = {"declared": declared, "allowed": list(allowed)}
    return [Result("declared_conflict", "warning", text, facts)]


def public_of(found: Iterable[Finding | Result]) -> list[Finding | Result]:
    """Return the findings that not only the owner sees."""
    return [row for row in found if checks.is_public(row.code, row.severity)]


def _pair_document(version: Version) -> dict[str, Any]:
    anatomy = getattr(version, "anatomy", None)
    return anatomy.document if anatomy is not None and anatomy.is_current else {}
