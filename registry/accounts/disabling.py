"""Disables accounts, and enables them again.

A disabled account is signed out everywhere: its sessions and device logins end, its tokens are
revoked, its open uploads and jobs are cancelled. What it published stays as it is. The reason is
shown to administrators only.
"""

from __future__ import annotations

import logging

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core import signing
from django.db import transaction
from django.utils import timezone

from registry import events
from registry.accounts import permissions
from registry.accounts.quotas import OPEN_STATES
from registry.errors import LoraryError
from registry.hooks import account_disabled
from registry.models import User
from registry.tokens import services as tokens
from registry.uploads import services as uploads
from registry.versions.latest import checked_reason

log = logging.getLogger(__name__)


def disable(*, actor: User | None, user: User, reason: str) -> bool:
    """Disable an account; return whether it was enabled before.

    Args:
        actor: The operator; None on the command line.
        user: The account.
        reason: For administrators, at most ``MAX_REASON`` characters.

    Raises:
        NotFound, ScopeMissing, Invalid, StateConflict: see ``permissions.require_operator_over``.
    """
    permissions.require_operator_over(actor, user)
    text = checked_reason(reason)
    with transaction.atomic():
        rows = User.objects.filter(pk=user.pk, is_active=True)
        is_new = bool(rows.update(is_active=False, disabled_reason=text))
        if is_new:
            events.record(actor=actor, verb="account_disabled", about=user, reason=text)
            tokens.revoke_all_of(actor=actor, user=user)
    user.refresh_from_db(fields=["is_active", "disabled_reason"])
    stop_work(user, user.username)  # also of an account that is disabled already: it can fail
    return is_new


def enable(*, actor: User | None, user: User) -> bool:
    """Enable an account; return whether it was disabled before. Its user signs in again.

    Raises:
        NotFound, ScopeMissing, Invalid, StateConflict: see ``permissions.require_operator_over``.
    """
    permissions.require_operator_over(actor, user)
    with transaction.atomic():
        rows = User.objects.filter(pk=user.pk, is_active=False)
        if not rows.update(is_active=True, disabled_reason=""):
            return False
        events.record(actor=actor, verb="account_enabled", about=user)
    user.refresh_from_db(fields=["is_active", "disabled_reason"])
    return True


def stop_work(user: User, owner: str) -> None:
    """End the sessions, uploads and jobs of an account that can no longer sign in.

    Call it after the commit: the files of uploads are deleted, which cannot be rolled back.

    Args:
        user: The account.
        owner: Its name, by which jobs know it; a deletion has changed that of the row.
    """
    end_sessions(user)
    for upload in user.uploads.filter(state__in=OPEN_STATES):
        try:
            uploads.cancel(actor=user, upload=upload)
        except LoraryError as error:  # such as a store that is away; uploads expire anyway
            log.warning("upload %s of a disabled account was not cancelled: %s", upload.pk, error)
    account_disabled.send_robust(sender=User, owner=owner)


def end_sessions(user: User) -> int:
    """Delete the sessions of a user; return their number.

    Sessions of a disabled account are refused at once; this keeps them from being accepted when it
    is enabled again. Only the decoded rows say whose they are, so all of them are read.
    """
    rows = Session.objects.filter(expire_date__gt=timezone.now())
    found = [row.pk for row in rows.iterator() if _user_id(row) == str(user.pk)]
    return Session.objects.filter(pk__in=found).delete()[0]


def _user_id(session: Session) -> str:
    """Return the user id of a session; "" if it was signed with an earlier secret key.

    ``get_decoded`` would log a warning for each of those.
    """
    store = SessionStore()
    try:
        data = signing.loads(session.session_data, salt=store.key_salt, serializer=store.serializer)
    except signing.BadSignature:
        return ""
    return str(data.get(SESSION_KEY, ""))
