"""Jobs, workers and renders."""

from __future__ import annotations

from django.contrib.admin import AdminSite, action
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from hub.admin.rows import Rows, each
from previews import operator_actions
from previews.models import Render, Tryout
from registry.models import Job, Worker


class Jobs(Rows):
    """The queue, with jobs that ended lately."""

    list_display = (
        "task", "queue", "state", "priority", "owner", "attempt", "worker", "created_at",
        "finished_at",
    )  # fmt: skip
    list_filter = ("state", "created_at", "finished_at")
    search_fields = ("key__istartswith", "queue__exact", "owner__exact", "worker__istartswith")
    actions = ("cancel", "retry")

    @action(description=_("Cancel"))
    def cancel(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        """Cancel jobs; running ones stop before their next step."""
        each(request, rows, lambda me, row: operator_actions.cancel(actor=me, job_id=row.pk))

    @action(description=_("Retry"))
    def retry(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        """Retry failed renders and look reports."""
        each(request, rows, lambda me, row: operator_actions.retry(actor=me, job_id=row.pk))


class Workers(Rows):
    """Worker processes."""

    list_display = ("name", "wish", "jobs_done", "started_at", "seen_at")
    search_fields = ("name__istartswith",)


class Renders(Rows):
    """Pictures that were or will be made."""

    list_display = ("id", "kind", "base", "state", "version", "job", "created_at", "finished_at")
    list_filter = ("kind", "state", "created_at")
    search_fields = ("base__exact", "version__adapter__key__istartswith")


class Tryouts(Rows):
    """Try-outs; their keys are secrets of those who share them."""

    list_display = ("id", "user", "pack_version", "is_shared", "created_at", "expires_at")
    list_filter = ("is_shared", "created_at")
    search_fields = ("user__username__istartswith",)
    fields = ("user", "pack_version", "variant", "render", "is_shared", "created_at", "expires_at")


def register(site: AdminSite) -> None:
    """Register the lists."""
    site.register(Job, Jobs)
    site.register(Worker, Workers)
    site.register(Render, Renders)
    site.register(Tryout, Tryouts)
