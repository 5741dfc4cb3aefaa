"""``/me``: who the caller is and how much room is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers

from hub.api.accounts.authentication import AddressTokenAuth, SessionAuth, TokenAuth
from hub.api.base import Endpoint, absolute
from registry.accounts import quotas
from registry.models import AccessToken, Namespace, NamespaceKind
from registry.tokens.services import SCOPES

if TYPE_CHECKING:
    from datetime import datetime

    from rest_framework.request import Request
    from rest_framework.response import Response

__all__ = ["Me", "MeOut"]

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

    The last six fields are for clients of Civitai, which has a noun at this address as well.
    """

    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=NamespaceKind.choices)
    display_name = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()
    quota_bytes = serializers.SerializerMethodField(help_text="null: no limit")
    used_bytes = serializers.SerializerMethodField(help_text="All that counts against the quota.")
    scopes = serializers.SerializerMethodField(help_text="null: a session, which may do everything")
    bound_to = serializers.SerializerMethodField(
        help_text="`owner` or `owner/name`, to which the token is limited; null: no limit"
    )
    expires_at = serializers.SerializerMethodField(
        help_text="When the token expires; null: never, or a session"
    )
    id = serializers.IntegerField(source="user_id")
    username = serializers.CharField(source="name")
    tier = serializers.SerializerMethodField(help_text="Always `free`: there is nothing to buy.")
    status = serializers.SerializerMethodField(help_text="Always `active`.")
    isMember = serializers.SerializerMethodField(help_text="Always false.")  # noqa: N815 - Civitai's
    subscriptions = serializers.SerializerMethodField(help_text="Always empty.")

    def get_display_name(self, namespace: Namespace) -> str:
        """Return what people read."""
        return namespace.display_name or namespace.name

    @extend_schema_field(OpenApiTypes.URI)
    def get_url(self, namespace: Namespace) -> str:
        """Return the page of the namespace."""
        return absolute(self.context, f"/{namespace.name}")

    def get_quota_bytes(self, namespace: Namespace) -> int | None:
        """Return the limit that applies."""
        return quotas.limit_of(namespace)

    def get_used_bytes(self, namespace: Namespace) -> int:
        """Return what is published, and what uploads brought besides."""
        return quotas.used_by(namespace)

    @extend_schema_field({"type": ["array", "null"], "items": {"enum": list(SCOPES)}})
    def get_scopes(self, _namespace: Namespace) -> list[str] | None:
        """Return the token's scopes."""
        token = self._token()
        return token.granted if token is not None else None

    def get_bound_to(self, _namespace: Namespace) -> str | None:
        """Return what the token is for."""
        token = self._token()
        return token.bound_to or None if token is not None else None

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_expires_at(self, _namespace: Namespace) -> datetime | None:
        """Return when the token expires."""
        token = self._token()
        return token.expires_at if token is not None else None

    def _token(self) -> AccessToken | None:
        token: AccessToken | None = self.context["request"].auth
        return token

    def get_tier(self, _namespace: Namespace) -> str:
        """Return the tier that pays nothing."""
        return "free"

    def get_status(self, _namespace: Namespace) -> str:
        """Return the status of an account whose token is taken."""
        return "active"

    def get_isMember(self, _namespace: Namespace) -> bool:  # noqa: N802 - Civitai's
        """Return that nobody pays."""
        return False

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_subscriptions(self, _namespace: Namespace) -> list[str]:
        """Return none."""
        return []


class Me(Endpoint):
    """The caller."""

    authentication_classes = [TokenAuth, AddressTokenAuth, SessionAuth]

    @extend_schema(operation_id="me", tags=["me"], responses=MeOut, examples=[EXAMPLE])
    def get(self, _request: Request) -> Response:
        """Say who the token or the session belongs to."""
        return self.answer(MeOut, self.signed_in().namespace)
