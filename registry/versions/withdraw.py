"""Withdraws versions and adapters permanently; a tombstone remains.

```
published, yanked ──▶ withdrawn      page, number, reason, digests and revision stay (410)
                          │          bytes and pictures are immediately no longer served
                          └────────▶ the sweeper deletes bytes that nothing else uses
```

A withdrawal cannot be undone. Weights that the owner withdrew can be published again as a version.
After a withdrawal by an administrator (``is_takedown``), only administrators can publish the same
weights in this adapter.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions, quotas
from registry.adapters import services as adapters
from registry.errors import StateConflict
from registry.hooks import version_withdrawn
from registry.models import (
    OUT_STATES,
    Adapter,
    Blob,
    File,
    Upload,
    UploadState,
    User,
    Version,
    VersionState,
)
from registry.versions import latest


def withdraw(*, actor: User, version: Version, reason: str) -> Version:
    """Withdraw a version permanently; does nothing if it was already withdrawn for the same reason.

    Args:
        reason: Public reason, at most ``latest.MAX_REASON`` characters.

    Raises:
        Invalid: the reason is missing or invalid.
        StateConflict: it is a draft, or was withdrawn for another reason.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_owner_or_operator``.
    """
    user = permissions.require_owner_or_operator(actor, version.adapter)
    text = latest.checked_reason(reason)
    with transaction.atomic():
        latest.lock(version)
        if version.state == VersionState.WITHDRAWN and version.withdrawn_reason == text:
            return version
        if version.state not in OUT_STATES:
            raise StateConflict(_why_not(version), state=version.state)
        _take_down(user, version, text)
        latest.show_newest(version.adapter)
    return version


def _why_not(version: Version) -> str:
    if version.state == VersionState.DRAFT:
        return _("%(version)s is a draft. Discard it instead.") % {"version": version.name}
    return _("%(version)s was already withdrawn: %(reason)s") % {
        "version": version.name,
        "reason": version.withdrawn_reason,
    }


def withdraw_adapter(*, actor: User, adapter: Adapter, reason: str) -> Adapter:
    """Withdraw an adapter permanently, with all versions and drafts; it accepts no new ones.

    Its name stays reserved, and its page shows the reason. Can be repeated with the same reason.

    Raises:
        Invalid: the reason is missing or invalid.
        StateConflict: it was withdrawn for another reason.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_owner_or_operator``.
    """
    user = permissions.require_owner_or_operator(actor, adapter)
    text = latest.checked_reason(reason)
    with transaction.atomic():
        adapters.refresh(adapter)
        if adapter.withdrawn_reason == text:
            return adapter
        if adapter.withdrawn_reason:
            facts = {"name": adapter.full_name, "reason": adapter.withdrawn_reason}
            raise StateConflict(
                _("“%(name)s” was already withdrawn: %(reason)s") % facts, state="withdrawn"
            )
        for version in adapter.versions.filter(state__in=OUT_STATES).select_related("adapter"):
            _take_down(user, version, text)
        for draft in adapter.versions.filter(state=VersionState.DRAFT):
            latest.delete_draft(draft)
        adapter.withdrawn_reason = text
        adapter.save(update_fields=["withdrawn_reason"])
        quotas.refund(namespace=adapter.namespace, blobs=_never_versions(adapter))
        latest.update_lists(adapter, None)
        events.record(
            actor=user,
            verb="adapter_withdrawn",
            about=adapter,
            subject=adapter.full_name,
            reason=text,
        )
    return adapter


def _never_versions(adapter: Adapter) -> QuerySet[Blob]:
    """Return the blobs of commits without a version, such as those on branches."""
    files = File.objects.filter(revision__adapter=adapter)
    withdrawn = files.filter(revision__versions__state=VersionState.WITHDRAWN)
    loose = files.filter(revision__versions__isnull=True)
    return Blob.objects.filter(pk__in=loose.values("blob")).exclude(pk__in=withdrawn.values("blob"))


def _take_down(user: User, version: Version, reason: str) -> None:
    """Withdraw one version; the caller holds the lock and updates the lists."""
    version.state, version.withdrawn_reason = VersionState.WITHDRAWN, reason
    version.withdrawn_at, version.withdrawn_by = timezone.now(), user
    version.is_takedown = not version.adapter.namespace.is_writable_by(user)
    version.save(
        update_fields=["state", "withdrawn_reason", "withdrawn_at", "withdrawn_by", "is_takedown"]
    )
    files = list(version.files)
    quotas.refund(namespace=version.adapter.namespace, blobs=[file.blob for file in files])
    _forget_uploads(version)
    events.record(
        actor=user,
        verb="version_withdrawn",
        about=version.adapter,
        subject=version.name,
        reason=reason,
        takedown=version.is_takedown,
        sha256=[file.sha256 for file in files],
    )
    transaction.on_commit(
        lambda: version_withdrawn.send_robust(sender=Version, version_id=version.pk)
    )


def _forget_uploads(version: Version) -> None:
    """Cancel the uploads that a version was made from, which would keep its bytes for days."""
    Upload.objects.filter(
        owner=version.author,
        state=UploadState.ACCEPTED,
        blob__files__revision=version.revision_id,
        created_at__lte=version.created_at,
    ).update(state=UploadState.CANCELLED, updated_at=timezone.now())
