"""Facts that the catalogue announces to the apps above it, which it does not import.

Receivers run after the commit. Nothing that they return or raise is used.

``version_published``: a version was published. Receivers get ``version_id``.

``version_withdrawn``: a version was withdrawn. Receivers get ``version_id``, and delete what was
made with it.
"""

from __future__ import annotations

from django.dispatch import Signal

version_published = Signal()
version_withdrawn = Signal()
