"""What the catalogue tells the rooms above it, which it does not know.

``version_published``: a version became public knowledge. Receivers get ``version_id`` and run
after the commit, so they see the published rows.

``card_changed``: somebody changed what is said about an adapter or one of its versions, but not by
sending a README. Receivers get ``adapter_id`` and ``actor``, and run after the commit.

``card_wanted``: a version is about to be published. Receivers get the ``adapter`` as it will be,
which is not to be saved, and the blob of its ``card`` (None: it has none). They answer with the
text of the README that is to lie behind the version, or None where the card says all of it.

``version_withdrawn``: a version was taken down for good. Receivers get ``version_id``, run after
the commit, and let go of what was made with it.

``weighing``: a namespace is asked for its size. Receivers get ``namespace``, and return how many
bytes they keep for it beside what the catalogue knows.

``sweep``: what nobody refers to is about to be removed. Receivers let go of what has expired,
and return how many files and bytes they removed outside of the store, or None. With ``is_dry`` they
change nothing and return what they would remove.
"""

from __future__ import annotations

from django.dispatch import Signal

__all__ = [
    "card_changed", "card_wanted", "sweeping", "version_published", "version_withdrawn", "weighing",
]  # fmt: skip

card_changed = Signal()
card_wanted = Signal()
version_published = Signal()
version_withdrawn = Signal()
sweeping = Signal()
weighing = Signal()
