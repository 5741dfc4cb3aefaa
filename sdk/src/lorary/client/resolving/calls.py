"""The methods of `lorary.client.Hub` that resolve the adapters of pictures and workflows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.client.errors import NotFound
from lorary.client.names import Reference, absolute
from lorary.client.progress import OnProgress, silent
from lorary.client.resolving import resolve as resolving
from lorary.client.transfers import pulling
from lorary.replacing import StrPath

if TYPE_CHECKING:
    from lorary.client.http.session import Session
    from lorary.client.resolving.references import LoraReference
    from lorary.client.resolving.resolve import Answer
    from lorary.client.transfers.cache import Cache
    from lorary.client.transfers.pulling import PulledFile


class Resolving:
    """Resolves what files name."""

    _session: Session
    _cache: Cache

    def resolve(
        self,
        files: StrPath | Sequence[StrPath],
        *,
        folders: Sequence[StrPath] = (),
        on_progress: OnProgress = silent,
    ) -> Answer:
        """Return the adapters that pictures, workflows and texts name, and where their files are.

        Hashes are looked up first, on the hub, in the cache and in the folders; names only where
        no hash is known. A file that cannot be read has an ``error``, and an unreachable hub is
        the ``failure`` of the answer.

        Args:
            files: PNG, JPEG, WebP, MP4 or WebM, workflows and metadata in JSON, A1111's texts.
            folders: Folders with adapters, searched with their subfolders.
            on_progress: Called for every block of a file that is hashed, from several threads.
        """
        places = [files] if isinstance(files, str | os.PathLike) else files
        return resolving.resolve(
            self._session,
            self._cache,
            [Path(place) for place in places],
            [Path(folder).expanduser() for folder in folders],
            on_progress,
        )

    def is_cached(self, reference: LoraReference) -> bool:
        """Return whether the local file of a resolved reference is in the cache."""
        return reference.path is not None and reference.path.is_relative_to(self._cache.root)

    def pull_reference(
        self,
        reference: LoraReference,
        *,
        to: StrPath | None = None,
        on_progress: OnProgress = silent,
    ) -> PulledFile:
        """Download the file of a resolved reference: only that file of its version.

        Raises:
            NotFound: the hub has no version for it, or no longer.
        """
        if reference.version is None or reference.file is None:
            message = f"No version is known for “{reference.name}”."
            raise NotFound(message)
        target = Reference.parse(f"{reference.version.adapter}@{reference.version.name}")
        pulled = pulling.pull(
            self._session,
            self._cache,
            target,
            to=pulling.Destination(
                absolute(to),
                only_sha256=reference.file.sha256,
            ),
            rehash=False,
            on_progress=on_progress,
        )
        return pulled.files[0]
