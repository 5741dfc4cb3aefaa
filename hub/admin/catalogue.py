"""Adapters, packs, their versions and files, and the audit log."""

from __future__ import annotations

from django.contrib.admin import AdminSite, action
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from hub.admin.rows import ReasonForm, Rows, each, reason_of
from registry.models import (
    Adapter,
    Blob,
    Event,
    File,
    Pack,
    PackVersion,
    Revision,
    Upload,
    Version,
)
from registry.versions import blocking


class Blockable(Rows):
    """Adapters and packs, which can be blocked."""

    action_form = ReasonForm
    actions = ("block", "lift")
    search_fields = ("key__istartswith", "namespace__key__istartswith")

    @action(description=_("Block, with the reason entered here"))
    def block(self, request: HttpRequest, rows: QuerySet[Adapter] | QuerySet[Pack]) -> None:
        """Block adapters or packs."""
        reason = reason_of(request)
        each(request, rows, lambda me, row: blocking.block(actor=me, thing=row, reason=reason))

    @action(description=_("Lift the block"))
    def lift(self, request: HttpRequest, rows: QuerySet[Adapter] | QuerySet[Pack]) -> None:
        """Lift blocks."""
        each(request, rows, lambda me, row: blocking.lift(actor=me, thing=row))


class Adapters(Blockable):
    """Adapters."""

    list_display = (
        "__str__", "kind", "family", "visibility", "maturity", "latest_version", "downloads",
        "published_at", "blocked_reason",
    )  # fmt: skip
    list_filter = ("kind", "visibility", "maturity", "access", "published_at", "updated_at")


class Packs(Blockable):
    """Packs."""

    date_hierarchy = "created_at"
    list_display = (
        "__str__", "kind", "visibility", "maturity", "latest_version", "published_at",
        "blocked_reason",
    )  # fmt: skip
    list_filter = ("kind", "visibility", "maturity", "published_at")


class Versions(Rows):
    """Versions of adapters."""

    list_display = (
        "adapter", "number", "state", "family", "algorithm", "rank", "size_bytes", "author",
        "published_at",
    )  # fmt: skip
    list_filter = ("state", "is_takedown", "created_at", "published_at")
    search_fields = ("adapter__key__istartswith", "author__username__istartswith")


class PackVersions(Rows):
    """Versions of packs."""

    date_hierarchy = "published_at"
    list_display = ("pack", "number", "state", "author", "published_at")
    list_filter = ("state", "published_at")
    search_fields = ("pack__key__istartswith", "author__username__istartswith")


class Revisions(Rows):
    """States of adapters."""

    list_display = ("commit", "adapter", "author", "message", "created_at")
    list_filter = ("created_at",)
    search_fields = ("commit__exact", "adapter__key__istartswith")


class Files(Rows):
    """Files of revisions."""

    list_display = ("path", "role", "variant", "is_primary", "revision", "blob")
    search_fields = ("path__istartswith", "blob__sha256__exact")


class Blobs(Rows):
    """Stored bytes."""

    list_display = ("sha256", "size_bytes", "is_stored", "created_at")
    search_fields = ("sha256__exact",)


class Uploads(Rows):
    """Files that are or were uploaded."""

    list_display = ("path", "owner", "state", "size_bytes", "created_at", "expires_at")
    search_fields = ("path__istartswith", "owner__username__istartswith", "sha256__exact")


class Events(Rows):
    """The audit log."""

    list_display = ("created_at", "verb", "subject", "actor", "adapter", "pack")
    list_filter = ("created_at",)
    search_fields = ("verb__exact", "subject__istartswith", "actor__username__istartswith")


def register(site: AdminSite) -> None:
    """Register the lists."""
    site.register(Adapter, Adapters)
    site.register(Pack, Packs)
    site.register(Version, Versions)
    site.register(PackVersion, PackVersions)
    site.register(Revision, Revisions)
    site.register(File, Files)
    site.register(Blob, Blobs)
    site.register(Upload, Uploads)
    site.register(Event, Events)
