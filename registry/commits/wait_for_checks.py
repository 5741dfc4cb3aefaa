"""Waiting for the checks of what a commit brings, outside of any transaction.

Each file becomes an upload of who commits and goes the way of every upload. Whoever waited long
enough is told to come again: the uploads stay, so the next try finds the checks done or goes on
waiting for the same ones.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from registry.commits.changes import Inline
from registry.errors import Conflict, UploadNotReady, UploadRefused
from registry.models import Upload, UploadState
from registry.scan import checks
from registry.uploads import by_digest, check, endings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.commits.changes import Put
    from registry.models import Blob, User

#: How many files of a commit are in the checks at once, so that other uploads find room.
WAVE = 64
#: A companion of at most so many bytes is judged at once: reading it takes milliseconds, and a
#: README does not wait behind gigabytes.
SMALL_BYTES = 4 * 2**20
#: Seconds between two looks, from the first to the longest.
FIRST_LOOK_S, LAST_LOOK_S = 0.05, 0.5
#: Seconds after which a client may come again.
RETRY_S = 5


def settled(*, user: User, files: Sequence[Put | Inline], wait_s: float) -> dict[str, Blob]:
    """Return the accepted bytes of every file by path.

    Args:
        user: Who commits.
        files: What comes, each path once.
        wait_s: How many seconds to wait for checks.

    Raises:
        UploadNotReady: checks still run; ``facts["retry_after"]`` is seconds.
        UploadRefused: files were refused, with the findings of all that are known by then.
        UploadIncomplete: bytes are not here.
    """
    waiting = _Waiting(user, time.monotonic() + wait_s, deque(files))
    pause_s = FIRST_LOOK_S
    while waiting.left or waiting.begun:
        waiting.begin()
        if waiting.look():
            pause_s = FIRST_LOOK_S
            continue
        waiting.require_time()
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LAST_LOOK_S)
    return waiting.blobs


def begun(*, user: User, file: Put | Inline, is_hurried: bool = True) -> Upload:
    """Send a file to the checks, and judge a small companion at once; done again, find it again.

    Args:
        user: Who commits.
        file: What comes.
        is_hurried: Whether there is time to judge; everything else waits for its turn.

    Raises:
        UploadRefused: see ``by_digest.assign_path``; its text names the file.
        UploadNotReady: another request holds the bytes.
        UploadIncomplete: they are not here.
    """
    try:
        if isinstance(file, Inline):
            upload = by_digest.upload_bytes(actor=user, path=file.path, data=file.data)
        else:
            upload = by_digest.assign_path(
                actor=user, sha256=file.sha256, path=file.path, size_bytes=file.size_bytes
            )
    except UploadRefused as refusal:
        raise _naming(refusal, file.path) from refusal
    except Conflict as busy:
        if type(busy) is not Conflict:
            raise
        raise UploadNotReady(busy.detail, retry_after=RETRY_S, paths=[file.path]) from busy
    is_small = upload.size_bytes <= SMALL_BYTES and not checks.is_weights(upload.path)
    if is_hurried and is_small and upload.state == UploadState.CHECKING:
        with suppress(Conflict, FileNotFoundError):  # the queue has it as well
            check.run_checks(upload=upload)
    return upload


@dataclass(slots=True)
class _Waiting:
    """Where each file of a commit is: not begun, in the checks, or accepted."""

    user: User
    until: float
    left: deque[Put | Inline]
    begun: dict[str, tuple[Put | Inline, int]] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)

    def require_time(self) -> None:
        """Raise UploadNotReady when it is late."""
        if time.monotonic() < self.until:
            return
        paths = [*self.begun, *(file.path for file in self.left)]
        text = _("%(n)d files are still being checked, “%(path)s” among them. Commit again soon.")
        raise UploadNotReady(
            text % {"n": len(paths), "path": paths[0]}, retry_after=RETRY_S, paths=paths[:100]
        )

    def begin(self) -> None:
        """Send files to the checks while there is room among them."""
        while self.left and len(self.begun) < WAVE:
            file = self.left[0]
            has_time = time.monotonic() < self.until
            upload = begun(user=self.user, file=file, is_hurried=has_time)
            self.left.popleft()
            self.begun[file.path] = file, upload.pk

    def look(self) -> bool:
        """See what became of the files in the checks; whether any was decided."""
        rows = Upload.objects.select_related("blob", "blob__anatomy")
        found = rows.in_bulk([pk for _file, pk in self.begun.values()])
        refused, before = [], len(self.begun)
        for path, (file, pk) in list(self.begun.items()):
            upload = found.get(pk)
            if upload is not None and upload.state == UploadState.CHECKING:
                continue
            del self.begun[path]
            if upload is not None and upload.state == UploadState.REFUSED:
                refused.append((path, upload))
            elif upload is None or upload.blob is None or upload.state != UploadState.ACCEPTED:
                raise endings.closed(upload) if upload else _gone(path)
            elif upload.path == path:
                self.blobs[path] = upload.blob
            else:  # the same bytes under another path: now they are known
                self.left.append(file)
        if refused:
            raise _refusal(refused)
        return len(self.begun) < before


def _gone(path: str) -> Conflict:
    return Conflict(_("“%(path)s” was removed meanwhile. Send it again.") % {"path": path})


def _naming(refusal: UploadRefused, path: str) -> UploadRefused:
    """Return a refusal of the same kind whose text names the file."""
    said = str(refusal.detail)
    if path not in said:
        said = f"“{path}”: {said}"
    facts = {key: value for key, value in refusal.facts.items() if key not in {"path", "paths"}}
    return type(refusal)(said, findings=refusal.findings, paths=[path], **facts)


def _refusal(refused: Sequence[tuple[str, Upload]]) -> UploadRefused:
    """Return the refusal of a commit, with everything that was found about its files."""
    told = [(path, check.results_of(upload)) for path, upload in refused]
    path, first = told[0]
    findings = [found for _path, results in told for found in results]
    text = check.headline(first)
    if path not in text:
        text = f"“{path}”: {text}"
    return UploadRefused(text, findings=findings, paths=[path for path, _results in told])
