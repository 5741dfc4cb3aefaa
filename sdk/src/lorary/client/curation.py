"""What owners do with versions: move aliases, yank, withdraw, discard drafts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

from lorary.client import packs
from lorary.client.errors import ReferenceInvalid
from lorary.client.http.json_answers import Record
from lorary.client.models import JSON, Adapter, Version, check_rating, check_reason
from lorary.client.names import Reference, as_list, require_no_version

if TYPE_CHECKING:
    from lorary.client.http.session import Session


class _Anywhere:
    """The type of ``ANYWHERE``: the alias may point to any version."""


ANYWHERE: Final = _Anywhere()

#: A version or revision, None for no alias, or ``ANYWHERE``.
Expected: TypeAlias = "str | _Anywhere | None"


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that moves from version to version.

    ``version`` is empty if no version has the revision; ``state`` is the version's state.
    ``revision`` is empty for packs.
    """

    name: str
    version: str
    state: str
    revision: str
    moved_at: str
    moved_by: str
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Alias:
        """Read an ALIAS."""
        record = Record(value, "alias")
        revision = record.hexadecimal("revision", 40) if "revision" in record.data else ""
        return record.into(cls, revision=revision)


@dataclass(frozen=True, slots=True)
class Move:
    """A move of an alias between versions or revisions; empty means "no alias"."""

    before: str
    after: str
    moved_at: str
    moved_by: str
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Move:
        """Read a MOVE."""
        record = Record(value, "move")
        return record.into(cls, before=_place(record, "before"), after=_place(record, "after"))


def _place(record: Record, key: str) -> str:
    if isinstance(record.data.get(key), str):
        return record.text(key)
    place = Record(record.mapping(key), key)
    return place.text("version") or place.text("revision")


class Curating:
    """Methods of `Hub` for the owners of an adapter.

    Those for aliases also take ``pack:owner/name``. `Packing` has the others for packs.
    """

    _session: Session

    def edit(  # noqa: PLR0913 - fields, by keyword
        self,
        adapter: str | Reference,
        *,
        title: str | None = None,
        summary: str | None = None,
        card: str | None = None,
        kind: str | None = None,
        tags: str | Sequence[str] | None = None,
        rating: str | None = None,
        licence: str | None = None,
        visibility: str | None = None,
        name: str | None = None,
    ) -> Adapter:
        """Change fields of an adapter, and return it; those that are not given stay.

        Args:
            adapter: ``owner/name``.
            title: Its title.
            summary: One or two sentences.
            card: The text of its page, in Markdown.
            kind: style, character, concept, …
            tags: Its tags, or its only tag, instead of all that it has; an empty list removes all.
            rating: general, suggestive, mature or explicit.
            licence: Such as cc-by-4.0.
            visibility: public, unlisted or private.
            name: Its new name; the old one leads to it.

        Raises:
            Invalid: a field has an invalid value; ``facts["fields"]`` has a sentence for each.
            ReferenceInvalid: this is a version or a pack.
            NameTaken, NameInvalid: the new name is in use, or is invalid.
            Forbidden: this account may not change it.
        """
        if rating is not None:
            check_rating(rating)
        fields = {
            "title": title, "summary": summary, "card": card, "kind": kind,
            "tags": None if tags is None else as_list(tags), "maturity": rating, "licence": licence,
            "visibility": visibility, "name": name,
        }  # fmt: skip
        data = {field: value for field, value in fields.items() if value is not None}
        path = require_no_version(Reference.parse(adapter)).api_path
        return Adapter.read(self._session.json("PATCH", path, data=data))

    def edit_version(  # noqa: PLR0913 - fields, by keyword
        self,
        reference: str | Reference,
        *,
        trigger_words: str | Sequence[str] | None = None,
        optional_trigger_words: str | Sequence[str] | None = None,
        family: str | None = None,
        lineage: str | None = None,
        label: str | None = None,
        notes: str | None = None,
        strength: float | None = None,
    ) -> Version:
        """Change details of a version, and return it; those that are not given stay.

        The files of a version never change.

        Args:
            reference: ``owner/name@v3``, an alias or a revision.
            trigger_words: Phrases that activate the adapter, instead of those that it has.
            optional_trigger_words: Phrases that change the effect, instead of those that it has.
            family: Base-model family, if the tensors cannot prove it.
            lineage: Checkpoint that it was trained on.
            label: Its short name.
            notes: What is new in it.
            strength: Recommended strength.

        Raises:
            ReferenceInvalid: this is no version.
            Invalid: a field has an invalid value; ``facts["fields"]`` has a sentence for each.
            Forbidden: this account may not change it.
        """
        from lorary.client.transfers.details import Details, naming_family  # noqa: PLC0415 - loads the families, which --help does not need

        one = Reference.parse(reference)
        if not one.rev:
            msg = f"Add the version to {one.full_name}, such as {one.full_name}@v1."
            raise ReferenceInvalid(msg)
        fields: dict[str, Any] = {
            "trigger_words": trigger_words, "optional_trigger_words": optional_trigger_words,
            "family": family, "lineage": lineage, "label": label, "notes": notes,
            "strength": strength,
        }  # fmt: skip
        data = {field: value for field, value in fields.items() if value is not None}
        for words in {"trigger_words", "optional_trigger_words"} & data.keys():
            data[words] = as_list(data[words])
        Details(**data).require_valid()
        with naming_family(family or ""):
            return Version.read(self._session.json("PATCH", one.version_path, data=data))

    def aliases(self, adapter: str | Reference) -> tuple[Alias, ...]:
        """Return the aliases of an adapter and their targets, including ``main``."""
        path = f"{_api_path(adapter)}/aliases"
        return tuple(Alias.read(item) for item in self._session.items(path))

    def set_alias(
        self, adapter: str | Reference, name: str, to: str, *, expected: Expected = ANYWHERE
    ) -> Alias:
        """Create or move an alias.

        Args:
            adapter: ``owner/name``.
            name: Name of the alias.
            to: ``v3``, another alias, ``latest`` or a revision.
            expected: Change it only if it points there now; None: only if it does not exist.

        Raises:
            Conflict: it points to another version than expected.
            NameInvalid, NameTaken: the name is invalid, or has another meaning.
            Gone, StateConflict: the version was withdrawn, or is a draft.
        """
        data: dict[str, object] = {"to": to}
        if not isinstance(expected, _Anywhere):
            data["expected"] = expected
        return Alias.read(self._session.json("PUT", _alias_path(adapter, name), data=data))

    def remove_alias(
        self, adapter: str | Reference, name: str, *, expected: str | None = None
    ) -> None:
        """Remove an alias; its history is kept.

        Raises:
            NotFound: the alias does not exist.
            Conflict: it points to another version than expected.
        """
        query = {"expected": expected}
        self._session.json("DELETE", _alias_path(adapter, name), query=query)

    def alias_history(self, adapter: str | Reference, name: str) -> tuple[Move, ...]:
        """Return the moves of an alias, newest first; works for removed aliases as well."""
        items = self._session.items(f"{_alias_path(adapter, name)}/history", {"limit": 100})
        return tuple(Move.read(item) for item in items)

    def yank(self, reference: str | Reference, reason: str) -> Version:
        """Keep a version available but stop offering it; its page shows the reason.

        Args:
            reference: ``owner/name@v3`` or a revision; names that can move are refused.
            reason: One sentence for everybody.

        Raises:
            Invalid: the reference can move to another version, or the reason is empty.
            StateConflict: it is a draft, or was withdrawn.
        """
        check_reason(reason)
        return self._change(reference, "yank", {"reason": reason})

    def restore(self, reference: str | Reference) -> Version:
        """Offer a yanked version again.

        Raises:
            Invalid: the reference can move to another version.
            StateConflict: it is a draft, or was withdrawn.
        """
        path = f"{Reference.parse(reference).version_path}/yank"
        return Version.read(self._session.json("DELETE", path))

    def withdraw(self, reference: str | Reference, reason: str) -> Version:
        """Withdraw a version permanently: requests for it raise `Gone` with this reason.

        Args:
            reference: ``owner/name@v3`` or a revision; names that can move are refused.
            reason: One sentence for everybody.

        Raises:
            Invalid: the reference can move to another version, or the reason is empty.
            StateConflict: it is a draft, or was withdrawn for another reason.
        """
        return self._change(reference, "withdraw", {"reason": reason})

    def withdraw_adapter(self, adapter: str | Reference, reason: str) -> Adapter:
        """Withdraw an adapter and all its versions permanently; its name stays reserved.

        Raises:
            ReferenceInvalid: this is a version, for which there is `withdraw`, or a pack.
        """
        path = f"{require_no_version(Reference.parse(adapter)).api_path}/withdraw"
        answer = self._session.json("POST", path, data={"reason": reason}, is_repeatable=True)
        return Adapter.read(answer)

    def discard(self, reference: str | Reference) -> None:
        """Delete a draft; its number is not used again.

        Raises:
            Invalid: the reference can move to another version.
            AlreadyPublished: it is not a draft.
        """
        self._session.json("DELETE", Reference.parse(reference).version_path)

    def _change(self, reference: str | Reference, verb: str, data: Mapping[str, object]) -> Version:
        path = f"{Reference.parse(reference).version_path}/{verb}"
        return Version.read(self._session.json("POST", path, data=data, is_repeatable=True))


def _alias_path(adapter: str | Reference, name: str) -> str:
    return f"{_api_path(adapter)}/aliases/{quote(name, safe='')}"


def _api_path(name: str | Reference) -> str:
    if isinstance(name, str) and name.startswith(packs.PREFIX):
        return packs.path_of(require_no_version(packs.parse(name)))
    return require_no_version(Reference.parse(name)).api_path
