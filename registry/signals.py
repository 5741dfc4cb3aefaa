"""The one signal of the catalogue: a version became public knowledge.

Receivers get ``version_id`` and run after the commit, so they see the published rows.
"""

from __future__ import annotations

from django.dispatch import Signal

__all__ = ["version_published"]

version_published = Signal()
