"""``/packs``: listing, creating, editing, withdrawing."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.adapters.views import CardIn, NewIn, RenameIn
from hub.api.base import (
    Choice,
    ChoiceParameter,
    Endpoint,
    PageQuery,
    TextParameter,
    paged,
    paging,
    serialized,
)
from hub.api.packs.serializers import PackDetailOut, PackOut, context_of
from hub.api.versions.views import REASON_EXAMPLE, WithdrawIn
from lorary.anatomy import FAMILIES
from registry.adapters import selectors as adapter_selectors
from registry.models import LookKind, Output, Pack
from registry.names import MAX_NAME
from registry.packs import selectors as pack_selectors
from registry.packs import services as packs
from registry.packs import states
from registry.packs.selectors import PackQuery
from registry.packs.services import LIMITS


class PackSearchQuery(PageQuery):
    """Parameters of the list."""

    q = TextParameter(
        200,
        "Words of name, title, summary or tags that must all occur; also phrases, `-word`, `tag:`, "
        "`base:`, `owner:` and `rating:`.",
    )
    owner = TextParameter(MAX_NAME, "Name of a user or an organisation.")
    kind = ChoiceParameter(LookKind.choices)
    tag = TextParameter(48)
    family = ChoiceParameter(list(FAMILIES), "Base model of a variant, such as `sdxl`.")
    output = ChoiceParameter(Output.choices, "Output of that variant.")


class _PackCardIn(CardIn):
    """Fields of a pack's card."""

    kind = Choice(choices=LookKind.choices, required=False)
    card = serializers.CharField(
        required=False, allow_blank=True, max_length=LIMITS["card"], help_text="Markdown."
    )
    licence = access = None  # type: ignore[assignment]  # how a serializer drops what it inherits


class PackIn(_PackCardIn, NewIn):
    """Input for a new pack."""


class PackPatchIn(_PackCardIn, RenameIn):
    """Changes; a new name leaves a redirect behind."""


class PackEndpoint(Endpoint):
    """Base of views about one pack."""

    def pack(self, owner: str, name: str) -> Pack:
        """Return the pack in the URL."""
        return pack_selectors.get(self.viewer, owner, name)

    def shown(self, pack: Pack, *, status: int = 200) -> Response:
        """Return a response with the document of a pack."""
        row = pack_selectors.with_lists(Pack.objects.filter(pk=pack.pk)).get()
        context = context_of(self.request, [row])
        return Response(PackDetailOut(row, context=context).data, status=status)


class Packs(PackEndpoint):
    """The packs of the hub."""

    throttle_scope = "search"

    @extend_schema(
        operation_id="packs_list",
        tags=["packs"],
        parameters=[PackSearchQuery],
        responses=paging("Pack", PackOut),
    )
    def get(self, request: Request) -> Response:
        """Find packs: public ones and the caller's own, the newest first."""
        query = self.query(PackSearchQuery)
        cursor, limit = query.pop("cursor"), query.pop("limit")
        rows = pack_selectors.search(self.viewer, PackQuery(**query))
        page, following = pack_selectors.page(rows, cursor=cursor, limit=limit)
        return paged(self, serialized(PackOut, page, context_of(request, page)), following)

    @extend_schema(
        operation_id="packs_create",
        tags=["packs"],
        request=PackIn,
        responses={201: PackDetailOut},
        examples=[
            OpenApiExample(
                "A style",
                value={"name": "dusk", "title": "Dusk", "kind": "style", "tags": ["evening"]},
                request_only=True,
            )
        ],
    )
    def post(self, _request: Request) -> Response:
        """Create a pack without versions; it is public by default."""
        data: dict[str, Any] = self.body(PackIn)
        owner = data.pop("owner", None)
        namespace = adapter_selectors.namespace(owner) if owner else None
        return self.shown(packs.create(actor=self.actor, owner=namespace, **data), status=201)


class PackView(PackEndpoint):
    """One pack."""

    @extend_schema(operation_id="packs_get", tags=["packs"], responses=PackDetailOut)
    def get(self, _request: Request, owner: str, name: str) -> Response:
        """Return a pack with card, versions and aliases; `gone` if all of it was withdrawn."""
        pack = self.pack(owner, name)
        if pack.withdrawn_reason:
            raise pack_selectors.gone(pack)
        return self.shown(pack)

    @extend_schema(
        operation_id="packs_edit", tags=["packs"], request=PackPatchIn, responses=PackDetailOut
    )
    def patch(self, _request: Request, owner: str, name: str) -> Response:
        """Change card fields; omitted fields stay."""
        pack = self.pack(owner, name)
        data: dict[str, Any] = self.body(PackPatchIn, is_partial=True)
        new_name = data.pop("name", pack.name)
        with transaction.atomic():
            pack = packs.describe(actor=self.actor, pack=pack, **data)
            if new_name != pack.name:
                pack = packs.rename(actor=self.actor, pack=pack, name=new_name)
        return self.shown(pack)

    @extend_schema(operation_id="packs_delete", tags=["packs"], responses={204: None})
    def delete(self, _request: Request, owner: str, name: str) -> Response:
        """Withdraw a pack for good without a reason of your own; its name stays taken."""
        pack = self.pack(owner, name)
        reason = pack.withdrawn_reason or _("Deleted by its owner.")
        states.withdraw_pack(actor=self.actor, pack=pack, reason=reason)
        return Response(status=204)


class PackWithdraw(PackEndpoint):
    """Withdrawal of a pack."""

    @extend_schema(
        operation_id="packs_withdraw",
        tags=["packs"],
        request=WithdrawIn,
        responses=PackDetailOut,
        examples=[REASON_EXAMPLE],
    )
    def post(self, _request: Request, owner: str, name: str) -> Response:
        """Withdraw a pack for good, with all its versions; its name stays taken.

        For its owner and for administrators. This cannot be undone.
        """
        pack = self.pack(owner, name)
        reason = self.body(WithdrawIn)["reason"]
        return self.shown(states.withdraw_pack(actor=self.actor, pack=pack, reason=reason))
