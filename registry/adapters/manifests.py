"""Revisions: writing a manifest under a commit id, and moving refs to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from django.utils import timezone

from registry.models import Adapter, Alias, AliasMove, Blob, File, Revision, User

MAIN = "main"


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """An entry of a manifest."""

    path: str
    blob: Blob
    role: str
    is_primary: bool = False
    variant: str = ""


def digest_of(entries: Iterable[Entry]) -> str:
    """Return the sha256 of the canonical manifest."""
    return digest_of_lines(
        (entry.path, entry.blob.size_bytes, entry.blob.sha256) for entry in entries
    )


def digest_of_lines(lines: Iterable[tuple[str, int, str]]) -> str:
    """Return the sha256 of the canonical manifest: sorted (path, size, sha256)."""
    text = json.dumps(sorted(lines), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def entries_of(revision: Revision) -> list[Entry]:
    """Return the manifest of a revision."""
    return [
        Entry(file.path, file.blob, file.role, file.is_primary, file.variant)
        for file in revision.files.select_related("blob")
    ]


def commit(
    *,
    actor: User,
    adapter: Adapter,
    parent: Revision | None,
    entries: Iterable[Entry],
    message: str,
) -> Revision:
    """Write an immutable revision and its files; refs are moved by ``move``."""
    listed = sorted(entries, key=lambda entry: entry.path)
    now, manifest = timezone.now(), digest_of(listed)
    identity = [
        adapter.pk,
        parent.commit if parent else "",
        manifest,
        actor.username,
        message,
        now.isoformat(),
    ]
    name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:40]
    revision = Revision.objects.create(
        adapter=adapter,
        commit=name,
        parent=parent,
        manifest_sha256=manifest,
        message=message[:500],
        author=actor,
        created_at=now,
    )
    File.objects.bulk_create(
        File(
            revision=revision,
            path=entry.path,
            blob=entry.blob,
            role=entry.role,
            is_primary=entry.is_primary,
            variant=entry.variant,
        )
        for entry in listed
    )
    return revision


def main_of(adapter: Adapter) -> Revision:
    """Return the revision that ``main`` points at; every adapter has one."""
    rows = Revision.objects.select_related("adapter")
    return rows.get(aliases__adapter=adapter, aliases__name=MAIN)


def move(*, actor: User, revision: Revision, name: str, is_branch: bool = False) -> Alias:
    """Point a ref at a revision and record the move; the caller holds the adapter's lock."""
    alias = Alias.objects.filter(adapter=revision.adapter, name=name).first()
    alias = alias or Alias(adapter=revision.adapter, name=name)
    before, alias.revision = alias.revision, revision
    if before is None:
        alias.is_branch = is_branch
    alias.save()
    AliasMove.objects.create(alias=alias, before=before, revision=revision, actor=actor)
    return alias
