"""What the catalogue tells the rooms above it, which it does not know.

``version_published``: a version became public knowledge. Receivers get ``version_id`` and run
after the commit, so they see the published rows.

``version_withdrawn``: a version was taken down for good. Receivers get ``version_id``, run after
the commit, and let go of what was made with it.

``sweeping``: what nobody refers to is about to be removed. Receivers let go of what has expired.
"""

from __future__ import annotations

from django.dispatch import Signal

__all__ = ["sweeping", "version_published", "version_withdrawn"]

version_published = Signal()
version_withdrawn = Signal()
sweeping = Signal()
