"""What the catalogue tells the rooms above it, which it does not know.

``version_published``: a version became public knowledge. Receivers get ``version_id`` and run
after the commit, so they see the published rows.

``card_changed``: somebody changed what is said about an adapter or one of its versions, but not by
sending a README. Receivers get ``adapter_id``, ``actor`` and whether a version ``is_published`` by
it, and run after the commit.

``version_withdrawn``: a version was taken down for good. Receivers get ``version_id``, run after
the commit, and let go of what was made with it.

``sweeping``: what nobody refers to is about to be removed. Receivers let go of what has expired,
and return how many files and bytes they removed outside of the store, or None. With ``is_dry`` they
change nothing and return what they would remove.
"""

from __future__ import annotations

from django.dispatch import Signal

__all__ = ["card_changed", "sweeping", "version_published", "version_withdrawn"]

card_changed = Signal()
version_published = Signal()
version_withdrawn = Signal()
sweeping = Signal()
