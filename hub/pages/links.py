"""URLs outside of the pages."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from registry.models import Version


def address(request: HttpRequest) -> str:
    """Return the URL of this hub without a trailing slash: as configured, or of the request."""
    return settings.LORARY.base_url or request.build_absolute_uri("/").rstrip("/")


def download(version: Version, path: str) -> str:
    """Return the URL of a file's download in the REST API."""
    adapter = version.adapter
    return reverse("api-file", args=[adapter.owner, adapter.name, version.name, path])
