"""Steps that many tests begin with, taken through the services."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

from django.db import connection
from django.utils import timezone

from registry import storage
from registry.accounts import users
from registry.database import guards
from registry.models import Blob, User
from registry.publication import services as publication
from registry.uploads import check
from registry.uploads import services as uploads

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from registry.models import Adapter, Upload, Version
    from registry.versions.details import Details

PASSWORD = "correct horse 7"


def ada() -> User:
    """Return the user that most tests begin with; she may be there from a snapshot."""
    there = User.objects.filter(username="ada").first()
    return there or users.create_user(name="ada", email="ada@example.org", password=PASSWORD)


def accept(actor: User, data: bytes, path: str = "noir.safetensors") -> Upload:
    """Upload bytes and run all their checks; the verdict is the returned upload's state."""
    upload = uploads.create(actor=actor, path=path, size_bytes=len(data))
    upload = uploads.receive(actor=actor, upload=upload, stream=io.BytesIO(data))
    return check.run_checks(upload=upload)


def release(
    adapter: Adapter,
    data: bytes,
    details: Details | None = None,
    *,
    path: str = "noir.safetensors",
) -> Version:
    """Publish bytes as a version of the owner's."""
    owner = adapter.namespace.user
    assert owner is not None
    draft = publication.create_draft(
        actor=owner, adapter=adapter, uploads=[accept(owner, data, path)], details=details
    )
    return publication.publish(actor=owner, version=draft)


def put(rows: QuerySet[Version], state: str) -> None:
    """Put versions into any state, also one that the database lets nobody go back to."""
    columns = {
        "published_at": None if state == "draft" else timezone.now(),
        "withdrawn_reason": "copied" if state == "withdrawn" else "",
    }
    with guards.lifted(connection):
        rows.update(state=state, **columns)


def stored() -> set[str]:
    """Return the digests of known blobs whose bytes are in the store."""
    there = set()
    for sha256 in Blob.objects.values_list("sha256", flat=True):
        with suppress(FileNotFoundError), storage.store().open(sha256):
            there.add(sha256)
    return there
