"""From local files to a published version."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.anatomy import Finding, Inspection, inspect_file
from lorary.anatomy.display_names import title_of
from lorary.client.errors import (
    FileMissing,
    Forbidden,
    Gone,
    Invalid,
    NameTaken,
    NotFound,
    UploadNotReady,
    UploadRefused,
    VisibilityDiffers,
)
from lorary.client.models import Account, Adapter, Upload, Version
from lorary.client.names import Reference, collision_key
from lorary.client.progress import OnProgress, Progress
from lorary.client.transfers.pulling import read_version
from lorary.client.transfers.upload import Source, send

if TYPE_CHECKING:
    from lorary.client.http.session import Session

#: Told of what was found in the files, each once, and of the adapter that there is.
OnChecked = Callable[[Sequence[Finding], Adapter | None], None]

#: Suffixes of files that may travel beside weights; everything else is inspected as weights.
COMPANIONS = frozenset(
    {
        ".csv", ".jpeg", ".jpg", ".json", ".md", ".png", ".toml", ".txt", ".webp", ".yaml", ".yml",
    }
)  # fmt: skip

_READY_TIMEOUT_S = 60.0
_PREVIEWS_TIMEOUT_S = 900.0
#: How long to stay with a state that may be the last one; the others always lead somewhere.
_PATIENCE_S = {"ready": 0.0, "failed": 0.0, "none": 5.0, "waiting": 30.0}
_POLL_S = 0.5
_LONGEST_POLL_S = 3.0


@dataclass(frozen=True, slots=True)
class Details:
    """What a person says about an adapter and a version; None and empty mean: not said.

    Attributes:
        title: Title of a new adapter; made from the file when there is none.
        kind: Kind of a new adapter: style, character, concept, …
        visibility: public, unlisted or private; a new adapter is public unless told otherwise.
        trigger_words: Phrases that wake it; the hub takes the file's own when there are none.
        optional_trigger_words: Phrases that change the effect, which is there without them.
        family: Base-model family, where the tensors cannot prove it.
        lineage: Checkpoint that it was trained on.
        label: Short name of the version.
        notes: What is new in the version.
        strength: Recommended strength.
        rating: Content rating of a new adapter: general, suggestive, mature or explicit.
    """

    title: str = ""
    kind: str = ""
    visibility: str = ""
    trigger_words: Sequence[str] = field(default_factory=tuple)
    optional_trigger_words: Sequence[str] = field(default_factory=tuple)
    family: str = ""
    lineage: str = ""
    label: str = ""
    notes: str = ""
    strength: float | None = None
    rating: str = ""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push led to.

    Attributes:
        version: The version, published or a draft.
        uploads: What was sent, in the order given.
        findings: Of the checks here and on the hub, each once.
        is_new: The adapter was made by it.
        is_repeated: The files were published as this version before; nothing was published.
    """

    version: Version
    uploads: tuple[Upload, ...]
    findings: tuple[Finding, ...]
    is_new: bool
    is_repeated: bool = False


def accept_findings(_findings: Sequence[Finding], _adapter: Adapter | None) -> None:
    """Continue with every push."""


def push(  # noqa: PLR0913 - two that are told, by keyword
    session: Session,
    target: Reference,
    places: Sequence[Path],
    details: Details,
    *,
    on_progress: OnProgress,
    on_checked: OnChecked,
    is_draft: bool,
) -> Pushed:
    """Inspect, send, and publish; see `lorary.client.hub.Hub.push`."""
    findings, title = _check_locally(places)
    account = Account.read(session.json("GET", "me"))
    adapter = _existing(session, target, details)
    on_checked(_unique(findings), adapter)
    is_new = adapter is None
    details = replace(details, title=details.title or title)
    if adapter is None and account.name.casefold() != target.owner.casefold():
        # Under another's name a new adapter comes first: a no is better heard before the bytes
        # have travelled. Under one's own it comes last, so that a refused file leaves none.
        adapter = _create(session, target, details)
    uploads = [send(session, Source.of(place, on_progress), on_progress) for place in places]
    if adapter is None:
        adapter = _create(session, target, details)
    version, is_repeated = _publish(session, target, uploads, details, is_draft=is_draft)
    everything = [*findings, *(f for upload in uploads for f in upload.findings)]
    everything += version.findings
    if is_repeated:  # the version would be warned about itself
        everything = [found for found in everything if found.code != "weights_known"]
    return Pushed(version, tuple(uploads), _unique(everything), is_new, is_repeated)


def _check_locally(places: Sequence[Path]) -> tuple[tuple[Finding, ...], str]:
    """Inspect files before anything is sent.

    Returns:
        What was found, all of it less than an error, and a title by the first weights.
    """
    if not places:
        msg = "Name a file to push."
        raise Invalid(msg)
    names = [collision_key(place.name) for place in places]
    if len(set(names)) != len(names):
        msg = "Two files have the same name, or names that differ only in case."
        raise Invalid(msg)
    looked = [_inspect(place) for place in places]
    titles = [_title(one, place) for one, place in zip(looked, places, strict=True) if one]
    if not titles:
        msg = "A version needs a .safetensors file."
        raise Invalid(msg)
    return tuple(found for one in looked if one for found in one.findings), titles[0]


def _title(inspection: Inspection, place: Path) -> str:
    """Return the title that a file gives itself, else one made from its name."""
    notes = inspection.anatomy.metadata if inspection.anatomy else None
    return title_of(place.name, notes.title if notes else None)


def _inspect(place: Path) -> Inspection | None:
    """Return what weights are, None of a file that lies beside them."""
    try:
        if place.suffix.casefold() in COMPANIONS:
            place.open("rb").close()
            return None
        inspection = inspect_file(place)
    except OSError as error:
        message = f"{place} cannot be read: {error.strerror or error}."
        raise FileMissing(message) from error
    if inspection.refused:
        message = f"{place.name}: {inspection.findings[0].message}"
        raise UploadRefused(message, findings=inspection.findings)
    return inspection


def _existing(session: Session, target: Reference, details: Details) -> Adapter | None:
    """Return the adapter if there is one."""
    try:
        adapter = Adapter.read(session.json("GET", target.api_path))
    except Gone:
        raise
    except NotFound:
        return None
    if adapter.data.get("can_write") is False:
        message = f"You are not allowed to publish to {adapter.full_name}. Nothing was sent."
        raise Forbidden(message, facts={"adapter": adapter.full_name})
    if details.visibility and adapter.visibility and details.visibility != adapter.visibility:
        message = (
            f"{adapter.full_name} is {adapter.visibility}, not {details.visibility}. "
            "Nothing was sent. Change the adapter first, or push without this option."
        )
        raise VisibilityDiffers(message, facts={"visibility": adapter.visibility})
    return adapter


def _create(session: Session, target: Reference, details: Details) -> Adapter:
    values = {
        "owner": target.owner,
        "name": target.name,
        "title": details.title,
        "kind": details.kind,
        "maturity": details.rating,
        "visibility": details.visibility or "public",
    }
    data = {key: value for key, value in values.items() if value}
    try:
        answer = session.json("POST", "adapters", data=data, is_repeatable=True)
    except NameTaken:
        # Another push was faster, or the answer to an earlier attempt got lost.
        existing = _existing(session, target, details)
        if existing is None:
            raise
        return existing
    return Adapter.read(answer)


def _publish(
    session: Session,
    target: Reference,
    uploads: Sequence[Upload],
    details: Details,
    *,
    is_draft: bool,
) -> tuple[Version, bool]:
    """Make a version; return it, and whether it was published with these files before."""
    values: dict[str, object] = {
        "label": details.label,
        "notes": details.notes,
        "family": details.family,
        "lineage": details.lineage,
        "trigger_words": list(details.trigger_words),
        "optional_trigger_words": list(details.optional_trigger_words),
        "strength": details.strength,
    }
    data = {key: value for key, value in values.items() if value not in ("", [], None)}
    data |= {"uploads": [upload.id for upload in uploads], "publish": not is_draft}
    path = f"{target.api_path}/versions"
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while True:
        try:
            answer, existed = session.create(path, data)
            version = Version.read(answer)
            return version, existed and version.state != "draft"
        except UploadNotReady:
            if time.monotonic() > deadline:
                raise
        session.backoff.sleep(_POLL_S)


def await_previews(
    session: Session, reference: Reference, version: Version, on_progress: OnProgress
) -> Version:
    """Ask until the pictures are there, cannot be made here, or time is up.

    A state that may be left by itself, such as waiting for a worker that just starts, is given
    some time.
    """
    deadline = time.monotonic() + _PREVIEWS_TIMEOUT_S
    entered, state, pause = time.monotonic(), version.previews.state, _POLL_S
    while time.monotonic() < deadline:
        previews = version.previews
        if previews.state != state:
            entered, state = time.monotonic(), previews.state
        patience = _PATIENCE_S.get(state)
        if patience is not None and time.monotonic() - entered >= patience:
            break
        on_progress(Progress("render", version.name, previews.done, previews.total))
        session.backoff.sleep(pause)
        pause = min(_LONGEST_POLL_S, pause * 1.3)
        version = read_version(session, reference)
    return version


def _unique(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Leave out what was said before; errors first."""
    seen: dict[tuple[str, str], Finding] = {}
    for found in findings:
        seen.setdefault((found.code, found.message), found)
    order = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(seen.values(), key=lambda found: order[found.severity]))
