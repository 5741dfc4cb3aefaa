"""Addresses that pages give away but other doors answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import reverse

if TYPE_CHECKING:
    from registry.models import Version

__all__ = ["download"]


def download(version: Version, path: str) -> str:
    """Return the address of a file's bytes at the REST API."""
    adapter = version.adapter
    return reverse("api-file", args=[adapter.owner, adapter.name, version.name, path])
