"""Publishes local files as a version."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lorary import anatomy
from lorary.anatomy.display_names import title_of
from lorary.client.errors import (
    FileMissing,
    Forbidden,
    Gone,
    Invalid,
    LoraryError,
    NameTaken,
    NotFound,
    PathInvalid,
    Unreachable,
    UploadNotReady,
    UploadRefused,
    VisibilityDiffers,
    reading_file,
)
from lorary.client.finding.by_hash import find_all
from lorary.client.models import Account, Adapter, Upload, Version
from lorary.client.names import Reference, collision_key
from lorary.client.progress import OnProgress, Progress, silent
from lorary.client.transfers.cards import states_licence
from lorary.client.transfers.details import LIMITS, Details, require_known_family
from lorary.client.transfers.pulling import read_version
from lorary.client.transfers.same_adapter import require_same
from lorary.client.transfers.upload import Source, send

if TYPE_CHECKING:
    from lorary.anatomy import Finding, Inspection
    from lorary.client.http.session import Session

#: Called once with the findings for the files, and the existing adapter if there is one.
OnChecked = Callable[["Sequence[Finding]", Adapter | None], None]

#: Suffixes of companion files; every other file is inspected as weights.
COMPANIONS = frozenset(
    {
        ".csv", ".jpeg", ".jpg", ".json", ".md", ".png", ".toml", ".txt", ".webp", ".yaml", ".yml",
    }
)  # fmt: skip

#: Suffixes of configurations; trainers write them, with paths of the computer.
_CONFIGS = frozenset({".json", ".toml", ".yaml", ".yml"})
_MOST_CONFIG_BYTES = 1024 * 1024

_READY_TIMEOUT_S = 60.0
_PREVIEWS_TIMEOUT_S = 900.0
#: How long to wait in a state that may be final; other states always change. A hub calls previews
#: “waiting” only when no worker has taken them for 20 seconds.
_PATIENCE_S = {"ready": 0.0, "failed": 0.0, "none": 5.0, "waiting": 10.0}
_POLL_S = 0.5
_LONGEST_POLL_S = 3.0


#: Findings that name versions of the same or similar weights.
_OF_OTHERS = frozenset({"weights_known", "weights_related"})


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result of a push.

    Attributes:
        version: The version, published or a draft.
        uploads: The uploaded files, in the order given.
        findings: Findings of the local checks and of the hub's, without duplicates.
        is_new: Whether the push created the adapter, or it had no version before.
        is_repeated: Whether this version already existed with these files; nothing was published.
        adapter: The adapter as it was before, or as it was created.
    """

    version: Version
    uploads: tuple[Upload, ...]
    findings: tuple[Finding, ...]
    is_new: bool
    is_repeated: bool = False
    adapter: Adapter | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the caller of a push has asked the hub already.

    Attributes:
        account: The account.
        adapter: The adapter, if it exists.
        is_adapter_known: Whether the adapter was asked for.
    """

    account: Account
    adapter: Adapter | None = None
    is_adapter_known: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known before anything is sent.

    Attributes:
        inspections: The weights with their inspections, none of which has an error. The first one
            also has the findings about configurations.
        title: Title of the first weights, from their metadata or name.
        licence: Licence in the metadata of the first weights; empty with a README.md.
        adapter: The adapter; None for a new one.
    """

    inspections: tuple[tuple[Path, Inspection], ...]
    title: str
    licence: str
    adapter: Adapter | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings for all files."""
        return tuple(found for _, one in self.inspections for found in one.findings)


class _Accepting:
    """Accepts all findings; signatures show its name instead of an address."""

    def __call__(self, _findings: Sequence[Finding], _adapter: Adapter | None) -> None:
        """Accept the findings."""

    def __repr__(self) -> str:
        return "accept_findings"


accept_findings: OnChecked = _Accepting()
"""Accepts all findings."""


def push(  # noqa: PLR0913 - callbacks and what is known, by keyword
    session: Session,
    target: Reference,
    places: Sequence[Path],
    details: Details,
    *,
    on_progress: OnProgress,
    on_checked: OnChecked,
    is_draft: bool,
    known: Known | None = None,
) -> Pushed:
    """Inspect, send, and publish; see `lorary.client.hub.Hub.push`."""
    checked = check(session, target, places, details, known=known)
    account = known.account if known else read_account(session)
    adapter = checked.adapter
    on_checked(_unique(checked.findings), adapter)
    was_empty = adapter is not None and adapter.is_empty
    is_created = adapter is None
    if adapter is None and account.name.casefold() != target.owner.casefold():
        # In another user's namespace the adapter is created first, so that a refusal comes before
        # the upload. In the user's own it is created last, so that a refused file leaves no
        # adapter.
        adapter = _create(session, target, details, checked)
    with _naming_what_stays(target.full_name, lambda: is_created and adapter is not None):
        uploads = [send(session, Source.of(place, on_progress), on_progress) for place in places]
        if adapter is None:
            adapter = _create(session, target, details, checked)
        elif was_empty:
            _describe(session, adapter, details, checked)
    # If only the response is lost, there is a version.
    with _naming_what_stays(target.full_name, lambda: is_created, unclear=(Unreachable,)):
        version, is_repeated = _publish(session, target, uploads, details, is_draft=is_draft)
    everything = [*checked.findings, *(f for upload in uploads for f in upload.findings)]
    everything += version.findings
    if is_repeated:  # otherwise the version would be reported as its own duplicate
        everything = [found for found in everything if found.code not in _OF_OTHERS]
    is_new = is_created or was_empty
    return Pushed(version, tuple(uploads), _unique(everything), is_new, is_repeated, adapter)


def refuse_other(
    session: Session, details: Details, places: Sequence[Path], on_checked: OnChecked
) -> OnChecked:
    """Return a check that also refuses details of another adapter than the one that exists.

    Raises:
        AdapterDiffers: see `same_adapter.require_same`; raised by the check.
    """

    def check(found: Sequence[Finding], adapter: Adapter | None) -> None:
        require_same(details, adapter, lambda: _has_weights(session, adapter, places))
        on_checked(found, adapter)

    return check


def _has_weights(session: Session, adapter: Adapter | None, places: Sequence[Path]) -> bool:
    """Return whether an adapter has one of the weights."""
    weights = [place for place in places if place.suffix.casefold() not in COMPANIONS]
    matches = (one for found in find_all(session, weights, silent) for one in found.matches)
    return adapter is not None and any(one.is_file_of(adapter.full_name) for one in matches)


def read_account(session: Session) -> Account:
    """Return the account of the token."""
    return Account.read(session.json("GET", "me"))


def require_namespace(account: Account, namespace: str) -> None:
    """Raise Forbidden if an account may not publish for a user or an organisation."""
    if account.may_publish_to(namespace) is not False:
        return
    listed = ", ".join(account.namespaces or ())
    instead = f"You may publish to: {listed}." if listed else "This token may not publish."
    if account.bound_adapter:
        instead = f"This token is for {account.bound_adapter} alone."
    message = f"You are not allowed to publish to {namespace}, or it does not exist. {instead}"
    raise Forbidden(message, facts={"namespace": namespace})


def check(
    session: Session,
    target: Reference,
    places: Sequence[Path],
    details: Details,
    *,
    known: Known | None = None,
) -> Checked:
    """Inspect files and look up the adapter, unless it is known; nothing is sent.

    Raises:
        Invalid: a detail is invalid, or the tensors exclude the given base model.
        PathInvalid: a hub cannot store a file's name.
        UploadRefused: a check found an error.
        Forbidden, VisibilityDiffers: see ``existing``.
    """
    details.require_valid()
    if not places:
        msg = "Name a file to push."
        raise Invalid(msg)
    for place in places:
        _require_text(place)
    names = [collision_key(place.name) for place in places]
    if len(set(names)) != len(names):
        msg = "Two files have the same name, or names that differ only in case."
        raise Invalid(msg)
    looked = tuple((place, found) for place in places if (found := inspect_weights(place)))
    if not looked:
        msg = "A version needs a .safetensors file."
        raise Invalid(msg)
    place, first = looked[0]
    require_family(looked, details.family)
    require_known_family(session, details.family, "Nothing was sent.")
    looked = ((place, with_configs(first, places)), *looked[1:])
    if known is not None and known.is_adapter_known:
        adapter = known.adapter
        if adapter is not None:
            adapter = _usable(adapter, details.visibility)
    else:
        adapter = existing(session, target, details.visibility)
    return Checked(looked, _title(first, place), _licence(first, places), adapter)


def require_family(looked: Iterable[tuple[Path, Inspection]], family: str) -> None:
    """Refuse a base model that the tensors of a file exclude; a hub would ignore it.

    Raises:
        Invalid: they allow only others.
    """
    for place, one in looked:
        allowed = one.anatomy.base.allowed if one.anatomy else ()
        # A hub may know another family with these tensors.
        if family in anatomy.FAMILIES and allowed and family not in allowed:
            msg = (
                f"The tensors of {place.name} do not fit {family}; they fit {', '.join(allowed)}. "
                "Leave out the family, or name one that fits. Nothing was sent."
            )
            raise Invalid(msg, facts={"allowed": list(allowed), "given": family})


def _require_text(place: Path) -> None:
    """Make sure that a name is text, which names on Linux need not be."""
    try:
        place.name.encode()
    except UnicodeEncodeError as error:
        readable = os.fsencode(place.name).decode("utf-8", "backslashreplace")
        msg = f"The name {readable} is not UTF-8 text. Rename the file and try again."
        raise PathInvalid(msg, facts={"path": readable}) from error


def _title(inspection: Inspection, place: Path) -> str:
    """Return the title in the file's metadata, or one derived from its name."""
    notes = inspection.anatomy.metadata if inspection.anatomy else None
    return title_of(place.name, notes.title if notes else None)


def _licence(inspection: Inspection, places: Sequence[Path]) -> str:
    """Return the licence in the file's metadata, unless README.md states one."""
    notes = inspection.anatomy.metadata if inspection.anatomy else None
    if notes is None or states_licence(places):
        return ""
    return (notes.license or "")[: LIMITS["licence"]]


def inspect_weights(place: Path) -> Inspection | None:
    """Inspect weights; return None for a companion file.

    Raises:
        FileMissing: it cannot be read.
        UploadRefused: a check found an error.
    """
    if place.is_dir():
        message = (
            f"{place} is a folder, but this takes files: name the files in it. To publish a "
            "training run or many adapters, use `lorary push FOLDER` or `lorary import FOLDER`."
        )
        raise FileMissing(message, facts={"path": str(place)})
    with reading_file(place):
        if place.suffix.casefold() in COMPANIONS:
            place.open("rb").close()
            return None
        inspection = anatomy.inspect_file(place)
    if inspection.refused:
        message = f"{place.name}: {inspection.findings[0].message}"
        raise UploadRefused(message, findings=inspection.findings)
    return inspection


def with_configs(inspection: Inspection, places: Sequence[Path]) -> Inspection:
    """Return an inspection with findings about private data in the configurations of files.

    Raises:
        FileMissing: one cannot be read.
    """
    found: list[Finding] = []
    for place in places:
        if place.suffix.casefold() not in _CONFIGS:
            continue
        with reading_file(place), place.open("rb") as opened:
            text = opened.read(_MOST_CONFIG_BYTES).decode("utf-8", "replace")
        found += [
            replace(one, message=f"{place.name}: {one.message}")
            for one in anatomy.privacy_findings({place.stem: text})
        ]
    return replace(inspection, findings=(*inspection.findings, *found))


def existing(session: Session, target: Reference, visibility: str = "") -> Adapter | None:
    """Return the adapter if it exists.

    Raises:
        Forbidden: this account may not publish to it.
        VisibilityDiffers: it has another visibility than the given one, and versions.

    An adapter that never had a version gets the given visibility in the push, so it is returned
    with it.
    """
    try:
        adapter = Adapter.read(session.json("GET", target.api_path))
    except Gone:
        raise
    except NotFound:
        return None
    return _usable(adapter, visibility)


def _usable(adapter: Adapter, visibility: str) -> Adapter:
    if adapter.data.get("can_write") is False:
        message = f"You are not allowed to publish to {adapter.full_name}. Nothing was sent."
        raise Forbidden(message, facts={"adapter": adapter.full_name})
    if visibility and adapter.visibility and visibility != adapter.visibility:
        if adapter.is_empty:
            return replace(adapter, visibility=visibility)
        message = (
            f"{adapter.full_name} is {adapter.visibility}, not {visibility}. "
            "Nothing was sent. Change the adapter first, push without this option to publish a "
            "new version of it, or choose another name."
        )
        raise VisibilityDiffers(message, facts={"visibility": adapter.visibility})
    return adapter


@contextlib.contextmanager
def _naming_what_stays(
    full_name: str, stays: Callable[[], bool], unclear: tuple[type[LoraryError], ...] = ()
) -> Iterator[None]:
    """Add to an error that the new adapter stays, without a version.

    Args:
        unclear: Errors after which it may have a version.
    """
    try:
        yield
    except LoraryError as error:
        if stays() and not isinstance(error, unclear):
            error.detail = (
                f"{error.detail} {full_name} was created and has no version yet: the options for a "
                "new adapter still apply when you push again."
            )
            error.args = (error.detail,)
        raise


def _described(details: Details) -> dict[str, object]:
    """Return the fields of an adapter that are given."""
    values = {
        "title": details.title,
        "kind": details.kind,
        "maturity": details.rating,
        "visibility": details.visibility,
        "card": details.card,
        "tags": list(details.tags),
        "licence": details.licence,
    }
    return {key: value for key, value in values.items() if value}


def _describe(session: Session, adapter: Adapter, details: Details, checked: Checked) -> None:
    """Give an adapter that never had a version the details of a new one.

    What a file states fills only what the adapter does not have.
    """
    title = "" if adapter.title else checked.title
    licence = "" if adapter.licence else checked.licence
    data = _described(
        replace(details, title=details.title or title, licence=details.licence or licence)
    )
    if data:
        session.json("PATCH", Reference.parse(adapter.full_name).api_path, data=data)


def _create(session: Session, target: Reference, details: Details, checked: Checked) -> Adapter:
    new = replace(
        details,
        title=details.title or checked.title,
        licence=details.licence or checked.licence,
    )
    data = {
        "visibility": "public",
        **_described(new),
        "owner": target.owner,
        "name": target.name,
    }
    try:
        answer = session.json("POST", "adapters", data=data, is_repeatable=True)
    except NameTaken:
        # Another push created it, or the response to an earlier attempt was lost.
        found = existing(session, target, details.visibility)
        if found is None:
            raise
        if found.is_empty:  # it may be public, and be meant to be private
            _describe(session, found, details, checked)
        return found
    return Adapter.read(answer)


def _publish(
    session: Session,
    target: Reference,
    uploads: Sequence[Upload],
    details: Details,
    *,
    is_draft: bool,
) -> tuple[Version, bool]:
    """Create a version; return it, and whether it already existed with these files."""
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
    """Poll until the previews are ready, cannot be rendered, or time is up.

    A state that may change without action, such as waiting for a worker that is starting, gets a
    grace period. A hub that gives a reason for having no previews will not make any. `Hub.push`
    documents how the wait can end.
    """
    deadline = time.monotonic() + _PREVIEWS_TIMEOUT_S
    entered, state, pause = time.monotonic(), version.previews.state, _POLL_S
    while time.monotonic() < deadline:
        previews = version.previews
        if previews.state != state:
            entered, state = time.monotonic(), previews.state
        if state == "none" and previews.reason:
            break
        patience = _PATIENCE_S.get(state)
        if patience is not None and time.monotonic() - entered >= patience:
            break
        if state == "waiting":
            on_progress(Progress("wait", previews.reason.removeprefix("waiting "), 0, 0))
        else:
            on_progress(Progress("render", version.name, previews.done, previews.total))
        session.backoff.sleep(pause)
        pause = min(_LONGEST_POLL_S, pause * 1.3)
        version = read_version(session, reference)
    return version


def _unique(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings without duplicates, errors first."""
    seen: dict[tuple[str, str], Finding] = {}
    for found in findings:
        seen.setdefault((found.code, found.message), found)
    order = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(seen.values(), key=lambda found: order[found.severity]))
