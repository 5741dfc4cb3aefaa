"""Functions that apps above the catalogue add in ``AppConfig.ready``, as it does not import them.

``sweepers`` delete what has expired, and return how many files and bytes they deleted outside of
the store. With ``is_dry`` they change nothing and return what they would delete.

``machine_sweepers`` do the same with files of their own machine; each machine of the hub calls
them.

``pictures`` return rows with a ``version``, which has pictures to show.

``stored_bytes`` return how many bytes an app stores for a namespace besides the catalogue's own.

``job_spans`` return a context in which a worker runs a job.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from django.db.models import QuerySet
from django.dispatch import Signal

if TYPE_CHECKING:
    from registry.models import Job, Namespace


# Facts that the catalogue announces. Receivers run after the commit and get ``version_id``; nothing
# that they return or raise is used. Those of a withdrawal delete what was made with the version.

version_published = Signal()
version_withdrawn = Signal()
pack_version_published = Signal()
pack_version_withdrawn = Signal()
# With ``owner``, the name of the account. Receivers stop its jobs.
account_disabled = Signal()


class Sweeper(Protocol):
    """A function in ``sweepers`` or ``machine_sweepers``."""

    def __call__(self, *, is_dry: bool) -> tuple[int, int]:
        """Return (files, bytes)."""


sweepers: set[Sweeper] = set()
machine_sweepers: set[Sweeper] = set()
stored_bytes: set[Callable[[Namespace], int]] = set()
pictures: list[Callable[[], QuerySet[Any]]] = []
job_spans: list[Callable[[Job], AbstractContextManager[None]]] = []


def pictured() -> list[QuerySet[Any]]:
    """Return the pictures of apps above the catalogue."""
    return [rows() for rows in pictures]
