"""Commits: create a revision of an adapter from the previous one and a list of changes.

All protocols use this module. Files are checked like other uploads (``wait_for_checks``). Then one
transaction writes the revision, moves the branch, and on ``main`` may publish a version:

* if weights, or configuration in their folder or above it, differ from the parent's: a version,
  published immediately, like one from the web form;
* otherwise (cards, samples, notes, or all weights deleted): a revision, and ``main`` moves;
* on other branches: a revision.

A commit does not know whether another follows. Therefore a folder that a client sends in several
commits (“(part 2)”) gets a version for each commit with weights or their configuration, and none
for the others. Files of a withdrawn version are left out; that alone does not create a version.

A commit that changes nothing, or was made before, returns the existing revision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from registry.accounts import permissions, quotas
from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.adapters.manifests import Entry
from registry.blobs import anatomies
from registry.blobs import selectors as blob_selectors
from registry.cards import fields
from registry.cards import services as cards
from registry.cards.fields import Card
from registry.commits import changes as commit_changes
from registry.commits import wait_for_checks
from registry.commits.changes import Changes, Inline, Put
from registry.errors import Conflict, Invalid, NotFound, StateConflict
from registry.models import Adapter, Alias, Blob, FileRole, Revision, User, Version, VersionState
from registry.names import has_control
from registry.versions import contents, publish

__all__ = ["WAIT_S", "Committed", "Inline", "Put", "commit"]

#: Seconds that a commit waits for its checks.
WAIT_S = 60.0
#: Maximum attempts if other commits move the branch in the meantime.
TRIES = 10
#: Minimum number of hex digits of the expected parent.
MIN_DIGITS = 5
MAX_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Committed:
    """The result of a commit."""

    revision: Revision  # the revision that the branch points at
    version: Version | None  # the version of this revision, if any
    is_new: bool  # whether the revision was created now


@dataclass(frozen=True, slots=True)
class _Request:
    """A requested commit."""

    user: User
    adapter: Adapter
    ref: str
    expected: str
    changes: Changes
    message: str
    incoming: Mapping[str, Blob] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a commit will write if its branch has not moved."""

    tip: Revision
    withheld: frozenset[int]
    entries: Sequence[Entry]
    is_version: bool
    is_card_new: bool
    card: Card
    pair: dict[str, Any] | None


def commit(  # noqa: PLR0913 - what a commit is made of, by keyword
    *,
    actor: User,
    adapter: Adapter,
    ref: str = manifests.MAIN,
    expected_parent: str | None = None,
    puts: Sequence[Put] = (),
    inlines: Sequence[Inline] = (),
    deletes: Sequence[str] = (),
    message: str = "",
    wait_s: float = WAIT_S,
) -> Committed:
    """Create a revision; may be repeated, and then returns the first result.

    Args:
        expected_parent: Revision that the branch must point at, or its first digits.
        puts: Files whose bytes are stored.
        deletes: Paths to delete; a folder ends with a slash.
        message: Cut to ``MAX_MESSAGE`` characters.
        wait_s: Maximum seconds to wait for checks.

    Raises:
        Conflict: the branch does not point at ``facts["expected"]``, or moved during each attempt.
        NotFound: no such branch (``facts["revision"]``), or no file to delete (``facts["path"]``).
        StateConflict: the ref is not a branch.
        UploadNotReady: checks still run: repeat the commit after ``facts["retry_after"]`` seconds.
        UploadRefused, UploadIncomplete: see ``wait_for_checks.accepted_blobs``; or weights were
            withdrawn in this adapter.
        Invalid, PathInvalid, TooLarge: see ``changes.checked``.
        QuotaExceeded: the new bytes exceed the quota.
        NotFound, Gone, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, adapter)
    changes = commit_changes.checked(puts=puts, inlines=inlines, deletes=deletes)
    request = _Request(
        user, adapter, ref, (expected_parent or "").lower(), changes, _clean(message)
    )
    _require_expected(request, tip_of(adapter, ref))
    incoming = wait_for_checks.accepted_blobs(
        user=user, files=list(changes.files.values()), wait_s=wait_s
    )
    request = replace(request, incoming=incoming)
    for _try in range(TRIES):
        done = _attempt(request)
        if done is not None:
            return done
    text = _("Other clients keep changing “%(ref)s”. Try again in a moment.")
    raise Conflict(text % {"ref": ref})


def tip_of(adapter: Adapter, ref: str) -> Revision:
    """Return the revision that a branch points at.

    Raises:
        NotFound: there is no such branch; ``facts["revision"]`` is its name.
        StateConflict: it is a tag or a version.
    """
    rows = Alias.objects.select_related("revision__parent")
    alias = rows.filter(adapter=adapter, name=ref, revision__isnull=False).first()
    if alias is None or alias.revision is None:
        text = _("“%(adapter)s” has no branch “%(ref)s”.")
        raise NotFound(text % {"adapter": adapter.full_name, "ref": ref[:96]}, revision=ref[:96])
    if not alias.is_branch:
        text = _("“%(ref)s” names a version or a tag. Commit to a branch, such as “main”.")
        raise StateConflict(text % {"ref": ref}, state="tag")
    return alias.revision


def _clean(message: str) -> str:
    """Return a message without control characters, cut to ``MAX_MESSAGE``."""
    shown = "".join(char for char in message[: 2 * MAX_MESSAGE] if not has_control(char))
    return shown.strip()[:MAX_MESSAGE] or _("Update files")


def _attempt(request: _Request) -> Committed | None:
    """Plan and write a commit; return None if the branch moved in the meantime."""
    tip = tip_of(request.adapter, request.ref)
    _require_expected(request, tip)
    withheld = frozenset(blob_selectors.withheld_in(request.adapter))
    if _is_repeated(request, tip, withheld):
        return Committed(tip, _version_of(tip), is_new=False)
    _require_parent(request, tip)
    plan = _make_plan(request, tip, withheld)
    if manifests.digest_of(plan.entries) == tip.manifest_sha256:
        return Committed(tip, _version_of(tip), is_new=False)
    with transaction.atomic():
        return _write(request, plan)


def _require_expected(request: _Request, tip: Revision) -> None:
    """Refuse early a commit that expects neither the tip nor (if repeated) its parent."""
    parent = tip.parent
    if not _is_expected(request, tip) and (parent is None or not _is_expected(request, parent)):
        raise _stale(request, tip)


def _require_parent(request: _Request, tip: Revision) -> None:
    if not _is_expected(request, tip):
        raise _stale(request, tip)


def _is_expected(request: _Request, revision: Revision) -> bool:
    if not request.expected:
        return True
    return len(request.expected) >= MIN_DIGITS and revision.commit.startswith(request.expected)


def _stale(request: _Request, tip: Revision) -> Conflict:
    text = _("“%(ref)s” now points to %(current)s, not to %(expected)s. Check what changed, "
             "then commit on top of it.")  # fmt: skip
    facts = {"ref": request.ref, "current": tip.commit[:12], "expected": request.expected[:12]}
    return Conflict(text % facts, ref=request.ref, current=tip.commit, expected=request.expected)


def _is_repeated(request: _Request, tip: Revision, withheld: frozenset[int]) -> bool:
    """Return whether the tip is the result of the same commit, sent earlier.

    If it were processed again, its deletions would find no file and its expected parent would
    differ.
    """
    parent = tip.parent
    if parent is None or tip.author_id != request.user.pk or tip.message != request.message:
        return False
    if request.expected and not _is_expected(request, parent):
        return False
    before = _files_of(parent, withheld)
    try:
        after = commit_changes.applied(before, request.changes, request.incoming)
    except NotFound:
        return False
    return manifests.digest_of(contents.arranged(after)) == tip.manifest_sha256


def _version_of(revision: Revision) -> Version | None:
    """Return the version of a revision; None if there is none or it is a draft."""
    return revision.versions.exclude(state=VersionState.DRAFT).first()


def _files_of(revision: Revision, withheld: frozenset[int]) -> dict[str, Blob]:
    """Return the blobs that a commit on a revision starts from, by path."""
    return {entry.path: entry.blob for entry in contents.base_of(revision, withheld)}


def _make_plan(request: _Request, tip: Revision, withheld: frozenset[int]) -> _Plan:
    """Return what a commit on a tip will write; reads headers and the card, takes no lock."""
    before = _files_of(tip, withheld)
    after = commit_changes.applied(before, request.changes, request.incoming)
    readme = after.get(fields.NAME)
    is_card_new = readme is not None and readme != before.get(fields.NAME)
    card = fields.read_blob(readme) if readme is not None and is_card_new else _old_card(readme)
    entries = contents.arranged(after, card.family or "")
    is_version = request.ref == manifests.MAIN and _makes_version(before, after)
    pair = anatomies.read_pair(entries) if is_version else None
    return _Plan(tip, withheld, entries, is_version, is_card_new, card, pair)


def _old_card(readme: Blob | None) -> Card:
    """Return the card of an existing README; an empty one if it cannot be read."""
    if readme is None:
        return Card()
    try:
        return fields.read_blob(readme)
    except (Invalid, FileNotFoundError):  # uploads do not require it to be readable
        return Card()


def _makes_version(before: Mapping[str, Blob], after: Mapping[str, Blob]) -> bool:
    """Whether there are weights, and they or their configuration have changed."""
    files = _version_files(after)
    has_weights = any(contents.role_of(path) == FileRole.WEIGHTS for path, _blob in files)
    return has_weights and files != _version_files(before)


def _version_files(files: Mapping[str, Blob]) -> set[tuple[str, int]]:
    """Return path and blob of weights, and of configuration in their folder or above it.

    JSON next to a sample picture is not configuration of the adapter.
    """
    weights = {path for path in files if contents.role_of(path) == FileRole.WEIGHTS}
    folders = {folder for path in weights for folder in _parent_folders(path)}
    return {
        (path, blob.pk)
        for path, blob in files.items()
        if path in weights
        or (contents.role_of(path) == FileRole.CONFIG and path.rpartition("/")[0] in folders)
    }


def _parent_folders(path: str) -> Iterator[str]:
    """Yield the parent folders of a path; the top one is ""."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def _write(request: _Request, plan: _Plan) -> Committed | None:
    """Write a plan in the caller's transaction; return None if the branch moved."""
    adapter, user = request.adapter, request.user
    adapters.refresh(adapter)
    permissions.require_adapter(user, adapter)  # permissions may have changed during the checks
    if (
        tip_of(adapter, request.ref) != plan.tip
        or blob_selectors.withheld_in(adapter) != plan.withheld
    ):
        return None
    incoming = [entry for entry in plan.entries if entry.path in request.incoming]
    publish.require_not_taken_down(user, adapter, incoming)
    publish.require_stored(plan.entries)
    quotas.charge(namespace=adapter.namespace, blobs=[entry.blob for entry in plan.entries])
    revision = manifests.commit(
        actor=user,
        adapter=adapter,
        parent=plan.tip,
        entries=plan.entries,
        message=request.message,
    )
    version = None
    if plan.is_version:
        version = publish.number(
            user=user, revision=revision, details=plan.card.details(), pair=plan.pair
        )
        publish.make_public(user=user, version=version)
    else:
        manifests.move(actor=user, revision=revision, name=request.ref, is_branch=True)
    if plan.is_card_new and request.ref == manifests.MAIN:
        cards.apply(actor=user, adapter=adapter, card=plan.card)
    publish.record_commit(user=user, revision=revision, ref=request.ref, version=version)
    return Committed(revision, version, is_new=True)
