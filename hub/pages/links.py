"""Addresses that pages give away but other doors answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.urls import reverse

if TYPE_CHECKING:
    from django.http import HttpRequest

    from registry.models import Version


def address(request: HttpRequest) -> str:
    """Return where this hub is, without a slash: as people type it, or as it was asked."""
    return settings.LORARY.base_url or request.build_absolute_uri("/").rstrip("/")


def download(version: Version, path: str) -> str:
    """Return the address of a file's bytes at the REST API."""
    adapter = version.adapter
    return reverse("api-file", args=[adapter.owner, adapter.name, version.name, path])
