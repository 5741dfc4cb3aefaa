"""URLs outside of the pages, and checks whether URLs in a request belong to this hub."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from registry.models import Version


def address(request: HttpRequest) -> str:
    """Return the URL of this hub without a trailing slash: the configured or the requested one."""
    return settings.LORARY.base_url or request.build_absolute_uri("/").rstrip("/")


def is_own(request: HttpRequest, url: str) -> bool:
    """Whether a URL belongs to the requested site, so that a page may redirect to it."""
    return url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )


def download(version: Version, path: str) -> str:
    """Return the URL of a file's download in the REST API."""
    adapter = version.adapter
    return reverse("api-file", args=[adapter.owner, adapter.name, version.name, path])
