"""Issues, checks and revokes access tokens. Only the digest of a secret is stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions
from registry.adapters import selectors as adapter_selectors
from registry.errors import (
    Forbidden,
    Invalid,
    Moved,
    NotFound,
    ScopeMissing,
    StateConflict,
    TokenExpired,
    Unauthenticated,
)
from registry.models import AccessToken, Adapter, Namespace, User
from registry.tokens import selectors as token_selectors

SCOPES = ("read", "write", "admin")
MAX_LIVE_TOKENS = 100
#: Maximum lifetime of a token that expires.
MAX_DAYS = 3650

_PREFIX = "lor_"
#: ``last_used_at`` is written at most this often, so that reads stay reads.
_TOUCH_EVERY = timedelta(minutes=10)


def issue(
    *,
    actor: User,
    name: str,
    scopes: Sequence[str] = ("read", "write"),
    days: int | None = None,
    bound_to: str = "",
) -> tuple[AccessToken, str]:
    """Create a token; return it and its secret, which is not stored.

    If the actor uses a token, that becomes the parent: the new token expires no later and is
    revoked with it.

    Args:
        scopes: A subset of ``SCOPES``.
        days: Days until it expires; 0 for never, None for ``LORARY_TOKEN_DAYS``.
        bound_to: ``owner`` or ``owner/name`` that it is bound to; empty for none.

    Raises:
        Invalid: an unknown scope, an empty name, a wrong time or binding, too many live tokens.
        StateConflict: the account is disabled or was deleted.
        Forbidden: a token that would be wider than the one the actor came with.
        ScopeMissing: the actor came with a token that may only read, or asks for “admin” without
            being staff.
    """
    user = permissions.require_scope(actor, "write")
    parent = _require_not_wider(user, scopes)
    name = name.strip()
    if not 1 <= len(name) <= 80:
        raise Invalid(_("The name of a token must have 1 to 80 characters."), fields={"name": []})
    require_possible(user, scopes, bound_to)
    expires_at = _expiry(days, parent)
    namespace, adapter = _binding(user, bound_to)
    secret = _PREFIX + secrets.token_urlsafe(32)
    ordered = [scope for scope in SCOPES if scope in scopes]
    with transaction.atomic():
        token = AccessToken.objects.create(
            user=user,
            parent=parent,
            name=name,
            prefix=secret[:8],
            digest=_digest(secret),
            scopes=ordered,
            namespace=namespace,
            adapter=adapter,
            expires_at=expires_at,
        )
        events.record(
            actor=user,
            verb="token_issued",
            about=user,
            subject=name,
            id=token.pk,
            scopes=ordered,
            bound_to=token.bound_to,
        )
    return token, secret


def _require_not_wider(user: User, scopes: Sequence[str]) -> AccessToken | None:
    """Return the user's current token, which must be allowed to create a token with these scopes.

    A token that was created by a token cannot create others, so one revocation ends both.
    """
    parent = user.access_token
    if parent is None:
        return None
    if parent.is_bound or parent.parent_id is not None:
        text = _(
            "A token that is limited to an owner or adapter, or that was created with another "
            "token, cannot create tokens. Sign in to create one."
        )
        raise Forbidden(text)
    if not set(scopes) <= set(parent.granted):
        raise Forbidden(_("A token cannot create one with more permissions than its own."))
    return parent


def require_possible(user: User, scopes: Sequence[str], bound_to: str = "") -> None:
    """Make sure that a user may have one more token with these scopes.

    Raises:
        Invalid: an unknown scope, or too many live tokens.
        StateConflict: the account is disabled or was deleted.
        ScopeMissing: the scope “admin”, and the user is not staff.
    """
    if user.deleted_at is not None:
        raise StateConflict(_("This account was deleted."), state="deleted")
    if not user.is_active:
        text = _("This account is disabled. `manage.py user enable` enables it.")
        raise StateConflict(text, state="disabled")
    _require_scopes(user, scopes, bound_to)
    is_over = Q(expires_at__lte=timezone.now())
    if user.access_tokens.filter(revoked_at=None).exclude(is_over).count() >= MAX_LIVE_TOKENS:
        raise Invalid(_("You have %(n)d tokens. Revoke some first.") % {"n": MAX_LIVE_TOKENS})


def _require_scopes(user: User, scopes: Sequence[str], bound_to: str) -> None:
    if not scopes or not set(scopes) <= set(SCOPES):
        raise Invalid(
            _("Choose from these scopes: %(all)s.") % {"all": ", ".join(SCOPES)},
            fields={"scopes": list(SCOPES)},
        )
    if "admin" not in scopes:
        return
    if not user.is_staff or user.awaits_second_factor:
        text = _("The scope “admin” is for administrators (`manage.py user staff`).")
        raise ScopeMissing(text, scope="admin")
    if bound_to:
        text = _(
            "A token of the scope “admin” applies to the whole hub and cannot be limited to an "
            "owner or adapter."
        )
        raise Invalid(text, fields={"bound_to": [text]})


def _expiry(days: int | None, parent: AccessToken | None) -> datetime | None:
    """Return when a token expires: as requested, but no later than its parent; None for never."""
    days = settings.LORARY.token_days if days is None else days
    if not 0 <= days <= MAX_DAYS:
        text = _("Enter 1 to %(most)d days, or 0 for a token that never expires.") % {
            "most": MAX_DAYS
        }
        raise Invalid(text, fields={"expires_in_days": [text]})
    requested = timezone.now() + timedelta(days=days) if days else None
    latest = parent.expires_at if parent is not None else None
    return min(filter(None, (requested, latest)), default=None)


def _binding(user: User, bound_to: str) -> tuple[Namespace | None, Adapter | None]:
    """Return the namespace or the adapter that a token is bound to."""
    owner, slash, name = bound_to.strip().partition("/")
    if not owner and not slash:
        return None, None
    try:
        adapter = adapter_selectors.get(user, owner, name) if slash else None
        namespace = adapter.namespace if adapter is not None else adapter_selectors.namespace(owner)
        is_own = namespace.is_home_of(user)
    except (NotFound, Moved):
        is_own = False
    if not is_own:
        text = _(
            "You cannot limit a token to “%(name)s”. Enter your own name, one of your "
            "organisations, or one of your adapters as owner/name."
        )
        text %= {"name": bound_to[:200]}
        raise Invalid(text, fields={"bound_to": [text]})
    return (None, adapter) if adapter is not None else (namespace, None)


def revoke(*, actor: User, token_id: int) -> None:
    """Revoke one of the actor's tokens and those created with it; repeating it is no error.

    Raises:
        NotFound: the actor has no such token.
    """
    user = permissions.require_scope(actor, "write")
    with transaction.atomic():
        token = token_selectors.reachable(user).filter(pk=token_id).first()
        if token is None:
            raise NotFound(_("You have no such token."))
        _revoke(token, user)


def revoke_secret(*, secret: str) -> None:
    """Revoke the token of a secret and those created with it; an unknown secret is no error.

    Whoever has the secret may do this, as RFC 7009 says, also if the token may only read.
    """
    with transaction.atomic():
        rows = AccessToken.objects.select_related("user")
        token = rows.filter(digest=_digest(secret)).first()
        if token is not None:
            _revoke(token, token.user)


def _revoke(token: AccessToken, user: User) -> None:
    if _end(AccessToken.objects.filter(Q(pk=token.pk) | Q(parent=token))):
        events.record(
            actor=user, verb="token_revoked", about=token.user, subject=token.name, id=token.pk
        )


def revoke_all(*, actor: User) -> int:
    """Revoke all tokens of the actor, including the current one; return their number.

    Tokens that were allowed in a browser and not collected yet cannot be collected any more.
    """
    user = permissions.require_scope(actor, "write")
    return _revoke_all(user, user, token_selectors.reachable(user))


def revoke_all_of(*, actor: User | None, user: User) -> int:
    """Revoke all tokens of a user, as an operator; return their number.

    Args:
        actor: The operator; None on the command line.
        user: Whose tokens.

    Raises:
        NotFound, ScopeMissing: see ``permissions.require_operator``.
    """
    if actor is not None:
        permissions.require_operator(actor)
    return _revoke_all(actor, user, user.access_tokens.all())


def revoke_bound(user: User, namespace: Namespace) -> int:
    """Revoke a user's tokens that are bound to a namespace or its adapters; return their number."""
    bound = Q(namespace=namespace) | Q(adapter__namespace=namespace)
    return _end(user.access_tokens.filter(bound))


def _revoke_all(actor: User | None, user: User, rows: QuerySet[AccessToken]) -> int:
    with transaction.atomic():
        if user.access_token is None or not user.access_token.is_bound:
            user.device_logins.all().delete()
        count = _end(rows)
        if count:
            events.record(actor=actor, verb="tokens_revoked", about=user, count=count)
    return count


def _end(tokens: QuerySet[AccessToken]) -> int:
    return tokens.filter(revoked_at=None).update(revoked_at=timezone.now())


def authenticate(*, secret: str) -> AccessToken:
    """Return the valid token for a secret. It is set as ``access_token`` of its user.

    Raises:
        Unauthenticated: the token is unknown or revoked, or its account is closed.
        TokenExpired: the token has expired. Only its holder can learn this.
    """
    # Few tokens are bound or have a parent: joining those tables doubles the cost for all others.
    rows = AccessToken.objects.select_related("user", "user__namespace")
    token = rows.filter(digest=_digest(secret)).first()
    if token is None or token.is_revoked or not token.user.is_active:
        raise Unauthenticated(_("This access token is not valid."))
    if token.expires_at is not None and token.is_expired:
        raise _expired(token.expires_at)
    token.user.access_token = token
    now = timezone.now()
    if token.last_used_at is None:
        _record_first_use(token, now)
    elif now - token.last_used_at > _TOUCH_EVERY:
        AccessToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def _record_first_use(token: AccessToken, now: datetime) -> None:
    with transaction.atomic():
        unused = AccessToken.objects.filter(pk=token.pk, last_used_at=None)
        if unused.update(last_used_at=now):
            events.record(
                actor=token.user,
                verb="token_first_used",
                about=token.user,
                subject=token.name,
                id=token.pk,
            )


def _expired(at: datetime) -> TokenExpired:
    text = _(
        "This access token expired on %(day)s. Create a new one on the site under “Access tokens”."
    )
    return TokenExpired(text % {"day": f"{at:%Y-%m-%d}"}, expired_at=at.isoformat())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
