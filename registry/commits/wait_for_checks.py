"""Waits for the checks of a commit's files, outside of any transaction.

Each file becomes an upload of the committer. If the checks take too long, the client is asked to
repeat the commit: the uploads stay, so the next attempt finds the checks done or waits for the same
ones.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from registry.commits.changes import Inline, Put
from registry.errors import Conflict, UploadNotReady, UploadRefused
from registry.models import Blob, Upload, UploadState, User
from registry.scan import checks
from registry.uploads import by_digest, check, receive

#: Maximum number of files of a commit in the checks at a time, so that other uploads are not
#: blocked.
WAVE = 64
#: Companions up to this size are checked in the request: this takes milliseconds, and a
#: README does not have to wait behind gigabytes.
SMALL_BYTES = 4 * 2**20
#: Initial and maximum seconds between two polls.
FIRST_POLL_S, LAST_POLL_S = 0.05, 0.5
#: Seconds after which a client should repeat the commit.
RETRY_S = 5


def accepted_blobs(*, user: User, files: Sequence[Put | Inline], wait_s: float) -> dict[str, Blob]:
    """Return the accepted blob of every file by path.

    Args:
        files: New files, each path once.
        wait_s: Maximum seconds to wait for checks.

    Raises:
        UploadNotReady: checks are still running; ``facts["retry_after"]`` is in seconds.
        UploadRefused: files were refused; contains all findings that are known so far.
        UploadIncomplete: bytes are missing.
    """
    waiting = _Waiting(user, time.monotonic() + wait_s, deque(files))
    pause_s = FIRST_POLL_S
    while waiting.left or waiting.started:
        waiting.begin()
        if waiting.poll():
            pause_s = FIRST_POLL_S
            continue
        waiting.require_time()
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LAST_POLL_S)
    return waiting.blobs


def start_checks(*, user: User, file: Put | Inline, checks_now: bool = True) -> Upload:
    """Queue the checks of a file, or run them now for a small companion; may be repeated.

    Args:
        checks_now: Whether there is time to check a small companion now.

    Raises:
        UploadRefused: see ``by_digest.assign_path``; its text names the file.
        UploadNotReady: another request holds the lock of the bytes.
        UploadIncomplete: bytes are missing.
    """
    try:
        if isinstance(file, Inline):
            upload = by_digest.upload_bytes(actor=user, path=file.path, data=file.data)
        else:
            upload = by_digest.assign_path(
                actor=user, sha256=file.sha256, path=file.path, size_bytes=file.size_bytes
            )
    except UploadRefused as refusal:
        raise _with_path(refusal, file.path) from refusal
    except Conflict as busy:
        if type(busy) is not Conflict:
            raise
        raise UploadNotReady(busy.detail, retry_after=RETRY_S, paths=[file.path]) from busy
    is_small = upload.size_bytes <= SMALL_BYTES and not checks.is_weights(upload.path)
    if checks_now and is_small and upload.state == UploadState.CHECKING:
        with suppress(Conflict, FileNotFoundError):  # the queued check still runs
            check.run_checks(upload=upload)
    return upload


@dataclass(slots=True)
class _Waiting:
    """The files of a commit: not started (``left``), in the checks (``started``), or accepted."""

    user: User
    until: float
    left: deque[Put | Inline]
    started: dict[str, tuple[Put | Inline, int]] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)

    def require_time(self) -> None:
        """Raise UploadNotReady if the time is over."""
        if time.monotonic() < self.until:
            return
        paths = [*self.started, *(file.path for file in self.left)]
        text = ngettext(
            "%(n)d file is still being checked: “%(path)s”. Commit again soon.",
            "%(n)d files are still being checked, including “%(path)s”. Commit again soon.",
            len(paths),
        )
        raise UploadNotReady(
            text % {"n": len(paths), "path": paths[0]}, retry_after=RETRY_S, paths=paths[:100]
        )

    def begin(self) -> None:
        """Start checks of files, at most ``WAVE`` at once."""
        while self.left and len(self.started) < WAVE:
            file = self.left[0]
            has_time = time.monotonic() < self.until
            upload = start_checks(user=self.user, file=file, checks_now=has_time)
            self.left.popleft()
            self.started[file.path] = file, upload.pk

    def poll(self) -> bool:
        """Collect the files whose checks have ended; return whether there are any."""
        rows = Upload.objects.select_related("blob", "blob__anatomy")
        found = rows.in_bulk([pk for _file, pk in self.started.values()])
        refused, before = [], len(self.started)
        for path, (file, pk) in list(self.started.items()):
            upload = found.get(pk)
            if upload is not None and upload.state == UploadState.CHECKING:
                continue
            del self.started[path]
            if upload is not None and upload.state == UploadState.REFUSED:
                refused.append((path, upload))
            elif upload is None or upload.blob is None or upload.state != UploadState.ACCEPTED:
                raise receive.closed(upload) if upload else _removed(path)
            elif upload.path == path:
                self.blobs[path] = upload.blob
            else:  # the upload was for the same bytes at another path
                self.left.append(file)
        if refused:
            raise _refusal(refused)
        return len(self.started) < before


def _removed(path: str) -> Conflict:
    return Conflict(_("“%(path)s” was deleted in the meantime. Send it again.") % {"path": path})


def _with_path(refusal: UploadRefused, path: str) -> UploadRefused:
    """Return a refusal of the same kind whose text names the file."""
    text = str(refusal.detail)
    if path not in text:
        text = f"“{path}”: {text}"
    facts = {key: value for key, value in refusal.facts.items() if key not in {"path", "paths"}}
    return type(refusal)(text, findings=refusal.findings, paths=[path], **facts)


def _refusal(refused: Sequence[tuple[str, Upload]]) -> UploadRefused:
    """Return the refusal of a commit, with the findings of all refused files."""
    results_by_path = [(path, check.results_of(upload)) for path, upload in refused]
    path, first = results_by_path[0]
    findings = [found for _path, results in results_by_path for found in results]
    text = check.headline(first)
    if path not in text:
        text = f"“{path}”: {text}"
    return UploadRefused(
        text, findings=findings, paths=[path for path, _results in results_by_path]
    )
