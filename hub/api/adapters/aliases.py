"""``/adapters/{owner}/{name}/aliases``: movable names of versions."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from drf_spectacular.utils import extend_schema_field as field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import (
    Endpoint,
    Input,
    PageQuery,
    Query,
    page_of,
    paged,
    paging,
    serialized,
)
from registry.adapters import selectors as adapter_selectors
from registry.aliases import selectors as alias_selectors
from registry.aliases import services as aliases
from registry.aliases.selectors import Pointer
from registry.models import Adapter, Alias, AliasMove, Revision, VersionState
from registry.names import MAX_NAME
from registry.versions import revisions

EXPECTED = (
    "Version or revision that the alias must currently point to; null: the alias must not exist. "
    "Otherwise the answer is 409 with `current`."
)


class AliasIn(Input):
    """Target of an alias."""

    to = serializers.CharField(
        max_length=MAX_NAME, help_text="`v3`, another alias, `latest` or a revision."
    )
    expected = serializers.CharField(
        max_length=MAX_NAME, required=False, allow_null=True, help_text=EXPECTED
    )


class ExpectedQuery(Query):
    """Expected target of an alias to remove."""

    expected = serializers.CharField(
        max_length=MAX_NAME,
        required=False,
        help_text="Remove the alias only if it points to this version.",
    )


class AliasOut(serializers.Serializer[Pointer]):
    """An alias and its target, which may be a withdrawn version."""

    name = serializers.CharField(source="alias.name")
    version = serializers.CharField(source="version.name", allow_null=True, default=None)
    state = serializers.ChoiceField(
        source="version.state", choices=VersionState.choices, allow_null=True, default=None
    )
    revision = serializers.CharField(source="alias.revision.commit")
    moved_at = serializers.DateTimeField(source="last.created_at", allow_null=True, default=None)
    moved_by = serializers.CharField(source="last.actor.username", allow_null=True, default=None)


class TargetOut(serializers.Serializer[Any]):
    """A revision, and its version if it has one."""

    version = serializers.CharField(allow_null=True)
    revision = serializers.CharField()


class MoveOut(serializers.Serializer[AliasMove]):
    """A move; `before` is null if the alias was created, `after` if it was removed."""

    moved_at = serializers.DateTimeField(source="created_at")
    moved_by = serializers.CharField(source="actor.username")
    before = serializers.SerializerMethodField()
    after = serializers.SerializerMethodField()

    @field(TargetOut(allow_null=True))
    def get_before(self, move: AliasMove) -> dict[str, str | None] | None:
        """Return the target before the move."""
        return _target(move.before)

    @field(TargetOut(allow_null=True))
    def get_after(self, move: AliasMove) -> dict[str, str | None] | None:
        """Return the target after the move."""
        return _target(move.revision)


def _target(revision: Revision | None) -> dict[str, str | None] | None:
    if revision is None:
        return None
    version = next(iter(revision.versions.all()), None)
    return {"version": version.name if version else None, "revision": revision.commit}


class Aliases(Endpoint):
    """Aliases of an adapter."""

    @extend_schema(
        operation_id="aliases_list", tags=["aliases"], responses=paging("Alias", AliasOut)
    )
    def get(self, _request: Request, owner: str, name: str) -> Response:
        """List all aliases with their targets, including `main`, on one page."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        rows = alias_selectors.pointers(alias_selectors.listing(adapter))
        return paged(self, serialized(AliasOut, rows), "")


class AliasView(Endpoint):
    """One alias."""

    @extend_schema(operation_id="aliases_get", tags=["aliases"], responses=AliasOut)
    def get(self, _request: Request, owner: str, name: str, alias: str) -> Response:
        """Return an alias with its target."""
        return self._shown(
            alias_selectors.get(adapter_selectors.get(self.viewer, owner, name), alias)
        )

    @extend_schema(
        operation_id="aliases_set",
        tags=["aliases"],
        request=AliasIn,
        responses=AliasOut,
        examples=[
            OpenApiExample("Only from v2", value={"to": "v3", "expected": "v2"}, request_only=True)
        ],
    )
    def put(self, _request: Request, owner: str, name: str, alias: str) -> Response:
        """Create or move an alias; with `expected`, only if that is its current target."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        data = self.body(AliasIn)
        row = aliases.point(
            actor=self.actor,
            adapter=adapter,
            name=alias,
            to=revisions.revision_named(adapter, data["to"]),
            expected=_expected(adapter, data),
        )
        return self._shown(row)

    @extend_schema(
        operation_id="aliases_remove",
        tags=["aliases"],
        parameters=[ExpectedQuery],
        responses={204: None},
    )
    def delete(self, _request: Request, owner: str, name: str, alias: str) -> Response:
        """Remove an alias; its history is kept."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        expected = _expected(adapter, self.query(ExpectedQuery))
        aliases.remove(actor=self.actor, adapter=adapter, name=alias, expected=expected)
        return Response(status=204)

    def _shown(self, alias: Alias) -> Response:
        (pointer,) = alias_selectors.pointers([alias])
        return self.answer(AliasOut, pointer)


def _expected(adapter: Adapter, data: dict[str, Any]) -> aliases.Expected:
    """Return the expected target of an alias."""
    if "expected" not in data:
        return aliases.ANYWHERE
    name = data["expected"]
    return None if name is None else revisions.revision_named(adapter, name)


class AliasHistory(Endpoint):
    """History of an alias."""

    @extend_schema(
        operation_id="aliases_history",
        tags=["aliases"],
        parameters=[PageQuery],
        responses=paging("Move", MoveOut),
    )
    def get(self, _request: Request, owner: str, name: str, alias: str) -> Response:
        """List the moves of an alias, newest first, even if the alias was removed."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        rows = alias_selectors.history(adapter, alias)
        page, cursor = page_of(rows, **self.query(PageQuery))
        return paged(self, serialized(MoveOut, page), cursor)
