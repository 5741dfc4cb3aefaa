"""``/tokens``: access tokens of the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from hub.api.base import Endpoint, Input, shown
from hub.api.choices import Choice
from hub.api.pagination import PAGING, PageQuery, page_of, paged, paging
from registry.models import AccessToken
from registry.names import MAX_NAME
from registry.tokens import selectors as token_selectors
from registry.tokens import services as tokens

if TYPE_CHECKING:
    from rest_framework.request import Request

__all__ = ["RevokedOut", "TokenIn", "TokenOut", "TokenView", "TokenWithSecretOut", "Tokens"]


class TokenIn(Input):
    """A token to be."""

    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(
        child=Choice(choices=tokens.SCOPES),
        default=lambda: ["read", "write"],
        allow_empty=False,
        max_length=len(tokens.SCOPES),
    )
    expires_in_days = serializers.IntegerField(
        min_value=0,
        max_value=tokens.MAX_DAYS,
        required=False,
        help_text="0: never. Left out: as long as the hub decides, see `LORARY_TOKEN_DAYS`.",
    )
    bound_to = serializers.CharField(
        max_length=2 * MAX_NAME + 1,
        allow_null=True,
        default=None,
        help_text="`owner` or `owner/name`, to which the token is limited; null: no limit",
    )


class TokenOut(serializers.Serializer[AccessToken]):
    """A token without its secret, which is not kept."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The first characters, to recognise it by.")
    scopes = serializers.ListField(child=serializers.CharField())
    bound_to = serializers.SerializerMethodField(
        help_text="`owner` or `owner/name`, to which it is limited; null: no limit"
    )
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True, help_text="null: never")
    parent_id = serializers.IntegerField(
        allow_null=True, help_text="The token that made it, with which it is revoked."
    )

    def get_bound_to(self, token: AccessToken) -> str | None:
        """Return what the token is for."""
        return token.bound_to or None


class TokenWithSecretOut(TokenOut):
    """A new token; the only time its secret is shown."""

    token = serializers.SerializerMethodField()

    def get_token(self, _token: AccessToken) -> str:
        """Return the secret."""
        return str(self.context["secret"])


class RevokedOut(serializers.Serializer[dict[str, int]]):
    """What was revoked."""

    revoked = serializers.IntegerField(help_text="How many tokens there were, expired ones too.")


class Tokens(Endpoint):
    """The caller's tokens."""

    @extend_schema(
        operation_id="tokens_list",
        tags=["tokens"],
        parameters=PAGING,
        responses=paging("Token", TokenOut),
    )
    def get(self, _request: Request) -> Response:
        """List tokens, newest first."""
        rows, cursor = page_of(token_selectors.listing(self.signed_in()), **self.asked(PageQuery))
        return paged(self, shown(TokenOut, rows), cursor)

    @extend_schema(
        operation_id="tokens_create",
        tags=["tokens"],
        request=TokenIn,
        responses={201: TokenWithSecretOut},
        examples=[
            OpenApiExample(
                "For a trainer",
                value={
                    "name": "trainer",
                    "scopes": ["read", "write"],
                    "expires_in_days": 30,
                    "bound_to": "ada/noir",
                },
                request_only=True,
            )
        ],
    )
    def post(self, _request: Request) -> Response:
        """Issue a token; its secret is in this answer and nowhere else.

        Asked with a token, the new one is a part of that: it may do no more, expires no later, and
        is revoked with it.
        """
        asked: dict[str, Any] = self.said(TokenIn)
        days, bound_to = asked.pop("expires_in_days", None), asked.pop("bound_to") or ""
        token, secret = tokens.issue(actor=self.signed_in(), days=days, bound_to=bound_to, **asked)
        response = self.answer(TokenWithSecretOut, token, status=201, secret=secret)
        response.headers["Cache-Control"] = "no-store"
        return response

    @extend_schema(operation_id="tokens_delete_all", tags=["tokens"], responses={200: RevokedOut})
    def delete(self, _request: Request) -> Response:
        """Revoke all tokens of the caller, the one that this request came with too."""
        return self.answer(RevokedOut, {"revoked": tokens.revoke_all(actor=self.signed_in())})


class TokenView(Endpoint):
    """One token."""

    @extend_schema(operation_id="tokens_delete", tags=["tokens"], responses={204: None})
    def delete(self, _request: Request, token_id: int) -> Response:
        """Revoke a token, and those that it made; they work no more from this moment on."""
        tokens.revoke(actor=self.actor, token_id=token_id)
        return Response(status=204)
