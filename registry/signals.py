"""What the catalogue tells the apps above it, which it does not import.

``version_published``: a version became public knowledge. Receivers get ``version_id`` and run
after the commit, so they see the published rows.

``version_withdrawn``: a version was taken down for good. Receivers get ``version_id``, run after
the commit, and let go of what was made with it.

``weighing``: a namespace is asked for its size. Receivers get ``namespace``, and return how many
bytes they keep for it beside what the catalogue knows.

``sweeping``: what nobody refers to is about to be removed. Receivers let go of what has expired,
and return how many files and bytes they removed outside of the store, or None. With ``is_dry`` they
change nothing and return what they would remove.
"""

from __future__ import annotations

from django.dispatch import Signal

version_published = Signal()
version_withdrawn = Signal()
sweeping = Signal()
weighing = Signal()
