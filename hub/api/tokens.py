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
from registry.selectors import tokens as found
from registry.services import tokens

if TYPE_CHECKING:
    from rest_framework.request import Request

__all__ = ["TokenIn", "TokenOut", "TokenView", "TokenWithSecretOut", "Tokens"]


class TokenIn(Input):
    """A token to be."""

    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(
        child=Choice(choices=tokens.SCOPES),
        default=lambda: ["read", "write"],
        allow_empty=False,
        max_length=len(tokens.SCOPES),
    )


class TokenOut(serializers.Serializer[AccessToken]):
    """A token without its secret, which is not kept."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The first characters, to recognise it by.")
    scopes = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)


class TokenWithSecretOut(TokenOut):
    """A new token; the only time its secret is shown."""

    token = serializers.SerializerMethodField()

    def get_token(self, _token: AccessToken) -> str:
        """Return the secret."""
        return str(self.context["secret"])


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
        rows, cursor = page_of(found.listing(self.signed_in()), **self.asked(PageQuery))
        return paged(self, shown(TokenOut, rows), cursor)

    @extend_schema(
        operation_id="tokens_create",
        tags=["tokens"],
        request=TokenIn,
        responses={201: TokenWithSecretOut},
        examples=[
            OpenApiExample(
                "For a trainer",
                value={"name": "trainer", "scopes": ["read", "write"]},
                request_only=True,
            )
        ],
    )
    def post(self, _request: Request) -> Response:
        """Issue a token; its secret is in this answer and nowhere else."""
        actor = self.signed_in()
        asked: dict[str, Any] = self.said(TokenIn)
        token, secret = tokens.issue(actor=actor, **asked)
        response = self.answer(TokenWithSecretOut, token, status=201, secret=secret)
        response.headers["Cache-Control"] = "no-store"
        return response


class TokenView(Endpoint):
    """One token."""

    @extend_schema(operation_id="tokens_delete", tags=["tokens"], responses={204: None})
    def delete(self, _request: Request, token_id: int) -> Response:
        """Revoke a token; it works no more from this moment on."""
        tokens.revoke(actor=self.actor, token_id=token_id)
        return Response(status=204)
