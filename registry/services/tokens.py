"""Access tokens: issued once in clear, kept as digests."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from registry.errors import Forbidden, Invalid, NotFound, Unauthenticated
from registry.models import AccessToken
from registry.services import access, events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.models import Namespace, User

__all__ = ["SCOPES", "authenticate", "issue", "revoke"]

SCOPES = ("read", "write", "admin")
MAX_LIVE_TOKENS = 100

_PREFIX = "lor_"
#: ``last_used_at`` is written at most this often, so that reads stay reads.
_TOUCH_EVERY = timedelta(minutes=10)


def issue(
    *,
    actor: User,
    name: str,
    scopes: Sequence[str] = ("read", "write"),
    namespace: Namespace | None = None,
) -> tuple[AccessToken, str]:
    """Return a new token and its secret, which is not kept.

    Raises:
        Invalid: an unknown scope, an empty name, or too many live tokens.
        Forbidden: a token that would be wider than the one the actor came with.
        ScopeMissing: the actor came with a token that may only read.
    """
    user = access.require_scope(actor, "write")
    _require_not_wider(user, scopes)
    name = name.strip()
    if not 1 <= len(name) <= 80:
        raise Invalid(_("A token has a name of 1 to 80 characters."), fields={"name": []})
    if not scopes or not set(scopes) <= set(SCOPES):
        raise Invalid(
            _("Scopes are: %(all)s.") % {"all": ", ".join(SCOPES)}, fields={"scopes": list(SCOPES)}
        )
    if user.access_tokens.filter(revoked_at=None).count() >= MAX_LIVE_TOKENS:
        raise Invalid(_("You have %(n)d tokens. Revoke some first.") % {"n": MAX_LIVE_TOKENS})
    secret = _PREFIX + secrets.token_urlsafe(32)
    ordered = [scope for scope in SCOPES if scope in scopes]
    with transaction.atomic():
        token = AccessToken.objects.create(
            user=user,
            name=name,
            prefix=secret[:8],
            digest=_digest(secret),
            scopes=ordered,
            namespace=namespace,
        )
        events.record(actor=user, verb="token_issued", subject=name, scopes=ordered)
    return token, secret


def _require_not_wider(user: User, scopes: Sequence[str]) -> None:
    held = user.access_token
    if held is None:
        return
    if not set(scopes) <= set(held.scopes) or held.namespace_id is not None:
        raise Forbidden(_("A token cannot issue one that may do more than itself."))


def revoke(*, actor: User, token_id: int) -> None:
    """End one of the actor's tokens; revoking again is no error.

    Raises:
        NotFound: when the actor has no such token.
    """
    user = access.require_scope(actor, "write")
    with transaction.atomic():
        token = AccessToken.objects.filter(user=user, pk=token_id).first()
        if token is None:
            raise NotFound(_("You have no such token."))
        if token.revoked_at is None:
            token.revoked_at = timezone.now()
            token.save(update_fields=["revoked_at"])
            events.record(actor=user, verb="token_revoked", subject=token.name)


def authenticate(*, secret: str) -> AccessToken:
    """Return the live token of a secret; its user carries it as ``access_token``.

    Raises:
        Unauthenticated: unknown, revoked or expired, or of a closed account.
    """
    rows = AccessToken.objects.select_related("user", "user__namespace")
    token = rows.filter(digest=_digest(secret)).first()
    if token is None or not token.is_live or not token.user.is_active:
        raise Unauthenticated(_("This access token is not valid (any more)."))
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > _TOUCH_EVERY:
        AccessToken.objects.filter(pk=token.pk).update(last_used_at=now)
    token.user.access_token = token
    return token


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
