"""The user of the token, in Hugging Face's format."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, JsonResponse

from hub.protocols.huggingface.endpoint import answer, endpoint
from registry.accounts import permissions
from registry.models import AccessToken


@endpoint("GET")
def whoami(request: HttpRequest) -> JsonResponse:
    """Return the token's user, organisations and role.

    Raises:
        Unauthenticated: the request is anonymous.
    """
    user = permissions.require_user(request.user)
    token = user.access_token
    document: dict[str, Any] = {
        "type": "user",
        "id": str(user.pk),
        "name": user.username,
        "fullname": user.namespace.display_name or user.username,
        "email": None if token is not None and token.is_bound else user.email or None,
        "emailVerified": False,
        "isPro": False,
        "orgs": [
            {"type": "org", "id": str(one.namespace_id), "name": one.namespace.name,
             "fullname": one.namespace.display_name or one.namespace.name, "roleInOrg": one.role}
            for one in permissions.memberships(user)
        ],
    }  # fmt: skip
    if token is not None:
        document["auth"] = _auth(token)
    return answer(document)


def _auth(token: AccessToken) -> dict[str, Any]:
    is_reader = set(token.scopes) <= {"read"}
    role, created = "read" if is_reader else "write", _moment(token.created_at)
    details = {"displayName": token.name, "role": role, "createdAt": created}
    auth: dict[str, Any] = {"type": "access_token", "accessToken": details}
    if token.expires_at is not None:
        auth["expiresAt"] = _moment(token.expires_at)
    return auth


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@endpoint("GET")
def agent_harnesses(_request: HttpRequest) -> JsonResponse:
    """Return no agent harnesses; clients ask once a day."""
    return answer({"standardEnvVars": [], "harnesses": {}})
