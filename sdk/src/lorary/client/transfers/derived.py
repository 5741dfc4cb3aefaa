"""Files that a hub makes of weights on request: for another tool, of a smaller rank, stripped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lorary.client.errors import (
    BadAnswer,
    Gone,
    Invalid,
    LoraryError,
    NotFound,
    StateConflict,
    TimedOut,
)
from lorary.client.http.json_answers import Record
from lorary.client.http.session import Session
from lorary.client.models import File, Version
from lorary.client.names import Reference, check_paths
from lorary.client.progress import OnProgress, Progress

_POLL_S, _LONGEST_POLL_S = 0.3, 3.0
_TIMEOUT_S = 3600.0
_SUFFIX = ".safetensors"
#: Names that PEFT reads, in a folder of their own.
PEFT_WEIGHTS, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Form:
    """The form of weights to download; without any value, they are as uploaded.

    Attributes:
        naming: ``kohya``, ``peft``, ``diffusers`` or ``comfyui``.
        max_rank: Largest rank of a module: 4, 8, 16, 32, 64 or 128.
        strip: Whether to leave out the metadata about the training.
    """

    naming: str = ""
    max_rank: int = 0
    strip: bool = False

    def __bool__(self) -> bool:
        return bool(self.naming or self.max_rank or self.strip)


@dataclass(frozen=True, slots=True)
class DerivedFile(File):
    """A file that the hub made; it is not a file of the version.

    Attributes:
        source: The file of the version that it is made of.
        certificate: What was done: ``conversion``, ``resize`` and ``strip``, each if it was.
        config: The ``adapter_config.json`` of a file for PEFT, empty for others.
    """

    source: File | None = None
    certificate: Mapping[str, Any] = field(default_factory=dict, compare=False)
    config: str = ""


def derive(
    session: Session,
    reference: Reference,
    version: Version,
    file: File,
    form: Form,
    on_progress: OnProgress,
) -> File:
    """Have the hub make a file, wait until it is ready, and return it; nothing is downloaded.

    Args:
        reference: The adapter.
        version: The version.
        file: A weights file of it.

    Returns:
        The file itself if it has this form already.

    Raises:
        StateConflict: it cannot be made exactly; the message has the module and the reason.
        LoraryError: another refusal, or no response.
    """
    exact = Reference(reference.owner, reference.name, version.name)
    wanted = {"naming": form.naming, "max_rank": form.max_rank, "strip": form.strip}
    data = {"path": file.path, **{key: value for key, value in wanted.items() if value}}
    try:
        answer = session.json(
            "POST", f"{exact.version_path}/derived", data=data, is_repeatable=True
        )
    except Gone:
        raise
    except NotFound as error:  # the version is there, so the endpoint is missing
        message = (
            f"{session.endpoint} is older than this command and cannot convert or resize files. "
            "Pull the file as it is, and use “lorary convert”, “lorary resize” or “lorary rewrite”."
        )
        raise Invalid(message, code="hub_too_old") from error
    record = _wait(session, Record(answer, "derived file"), on_progress)
    return _read(record, file, version)


def _wait(session: Session, record: Record, on_progress: OnProgress) -> Record:
    deadline, pause = time.monotonic() + _TIMEOUT_S, _POLL_S
    while record.text("state") == "queued":
        if time.monotonic() > deadline:
            message = "The file is not ready yet. Run the same command again later."
            raise TimedOut(message)
        progress = Record(record.mapping("progress"), "progress")
        done, total = progress.whole("done"), progress.whole("total")
        on_progress(Progress("check" if total else "wait", record.text("name"), done, total))
        session.backoff.sleep(pause)
        pause = min(_LONGEST_POLL_S, pause * 1.3)
        record = Record(session.json("GET", record.text("url")), "derived file")
    return record


def _read(record: Record, file: File, version: Version) -> File:
    """Return a file that is ready.

    Raises:
        StateConflict, LoraryError: it was refused; the hub failed to make it.
        BadAnswer: its name is that of a file of the version.
    """
    state, reason = record.text("state"), record.text("reason")
    if state == "refused":
        message = f"{file.path} cannot be made in this form exactly: {reason}"
        code = record.text("refusal")
        raise StateConflict(message, code=code, facts={"path": file.path})
    if state != "ready":
        raise LoraryError(reason or "The hub could not make the file.", code="derivation_failed")
    if not record.text("variant"):
        return file
    name, config = record.text("name"), record.text("config")
    if "/" in name or any(name == one.path.rpartition("/")[2] for one in version.files):
        message = "The hub's response does not contain a valid derived file."
        raise BadAnswer(message)
    path = f"{name.removesuffix(_SUFFIX)}/{PEFT_WEIGHTS}" if config else name
    check_paths([path])
    return DerivedFile(
        path=path,
        role=file.role,
        variant=file.variant,
        size_bytes=record.whole("size"),
        sha256=record.hexadecimal("sha256", 64),
        is_primary=file.is_primary,
        download_url=record.text("download_url"),
        source=file,
        certificate=record.mapping("certificate"),
        config=config,
    )
