"""Commits: a revision of an adapter from the one before it and what changes.

A commit may come from anywhere; the doors of other protocols translate into it. Its files go the
way of every upload (``wait_for_checks``). Then one transaction writes the revision, moves the
branch, and on ``main`` makes and publishes a version where that is due:

* weights differ from the parent's, or configuration that lies beside weights (in their folder or
  above): a version, published at once, like one of the web;
* anything else (cards, samples, notes, or all weights gone): a revision, and ``main`` moves;
* on other branches: a revision.

A commit does not know whether another follows. So a folder that a client sends in several commits
(“(part 2)”) makes one version for each that brings weights or their configuration, and none for
those that bring the rest. What came with a withdrawn version is left behind, which makes none.

A commit that leaves everything as it is, or was made before, is answered with what is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.translation import gettext as _

from registry.accounts import permissions, quotas
from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.blobs import anatomies
from registry.blobs import selectors as blob_selectors
from registry.cards import fields
from registry.cards import services as cards
from registry.cards.fields import Card
from registry.commits import changes as commit_changes
from registry.commits import wait_for_checks
from registry.commits.changes import Inline, Put
from registry.errors import Conflict, Invalid, NotFound, StateConflict
from registry.models import Alias, FileRole, Version, VersionState
from registry.names import has_control
from registry.versions import contents, publish

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from registry.adapters.manifests import Entry
    from registry.commits.changes import Changes
    from registry.models import Adapter, Blob, Revision, User

__all__ = ["WAIT_S", "Committed", "Inline", "Put", "commit"]

#: How many seconds a commit waits for its checks.
WAIT_S = 60.0
#: How often a commit is planned anew because others moved its branch.
TRIES = 10
#: Fewest hex digits that name the expected parent.
SHORTEST = 5
MAX_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit led to.

    Attributes:
        revision: What the branch points at now.
        version: The version that names this revision, if any.
        is_new: Whether the revision was made, not found.
    """

    revision: Revision
    version: Version | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Wish:
    """A commit as it was asked for."""

    user: User
    adapter: Adapter
    ref: str
    expected: str
    changes: Changes
    message: str
    coming: Mapping[str, Blob] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a commit will write if its branch still points where it did."""

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
    """Make a revision; may be repeated, and then finds what the first time led to.

    Args:
        actor: Who may publish here.
        adapter: Whose files change.
        ref: A branch.
        expected_parent: Revision that the branch has to point at, or its first digits.
        puts: Files whose bytes are here.
        inlines: Small files with their content.
        deletes: Paths that go; a folder ends with a slash.
        message: Cut to ``MAX_MESSAGE`` characters.
        wait_s: How many seconds to wait for checks.

    Raises:
        Conflict: the branch points elsewhere than expected (``facts["expected"]``), or moves on and
            on.
        NotFound: no such branch (``facts["revision"]``), or nothing to delete (``facts["path"]``).
        StateConflict: the ref is no branch.
        UploadNotReady: checks still run: repeat the commit after ``facts["retry_after"]`` seconds.
        UploadRefused, UploadIncomplete: see ``wait_for_checks.settled``; or weights were
            taken down here.
        Invalid, PathInvalid, TooLarge: see ``changes.checked``.
        QuotaExceeded: the new bytes do not fit.
        NotFound, Gone, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, adapter)
    changes = commit_changes.checked(puts=puts, inlines=inlines, deletes=deletes)
    wish = _Wish(user, adapter, ref, (expected_parent or "").lower(), changes, _clean(message))
    _require_expected(wish, tip_of(adapter, ref))
    coming = wait_for_checks.settled(user=user, files=list(changes.files.values()), wait_s=wait_s)
    wish = _with(wish, coming)
    for _try in range(TRIES):
        done = _tried(wish)
        if done is not None:
            return done
    text = _("Others move “%(ref)s” all the time. Try again in a moment.")
    raise Conflict(text % {"ref": ref})


def tip_of(adapter: Adapter, ref: str) -> Revision:
    """Return what a branch points at.

    Raises:
        NotFound: there is none; ``facts["revision"]`` names it.
        StateConflict: it is a tag, or a version.
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


def _with(wish: _Wish, coming: Mapping[str, Blob]) -> _Wish:
    return _Wish(
        wish.user, wish.adapter, wish.ref, wish.expected, wish.changes, wish.message, coming
    )


def _clean(message: str) -> str:
    """Return a message without the characters that nobody sees, cut to its length."""
    shown = "".join(char for char in message[: 2 * MAX_MESSAGE] if not has_control(char))
    return shown.strip()[:MAX_MESSAGE] or _("Update files")


def _tried(wish: _Wish) -> Committed | None:
    """Plan a commit, and write it if nobody moved the branch meanwhile; else None."""
    tip = tip_of(wish.adapter, wish.ref)
    _require_expected(wish, tip)
    withheld = frozenset(blob_selectors.withheld_in(wish.adapter))
    if _is_repeated(wish, tip, withheld):
        return Committed(tip, _named(tip), is_new=False)
    _require_parent(wish, tip)
    plan = _planned(wish, tip, withheld)
    if manifests.digest_of(plan.entries) == tip.manifest_sha256:
        return Committed(tip, _named(tip), is_new=False)
    with transaction.atomic():
        return _written(wish, plan)


def _require_expected(wish: _Wish, tip: Revision) -> None:
    """Refuse early what expects neither the tip, nor what a repeated commit would: its parent.

    Raises:
        Conflict: see ``commit``.
    """
    parent = tip.parent
    if not _is_expected(wish, tip) and (parent is None or not _is_expected(wish, parent)):
        raise _stale(wish, tip)


def _require_parent(wish: _Wish, tip: Revision) -> None:
    if not _is_expected(wish, tip):
        raise _stale(wish, tip)


def _is_expected(wish: _Wish, revision: Revision) -> bool:
    if not wish.expected:
        return True
    return len(wish.expected) >= SHORTEST and revision.commit.startswith(wish.expected)


def _stale(wish: _Wish, tip: Revision) -> Conflict:
    text = _("“%(ref)s” points at %(current)s by now, not at %(expected)s. Look at what changed, "
             "then commit on top of it.")  # fmt: skip
    said = {"ref": wish.ref, "current": tip.commit[:12], "expected": wish.expected[:12]}
    return Conflict(text % said, ref=wish.ref, current=tip.commit, expected=wish.expected)


def _is_repeated(wish: _Wish, tip: Revision, withheld: frozenset[int]) -> bool:
    """Whether the tip is what this commit made when it was sent before.

    Deleting again what is gone would fail, and so would expecting again what was the parent then.
    """
    parent = tip.parent
    if parent is None or tip.author_id != wish.user.pk or tip.message != wish.message:
        return False
    if wish.expected and not _is_expected(wish, parent):
        return False
    before = _files_of(parent, withheld)
    try:
        after = commit_changes.applied(before, wish.changes, wish.coming)
    except NotFound:
        return False
    return manifests.digest_of(contents.arranged(after)) == tip.manifest_sha256


def _named(revision: Revision) -> Version | None:
    """Return the version that names a revision and is no draft."""
    return revision.versions.exclude(state=VersionState.DRAFT).first()


def _files_of(revision: Revision, withheld: frozenset[int]) -> dict[str, Blob]:
    """Return the bytes that a commit on a revision starts from, by path."""
    return {entry.path: entry.blob for entry in contents.base_of(revision, withheld)}


def _planned(wish: _Wish, tip: Revision, withheld: frozenset[int]) -> _Plan:
    """Work out what a commit on a tip would write; reads headers and the card, locks nothing.

    Raises:
        NotFound, Invalid: see ``changes.applied`` and ``cards.read``.
    """
    before = _files_of(tip, withheld)
    after = commit_changes.applied(before, wish.changes, wish.coming)
    readme = after.get(fields.NAME)
    is_card_new = readme is not None and readme != before.get(fields.NAME)
    card = fields.read_blob(readme) if readme is not None and is_card_new else _old_card(readme)
    entries = contents.arranged(after, card.family or "")
    is_version = wish.ref == manifests.MAIN and _makes_version(before, after)
    pair = anatomies.read_pair(entries) if is_version else None
    return _Plan(tip, withheld, entries, is_version, is_card_new, card, pair)


def _old_card(readme: Blob | None) -> Card:
    """Return what a README says that was here before; what cannot be read says nothing."""
    if readme is None:
        return Card()
    try:
        return fields.read_blob(readme)
    except (Invalid, FileNotFoundError):  # it came another way, which does not read it
        return Card()


def _makes_version(before: Mapping[str, Blob], after: Mapping[str, Blob]) -> bool:
    """Whether there are weights, and they or their configuration differ."""
    facts = _facts(after)
    is_weights = any(contents.role_of(path) == FileRole.WEIGHTS for path, _blob in facts)
    return is_weights and facts != _facts(before)


def _facts(files: Mapping[str, Blob]) -> set[tuple[str, int]]:
    """Return path and blob of weights, and of configuration in their folder or above it.

    The JSON beside a sample picture is no configuration of the adapter.
    """
    weights = {path for path in files if contents.role_of(path) == FileRole.WEIGHTS}
    folders = {folder for path in weights for folder in _above(path)}
    return {
        (path, blob.pk)
        for path, blob in files.items()
        if path in weights
        or (contents.role_of(path) == FileRole.CONFIG and path.rpartition("/")[0] in folders)
    }


def _above(path: str) -> Iterator[str]:
    """Yield the folder of a path and every one above it, the top as ""."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def _written(wish: _Wish, plan: _Plan) -> Committed | None:
    """Write a plan in the caller's transaction; None if it is overtaken."""
    adapter, user = wish.adapter, wish.user
    adapters.refresh(adapter)
    permissions.require_adapter(user, adapter)  # the checks may have taken a minute
    if (
        tip_of(adapter, wish.ref) != plan.tip
        or blob_selectors.withheld_in(adapter) != plan.withheld
    ):
        return None
    coming = [entry for entry in plan.entries if entry.path in wish.coming]
    publish.require_not_taken_down(user, adapter, coming)
    publish.require_stored(plan.entries)
    quotas.charge(namespace=adapter.namespace, blobs=[entry.blob for entry in plan.entries])
    revision = manifests.commit(
        actor=user,
        adapter=adapter,
        parent=plan.tip,
        entries=plan.entries,
        message=wish.message,
    )
    version = None
    if plan.is_version:
        version = publish.number(
            user=user, revision=revision, said=plan.card.details(), pair=plan.pair
        )
        publish.make_public(user=user, version=version)
    else:
        manifests.move(actor=user, revision=revision, name=wish.ref, is_branch=True)
    if plan.is_card_new and wish.ref == manifests.MAIN:
        cards.apply(actor=user, adapter=adapter, card=plan.card)
    publish.record_commit(user=user, revision=revision, ref=wish.ref, version=version)
    return Committed(revision, version, is_new=True)
