"""Authentication of the API: an access token, or the session of the site's pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from hub.http.callers import token_of
from registry.models import AccessToken, User

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema


class TokenAuth(BaseAuthentication):
    """``Authorization: Bearer lor_…``; other schemes are ignored, as a proxy may use them."""

    #: Whether ``?token=`` is accepted as well.
    is_query_allowed = False

    def authenticate(self, request: Request) -> tuple[User, AccessToken] | None:
        """Return the token with its user.

        Raises:
            Unauthenticated: the token is invalid, expired or revoked.
        """
        token = token_of(request, is_query_allowed=self.is_query_allowed)
        return None if token is None else (token.user, token)

    def authenticate_header(self, _request: Request) -> str:
        """Return the value of ``WWW-Authenticate``."""
        return 'Bearer realm="lorary"'


class AddressTokenAuth(TokenAuth):
    """Also accepts ``?token=``, for Civitai's clients at a URL that both APIs have."""

    is_query_allowed = True


class SessionAuth(SessionAuthentication):
    """A signed-in browser; writes need the CSRF token in a header."""

    def enforce_csrf(self, request: Request) -> None:
        """Check the header only: a body with a token would be parsed, and may be gigabytes."""
        django_request = request._request  # noqa: SLF001 - the check needs Django's request
        django_request._post = QueryDict()  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        django_request._files = MultiValueDict()  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        super().enforce_csrf(django_request)  # type: ignore[arg-type]  # it reads no DRF attribute


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself
    """Describes the token in the API document."""

    target_class = TokenAuth
    name = "token"

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the bearer scheme."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "lor_…"}


class AddressTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself
    """Describes the token in a query string in the API document."""

    target_class = AddressTokenAuth
    name = "tokenInAddress"

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the parameter."""
        return {"type": "apiKey", "in": "query", "name": "token"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself
    """Describes the session cookie in the API document."""

    target_class = SessionAuth
    name = "session"

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the cookie scheme."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
