"""``/me``: the caller and its quota; ``/tokens``: access tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.accounts.authentication import AddressTokenAuth, SessionAuth, TokenAuth
from hub.api.base import (
    Choice,
    Endpoint,
    Input,
    Link,
    PageQuery,
    page_of,
    paged,
    paging,
    serialized,
)
from registry.accounts import quotas
from registry.accounts.permissions import writable_by
from registry.models import AccessToken, Namespace, NamespaceKind
from registry.names import MAX_NAME
from registry.tokens import selectors as token_selectors
from registry.tokens import services as tokens
from registry.tokens.services import SCOPES

EXAMPLE = OpenApiExample(
    "A token",
    value={
        "name": "ada",
        "kind": "user",
        "display_name": "Ada",
        "url": "https://hub.example/ada",
        "quota_bytes": 50_000_000_000,
        "used_bytes": 151_060_480,
        "scopes": ["read", "write"],
        "bound_to": None,
        "expires_at": "2027-02-26T12:00:00Z",
        "namespaces": ["ada", "studio"],
        "id": 1,
        "username": "ada",
        "tier": "free",
        "status": "active",
        "isMember": False,
        "subscriptions": [],
    },
    response_only=True,
)


class MeOut(serializers.Serializer[Namespace]):
    """The caller's namespace, and what its token may do.

    The last six fields are for clients of Civitai, whose API also has `/me`.
    """

    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=NamespaceKind.choices)
    display_name = serializers.SerializerMethodField()
    url = Link(lambda namespace: f"/{namespace.name}")
    quota_bytes = serializers.SerializerMethodField(help_text="null: no limit")
    used_bytes = serializers.SerializerMethodField(
        help_text="Everything that counts against the quota."
    )
    scopes = serializers.SerializerMethodField(help_text="null: a session, which has all scopes")
    bound_to = serializers.SerializerMethodField(
        help_text="`owner` or `owner/name`, to which the token is limited; null: no limit"
    )
    expires_at = serializers.SerializerMethodField(
        help_text="When the token expires; null: never, or a session"
    )
    namespaces = serializers.SerializerMethodField(
        help_text="Names of the users and organisations for which the caller may publish."
    )
    id = serializers.IntegerField(source="user_id")
    username = serializers.CharField(source="name")
    tier = serializers.CharField(
        default="free", read_only=True, help_text="Always `free`: there are no paid tiers."
    )
    status = serializers.CharField(default="active", read_only=True, help_text="Always `active`.")
    isMember = serializers.BooleanField(  # noqa: N815 - Civitai's
        default=False, read_only=True, help_text="Always false."
    )
    subscriptions = serializers.ListField(
        child=serializers.CharField(), default=list, read_only=True, help_text="Always empty."
    )

    def get_display_name(self, namespace: Namespace) -> str:
        """Return the display name."""
        return namespace.display_name or namespace.name

    def get_quota_bytes(self, namespace: Namespace) -> int | None:
        """Return the limit that applies."""
        return quotas.limit_of(namespace)

    def get_used_bytes(self, namespace: Namespace) -> int:
        """Return the size of published files and of uploads."""
        return quotas.used_by(namespace)

    @extend_schema_field({"type": ["array", "null"], "items": {"enum": list(SCOPES)}})
    def get_scopes(self, _namespace: Namespace) -> list[str] | None:
        """Return the token's scopes."""
        token = self._token()
        return token.granted if token is not None else None

    def get_bound_to(self, _namespace: Namespace) -> str | None:
        """Return the namespace or adapter that the token is limited to."""
        token = self._token()
        return token.bound_to or None if token is not None else None

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_expires_at(self, _namespace: Namespace) -> datetime | None:
        """Return when the token expires."""
        token = self._token()
        return token.expires_at if token is not None else None

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_namespaces(self, namespace: Namespace) -> list[str]:
        """Return the namespaces in which the caller may create adapters.

        A bound token limits them; one for a single adapter creates none.
        """
        token = self._token()
        if token is not None and "write" not in token.granted:
            return []
        found = writable_by(self.context["request"].user)
        if token is not None and token.is_bound:
            found = found.filter(pk=token.namespace_id or 0)
        own = namespace.pk
        rows = found.order_by("key").values_list("pk", "name").distinct()
        return [name for _, name in sorted(rows, key=lambda row: row[0] != own)]

    def _token(self) -> AccessToken | None:
        token: AccessToken | None = self.context["request"].auth
        return token


class Me(Endpoint):
    """The caller."""

    authentication_classes = [TokenAuth, AddressTokenAuth, SessionAuth]

    @extend_schema(operation_id="me", tags=["me"], responses=MeOut, examples=[EXAMPLE])
    def get(self, _request: Request) -> Response:
        """Return the user of the token or session."""
        return self.answer(MeOut, self.signed_in().namespace)


class TokenIn(Input):
    """Input for a new token."""

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
        help_text="0: never. Default: the hub's setting `LORARY_TOKEN_DAYS`.",
    )
    bound_to = serializers.CharField(
        max_length=2 * MAX_NAME + 1,
        allow_null=True,
        default=None,
        help_text="`owner` or `owner/name`, to which the token is limited; null: no limit",
    )


class TokenOut(serializers.Serializer[AccessToken]):
    """A token without its secret, which is not stored."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The first characters of the secret.")
    scopes = serializers.ListField(child=serializers.CharField())
    bound_to = serializers.SerializerMethodField(
        help_text="`owner` or `owner/name`, to which it is limited; null: no limit"
    )
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True, help_text="null: never")
    parent_id = serializers.IntegerField(
        allow_null=True,
        help_text="The token that created this one; revoking it also revokes this one.",
    )

    def get_bound_to(self, token: AccessToken) -> str | None:
        """Return the namespace or adapter that the token is limited to."""
        return token.bound_to or None


class TokenWithSecretOut(TokenOut):
    """A new token with its secret, which is shown only once."""

    token = serializers.SerializerMethodField()

    def get_token(self, _token: AccessToken) -> str:
        """Return the secret."""
        return str(self.context["secret"])


class RevokedOut(serializers.Serializer[dict[str, int]]):
    """Number of revoked tokens."""

    revoked = serializers.IntegerField(help_text="Number of tokens, including expired ones.")


class Tokens(Endpoint):
    """The caller's tokens."""

    @extend_schema(
        operation_id="tokens_list",
        tags=["tokens"],
        parameters=[PageQuery],
        responses=paging("Token", TokenOut),
    )
    def get(self, _request: Request) -> Response:
        """List tokens, newest first."""
        rows, cursor = page_of(token_selectors.listing(self.signed_in()), **self.query(PageQuery))
        return paged(self, serialized(TokenOut, rows), cursor)

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
        """Create a token; only this response has its secret.

        A token that is created with another token has at most its scopes, expires no later, and is
        revoked with it.
        """
        data: dict[str, Any] = self.body(TokenIn)
        days, bound_to = data.pop("expires_in_days", None), data.pop("bound_to") or ""
        token, secret = tokens.issue(actor=self.signed_in(), days=days, bound_to=bound_to, **data)
        response = self.answer(TokenWithSecretOut, token, status=201, secret=secret)
        response.headers["Cache-Control"] = "no-store"
        return response

    @extend_schema(operation_id="tokens_delete_all", tags=["tokens"], responses={200: RevokedOut})
    def delete(self, _request: Request) -> Response:
        """Revoke all tokens of the caller, including that of this request."""
        return self.answer(RevokedOut, {"revoked": tokens.revoke_all(actor=self.signed_in())})


class TokenView(Endpoint):
    """One token."""

    @extend_schema(operation_id="tokens_delete", tags=["tokens"], responses={204: None})
    def delete(self, _request: Request, token_id: int) -> Response:
        """Revoke a token, and those that were created with it, immediately."""
        tokens.revoke(actor=self.actor, token_id=token_id)
        return Response(status=204)
