"""What an owner does to things that are published: aliases, yanks, withdrawals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote

from lorary.client.http.json_answers import Record
from lorary.client.models import JSON, Adapter, Version
from lorary.client.names import Reference

if TYPE_CHECKING:
    from lorary.client.http.session import Session


class _Anywhere:
    """Stands for: wherever the alias points now."""


ANYWHERE: Final = _Anywhere()

#: A version or revision, None for no alias, or ``ANYWHERE``.
Expected: TypeAlias = "str | _Anywhere | None"


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that moves from version to version.

    ``version`` is empty where no version names the revision; ``state`` is that of the version.
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
        return record.into(cls, revision=record.hexadecimal("revision", 40))


@dataclass(frozen=True, slots=True)
class Move:
    """A move of an alias, from version (or revision) to version; empty: there was, or is, none."""

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
    place = Record(record.mapping(key), key)
    return place.text("version") or place.text("revision")


class Curating:
    """Methods of `Hub` for those who own an adapter."""

    _session: Session

    def aliases(self, adapter: str | Reference) -> tuple[Alias, ...]:
        """Return where the aliases of an adapter point, ``main`` among them."""
        path = f"{Reference.parse(adapter).api_path}/aliases"
        return tuple(Alias.read(item) for item in self._session.items(path))

    def set_alias(
        self, adapter: str | Reference, name: str, to: str, *, expected: Expected = ANYWHERE
    ) -> Alias:
        """Make an alias or move it.

        Args:
            adapter: ``owner/name``.
            name: Of the alias.
            to: ``v3``, another alias, ``latest`` or a revision.
            expected: Only if it points there now; None: only if there is none.

        Raises:
            Conflict: it points somewhere else than expected.
            NameInvalid, NameTaken: the name means something else.
            Gone, StateConflict: the version was withdrawn, or is a draft.
        """
        data: dict[str, object] = {"to": to}
        if not isinstance(expected, _Anywhere):
            data["expected"] = expected
        return Alias.read(self._session.json("PUT", _alias_path(adapter, name), data=data))

    def remove_alias(
        self, adapter: str | Reference, name: str, *, expected: str | None = None
    ) -> None:
        """Remove an alias; its history stays.

        Raises:
            NotFound: there is none.
            Conflict: it points somewhere else than expected.
        """
        query = {"expected": expected}
        self._session.json("DELETE", _alias_path(adapter, name), query=query)

    def alias_history(self, adapter: str | Reference, name: str) -> tuple[Move, ...]:
        """Return the moves of an alias, newest first, also of one that was removed."""
        items = self._session.items(f"{_alias_path(adapter, name)}/history", {"limit": 100})
        return tuple(Move.read(item) for item in items)

    def yank(self, reference: str | Reference, reason: str) -> Version:
        """Keep a version but stop offering it; whoever looks at it reads why.

        Raises:
            StateConflict: it is a draft, or was withdrawn.
        """
        return self._change(reference, "yank", {"reason": reason})

    def restore(self, reference: str | Reference) -> Version:
        """Offer a yanked version again.

        Raises:
            StateConflict: it is a draft, or was withdrawn.
        """
        path = f"{Reference.parse(reference).version_path}/yank"
        return Version.read(self._session.json("DELETE", path))

    def withdraw(self, reference: str | Reference, reason: str) -> Version:
        """Take a version down for good: it is `Gone` from now on, for this reason.

        Raises:
            StateConflict: it is a draft, or was withdrawn for another reason.
        """
        return self._change(reference, "withdraw", {"reason": reason})

    def withdraw_adapter(self, adapter: str | Reference, reason: str) -> Adapter:
        """Take an adapter down for good, with all its versions; its name stays taken."""
        path = f"{Reference.parse(adapter).api_path}/withdraw"
        answer = self._session.json("POST", path, data={"reason": reason}, is_repeatable=True)
        return Adapter.read(answer)

    def _change(self, reference: str | Reference, verb: str, data: Mapping[str, object]) -> Version:
        path = f"{Reference.parse(reference).version_path}/{verb}"
        return Version.read(self._session.json("POST", path, data=data, is_repeatable=True))


def _alias_path(adapter: str | Reference, name: str) -> str:
    return f"{Reference.parse(adapter).api_path}/aliases/{quote(name, safe='')}"
