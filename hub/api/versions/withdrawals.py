"""``…/withdraw``: taking a version or a whole adapter down for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers

from hub.api.adapters.serializers import AdapterDetailOut, covers_of
from hub.api.base import Endpoint, Input
from hub.api.versions.serializers import VersionOut
from registry.adapters import selectors as adapter_selectors
from registry.versions import selectors as version_selectors
from registry.versions import withdraw
from registry.versions.latest import MAX_REASON

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.response import Response

__all__ = ["AdapterWithdraw", "VersionWithdraw", "WithdrawIn"]


class WithdrawIn(Input):
    """Why it is taken down; everyone who asks for it is told."""

    reason = serializers.CharField(max_length=MAX_REASON)


EXAMPLE = OpenApiExample(
    "A reason", value={"reason": "Rights of the photographer."}, request_only=True
)


class VersionWithdraw(Endpoint):
    """Taking a version down."""

    @extend_schema(
        operation_id="versions_withdraw",
        tags=["versions"],
        request=WithdrawIn,
        responses=VersionOut,
        examples=[EXAMPLE],
    )
    def post(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Take a version down for good: `gone` (410) with the reason from now on.

        For its owner, and for those who run the hub. It cannot be undone.
        """
        row = version_selectors.get(
            self.viewer, adapter_selectors.get(self.viewer, owner, name), version
        )
        reason = self.said(WithdrawIn)["reason"]
        row = withdraw.withdraw(actor=self.actor, version=row, reason=reason)
        return self.answer(VersionOut, row)


class AdapterWithdraw(Endpoint):
    """Taking an adapter down."""

    @extend_schema(
        operation_id="adapters_withdraw",
        tags=["adapters"],
        request=WithdrawIn,
        responses=AdapterDetailOut,
        examples=[EXAMPLE],
    )
    def post(self, _request: Request, owner: str, name: str) -> Response:
        """Take an adapter down for good, with all its versions; its name stays taken.

        For its owner, and for those who run the hub. It cannot be undone.
        """
        adapter = adapter_selectors.get(self.viewer, owner, name)
        reason = self.said(WithdrawIn)["reason"]
        adapter = withdraw.withdraw_adapter(actor=self.actor, adapter=adapter, reason=reason)
        return self.answer(AdapterDetailOut, adapter, covers=covers_of([adapter]))
