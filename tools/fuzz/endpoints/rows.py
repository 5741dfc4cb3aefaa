"""What a hub keeps, row by row with whose it is, and what a request may not have changed.

Needs Django's settings.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from django.apps import apps
from django.db import connections

from registry import storage
from registry.models import File

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import Model

#: Left out: counters of readers, attempts and filters, what workers write of themselves, pieces of
#: uploads, and the log of accesses.
_NOT_SEEN = frozenset(
    {
        "Attempt", "DailyDownloads", "Event", "EventAddress", "FacetChange", "FacetCount", "Lease",
        "Migration", "Worker", "WorkerWish", "XetSession", "XetXorb",
    }
)  # fmt: skip
_COUNTED = frozenset({"downloads", "last_used_at"})
#: What has no owner, and comes with what somebody brings.
_SHARED = frozenset(
    {
        "Blob", "BlobAnatomy", "BlobHash", "BlobRelation", "BlobSketch", "DerivedFile", "Finding",
        "SpellingKey", "Tag", "VersionComparison", "WeightSketch",
    }
)  # fmt: skip
_OF_ADAPTER = "adapter__namespace__user__username"
#: Model to the column that says whose its rows are; of the others nobody's.
_OWNERS = {
    "User": "username",
    "Namespace": "user__username",
    "NamespaceName": "namespace__user__username",
    "Adapter": "namespace__user__username",
    "AdapterName": _OF_ADAPTER,
    "Adapter_tags": _OF_ADAPTER,
    "SearchDocument": _OF_ADAPTER,
    "Version": _OF_ADAPTER,
    "VersionAnatomy": f"version__{_OF_ADAPTER}",
    "Revision": _OF_ADAPTER,
    "File": f"revision__{_OF_ADAPTER}",
    "Alias": _OF_ADAPTER,
    "AliasMove": f"alias__{_OF_ADAPTER}",
    "AccessToken": "user__username",
    "Upload": "owner__username",
    "UploadPart": "upload__owner__username",
    "Finding": "upload__owner__username",
    "Job": "owner",
    "Render": f"version__{_OF_ADAPTER}",
    "Layer": f"render__version__{_OF_ADAPTER}",
    "Image": f"render__version__{_OF_ADAPTER}",
    "Sheet": f"render__version__{_OF_ADAPTER}",
    "Sample": f"version__{_OF_ADAPTER}",
}


class Row(NamedTuple):
    """Whose a row is, and a digest of its columns."""

    owner: str
    digest: str


def rows() -> dict[str, Row]:
    """Return all rows of the hub: ``Adapter 3`` to whose it is and a digest."""
    found: dict[str, Row] = {}
    for model in apps.get_models(include_auto_created=True):
        if model.__name__ not in _NOT_SEEN:
            found.update(_of_model(model))
    connections.close_all()
    return found


def _of_model(model: type[Model]) -> Iterable[tuple[str, Row]]:
    names = [one.attname for one in model._meta.concrete_fields if one.attname not in _COUNTED]
    owner = _OWNERS.get(model.__name__)
    columns = [*names, owner] if owner else names
    for values in model._base_manager.values_list("pk", *columns):
        digest = hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).hexdigest()
        yield f"{model.__name__} {values[0]}", Row(str(values[-1] or "") if owner else "", digest)


def changes(before: dict[str, Row], after: dict[str, Row], *, besides: str = "") -> list[str]:
    """Return what is other than before, but for what is of one user.

    Args:
        before: All rows.
        after: All rows.
        besides: Who was at work: rows of theirs may come, change and go, and so may those that
            have no owner come along with them.
    """
    found = []
    for name, row in before.items():
        now = after.get(name)
        if besides and row.owner == besides:
            if now is not None and now.owner != besides:
                found.append(f"{name} of {row.owner} went to {now.owner or 'nobody'}")
        elif now is None:
            found.append(f"{name} of {row.owner or 'nobody'} is gone")
        elif now != row and not (besides and _is_shared(name)):
            found.append(f"{name} of {row.owner or 'nobody'} is another")
    for name in after.keys() - before.keys():
        owner = after[name].owner
        if not (besides and (owner == besides or (not owner and _is_shared(name)))):
            found.append(f"{name} of {owner or 'nobody'} is new")
    return sorted(found)


def _is_shared(name: str) -> bool:
    return name.partition(" ")[0] in _SHARED


def stored(owner: str = "") -> dict[str, str]:
    """Return the files of a user, or of all: path and digest to the digest of the bytes."""
    wanted = File.objects.all()
    if owner:
        wanted = wanted.filter(revision__adapter__namespace__user__username=owner)
    found = {}
    for sha256 in sorted(set(wanted.values_list("blob__sha256", flat=True))):
        with storage.store().open(sha256) as handle:
            found[sha256] = hashlib.sha256(handle.read(handle.size)).hexdigest()
    connections.close_all()
    return found


def open_jobs() -> int:
    """Return how many jobs are not over yet."""
    count = apps.get_model("registry", "Job").objects.filter(state__in=("queued", "running"))
    number = count.count()
    connections.close_all()
    return int(number)
