"""Django's admin at ``/admin``: read-only rows, and actions that call services."""

from __future__ import annotations

from hub.admin import accounts, catalogue, jobs
from hub.admin.rows import register_others
from hub.admin.site import site

accounts.register(site)
catalogue.register(site)
jobs.register(site)
register_others(site)

__all__ = ["site"]
