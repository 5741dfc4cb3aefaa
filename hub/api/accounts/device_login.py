"""``/oauth``: sign-in of programs by a person's browser, in the words of OAuth 2.0.

RFC 8628 describes the sign-in, RFC 7009 the revocation. The endpoints are outside of ``/api/v1``
and take forms, as OAuth clients such as ``hf auth login`` expect.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Endpoint
from hub.api.bodies import BoundedJSONParser
from hub.http.callers import address_of
from registry.accounts import attempts
from registry.errors import Invalid
from registry.models import AccessToken
from registry.tokens import device_logins
from registry.tokens import services as tokens

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
#: Maximum number of sign-ins that one address may begin in ``device_logins.WINDOW_S``.
BEGINNINGS = 60
#: Programs whose identifier is not their name.
_NAMES = {"26be6b09-91c5-47da-9861-d2d2bb7a7e36": "hf"}


class DeviceIn(serializers.Serializer[Any]):
    """Request for the codes of a sign-in; other fields of OAuth are ignored."""

    client_id = serializers.CharField(help_text="Name of the program, up to 40 characters.")
    device_name = serializers.CharField(
        default="", allow_blank=True, help_text="Name of the computer, up to 64 characters."
    )
    scope = serializers.CharField(
        default="read write", help_text="Scopes of the token, separated by spaces."
    )


class DeviceOut(serializers.Serializer[Any]):
    """The codes of a sign-in."""

    device_code = serializers.CharField(help_text="For the program; it asks for the token with it.")
    user_code = serializers.CharField(help_text="For the person, who compares or enters it.")
    verification_uri = serializers.URLField(help_text="The page that the person opens.")
    verification_uri_complete = serializers.URLField(help_text="The same page with the code.")
    expires_in = serializers.IntegerField(help_text="Seconds until the codes expire.")
    interval = serializers.IntegerField(help_text="Seconds to wait between two requests.")


class GrantIn(serializers.Serializer[Any]):
    """Request for the token."""

    grant_type = serializers.CharField(help_text=f"`{GRANT}`")
    device_code = serializers.CharField(default="", help_text="From the first response.")


class GrantOut(serializers.Serializer[AccessToken]):
    """The token."""

    access_token = serializers.CharField()
    token_type = serializers.ChoiceField(choices=["Bearer"])
    scope = serializers.CharField(help_text="Its scopes, separated by spaces.")
    expires_in = serializers.IntegerField(
        required=False, help_text="Seconds until it expires; absent if it never does."
    )


class RevocationIn(serializers.Serializer[Any]):
    """The token to revoke; other fields of OAuth are ignored."""

    token = serializers.CharField()


class OAuthErrorOut(serializers.Serializer[Any]):
    """An error in the form of RFC 6749, section 5.2."""

    error = serializers.ChoiceField(
        choices=[
            "authorization_pending", "slow_down", "access_denied", "expired_token",
            "invalid_grant", "invalid_request", "invalid_scope", "unsupported_grant_type",
        ]
    )  # fmt: skip
    error_description = serializers.CharField()


class OAuthEndpoint(Endpoint):
    """An endpoint that needs no sign-in and answers errors as OAuth does."""

    authentication_classes = []
    parser_classes = [FormParser, BoundedJSONParser]
    is_open = True

    def handle_exception(self, exc: Exception) -> Response:
        """Answer invalid input; other errors are problems, as everywhere."""
        if isinstance(exc, ValidationError):
            fields = exc.detail if isinstance(exc.detail, dict) else {}
            text = " ".join(f"{name}: {' '.join(map(str, why))}" for name, why in fields.items())
            return refused("invalid_request", text)
        if isinstance(exc, Invalid):
            is_scope = "scope" in exc.facts.get("fields", {})
            return refused("invalid_scope" if is_scope else "invalid_request", str(exc.detail))
        return super().handle_exception(exc)


def refused(error: str, text: str) -> Response:
    """Return an error in the form of OAuth."""
    return _unstored(Response({"error": error, "error_description": text}, status=400))


def _unstored(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


class DeviceCodes(OAuthEndpoint):
    """Begins a sign-in."""

    @extend_schema(
        operation_id="device_login_begin",
        tags=["tokens"],
        auth=[],
        request={"application/x-www-form-urlencoded": DeviceIn},
        responses={200: DeviceOut, 400: OAuthErrorOut},
        examples=[
            OpenApiExample(
                "Codes",
                value={
                    "device_code": "VmCzyqYWyTdbSVmCzyqYWyTdbS…",
                    "user_code": "WDJB-MJHT",
                    "verification_uri": "https://hub.example/signin/device",
                    "verification_uri_complete": (
                        "https://hub.example/signin/device?user_code=WDJB-MJHT"
                    ),
                    "expires_in": 900,
                    "interval": 5,
                },
                response_only=True,
                status_codes=["200"],
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Begin a sign-in by browser; show the user code and the page to the person."""
        values = self.body(DeviceIn)
        place = address_of(request)
        attempts.require("device-login", place, limit=BEGINNINGS, window_s=device_logins.WINDOW_S)
        codes = device_logins.begin(
            client=_NAMES.get(values["client_id"], values["client_id"]),
            device=values["device_name"],
            scopes=values["scope"].split(),
        )
        origin = settings.LORARY.base_url or request.build_absolute_uri("/").rstrip("/")
        page = f"{origin}{reverse('device-login')}"
        return _unstored(
            self.answer(
                DeviceOut,
                {
                    "device_code": codes.device,
                    "user_code": codes.user,
                    "verification_uri": page,
                    "verification_uri_complete": f"{page}?user_code={codes.user}",
                    "expires_in": int(device_logins.LIFETIME.total_seconds()),
                    "interval": device_logins.INTERVAL_S,
                },
            )
        )


class Grant(OAuthEndpoint):
    """Answers whether a sign-in was allowed."""

    @extend_schema(
        operation_id="device_login_token",
        tags=["tokens"],
        auth=[],
        request={"application/x-www-form-urlencoded": GrantIn},
        responses={200: GrantOut, 400: OAuthErrorOut},
        examples=[
            OpenApiExample(
                "Not yet",
                value={
                    "error": "authorization_pending",
                    "error_description": "Nobody has confirmed the code yet.",
                },
                response_only=True,
                status_codes=["400"],
            )
        ],
    )
    def post(self, _request: Request) -> Response:
        """Return the token of a sign-in, once it is allowed; it is in the list of tokens."""
        values = self.body(GrantIn)
        if values["grant_type"] != GRANT:
            return refused("unsupported_grant_type", _("The only grant type is: %s.") % GRANT)
        outcome = device_logins.redeem(device_code=values["device_code"])
        if isinstance(outcome, device_logins.Refusal):
            return refused(outcome.error, outcome.text)
        token, secret = outcome
        said: dict[str, object] = {
            "access_token": secret,
            "token_type": "Bearer",
            "scope": " ".join(token.granted),
        }
        if token.expires_at is not None:
            lasting = token.expires_at - timezone.now()
            said["expires_in"] = max(0, int(lasting.total_seconds()))
        return _unstored(self.answer(GrantOut, said))


class Revocation(OAuthEndpoint):
    """Revokes a token."""

    @extend_schema(
        operation_id="device_login_revoke",
        tags=["tokens"],
        auth=[],
        request={"application/x-www-form-urlencoded": RevocationIn},
        responses={200: None, 400: OAuthErrorOut},
    )
    def post(self, _request: Request) -> Response:
        """Revoke a token and those created with it; an unknown one gets the same answer."""
        tokens.revoke_secret(secret=self.body(RevocationIn)["token"])
        return _unstored(Response())
