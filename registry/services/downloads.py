"""Counting finished transfers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import OperationalError, transaction
from django.db.models import F
from django.utils import timezone

from registry.models import Adapter, DailyDownloads, Version

if TYPE_CHECKING:
    from registry.models import File

__all__ = ["count"]


def count(*, version: Version, file: File) -> None:
    """Add one download of a version's primary file.

    A busy database loses the count, never the download.
    """
    if not file.is_primary:
        return
    today = timezone.now().date()
    try:
        with transaction.atomic():
            row, _created = DailyDownloads.objects.get_or_create(version=version, day=today)
            DailyDownloads.objects.filter(pk=row.pk).update(count=F("count") + 1)
            Version.objects.filter(pk=version.pk).update(downloads=F("downloads") + 1)
            Adapter.objects.filter(pk=version.adapter_id).update(downloads=F("downloads") + 1)
    except OperationalError:
        return
