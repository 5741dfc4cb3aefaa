"""Addresses that pages give away but other doors answer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from registry.models import Version

__all__ = ["download"]


def download(version: Version, path: str) -> str:
    """Return the address of a file's bytes at the REST API."""
    where = f"{version.adapter.full_name}/versions/{version.name}"
    return f"/api/v1/adapters/{where}/files/{quote(path)}"
