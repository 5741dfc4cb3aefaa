"""``/packs/{owner}/{name}/aliases``: movable names of versions."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.adapters.aliases import ExpectedQuery
from hub.api.base import Input, PageQuery, page_of, paged, paging, serialized
from hub.api.packs.serializers import PackAliasOut, PackMoveOut
from hub.api.packs.views import PackEndpoint
from registry.aliases.services import ANYWHERE
from registry.models import Pack
from registry.names import MAX_NAME
from registry.packs import aliases
from registry.packs import selectors as pack_selectors

EXPECTED = (
    "Version that the alias must currently point to; null: the alias must not exist. Otherwise the "
    "answer is 409 with `current`."
)


class PackAliasIn(Input):
    """Target of an alias."""

    to = serializers.CharField(max_length=MAX_NAME, help_text="`v3`, another alias or `latest`.")
    expected = serializers.CharField(
        max_length=MAX_NAME, required=False, allow_null=True, help_text=EXPECTED
    )


class PackAliases(PackEndpoint):
    """Aliases of a pack."""

    @extend_schema(
        operation_id="pack_aliases_list",
        tags=["packs"],
        responses=paging("PackAlias", PackAliasOut),
    )
    def get(self, _request: Request, owner: str, name: str) -> Response:
        """List all aliases with their versions, on one page."""
        rows = pack_selectors.aliases(self.pack(owner, name))
        return paged(self, serialized(PackAliasOut, rows), "")


class PackAliasView(PackEndpoint):
    """One alias."""

    @extend_schema(operation_id="pack_aliases_get", tags=["packs"], responses=PackAliasOut)
    def get(self, _request: Request, owner: str, name: str, alias: str) -> Response:
        """Return an alias with its version."""
        return self._shown(self.pack(owner, name), alias)

    @extend_schema(
        operation_id="pack_aliases_set",
        tags=["packs"],
        request=PackAliasIn,
        responses=PackAliasOut,
        examples=[
            OpenApiExample("Only from v2", value={"to": "v3", "expected": "v2"}, request_only=True)
        ],
    )
    def put(self, _request: Request, owner: str, name: str, alias: str) -> Response:
        """Create or move an alias; with `expected`, only if that is its current version."""
        pack = self.pack(owner, name)
        data = self.body(PackAliasIn)
        aliases.point(
            actor=self.actor,
            pack=pack,
            name=alias,
            to=pack_selectors.version(pack, data["to"]),
            expected=_expected(pack, data),
        )
        return self._shown(pack, alias)

    @extend_schema(
        operation_id="pack_aliases_remove",
        tags=["packs"],
        parameters=[ExpectedQuery],
        responses={204: None},
    )
    def delete(self, _request: Request, owner: str, name: str, alias: str) -> Response:
        """Remove an alias; its history is kept."""
        pack = self.pack(owner, name)
        expected = _expected(pack, self.query(ExpectedQuery))
        aliases.remove(actor=self.actor, pack=pack, name=alias, expected=expected)
        return Response(status=204)

    def _shown(self, pack: Pack, name: str) -> Response:
        return self.answer(PackAliasOut, pack_selectors.alias(pack, name))


def _expected(pack: Pack, data: dict[str, Any]) -> aliases.Expected:
    """Return the expected version of an alias."""
    if "expected" not in data:
        return ANYWHERE
    name = data["expected"]
    return None if name is None else pack_selectors.version(pack, name)


class PackAliasHistory(PackEndpoint):
    """History of an alias."""

    @extend_schema(
        operation_id="pack_aliases_history",
        tags=["packs"],
        parameters=[PageQuery],
        responses=paging("PackMove", PackMoveOut),
    )
    def get(self, _request: Request, owner: str, name: str, alias: str) -> Response:
        """List the moves of an alias, newest first, even if the alias was removed."""
        rows = pack_selectors.alias_history(self.pack(owner, name), alias)
        page, cursor = page_of(rows, **self.query(PageQuery))
        return paged(self, serialized(PackMoveOut, page), cursor)
