"""The append-only audit log of changes and accesses.

An event names its request or worker, by ``registry.log_context``. Everything else is a command.
"""

from __future__ import annotations

import os
import pwd
import re
from functools import cache
from itertools import chain
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from registry import log_context
from registry.models import Adapter, Event, EventAddress, Pack, Source, User

#: What can happen, by the kind of object; ``docs/audit.md`` explains each.
VERBS: dict[str, tuple[str, ...]] = {
    "account": (
        "user_created", "signed_in", "sign_in_failed", "signed_out", "password_changed",
        "content_rating_set", "staff_added", "staff_removed", "quota_set", "account_disabled",
        "account_enabled", "account_deleted", "account_exported", "second_factor_added",
        "second_factor_removed", "recovery_code_used", "recovery_codes_renewed",
        "organisation_created", "member_set", "member_removed",
    ),
    "token": (
        "token_issued", "token_first_used", "token_revoked", "tokens_revoked",
        "device_login_requested", "device_login_allowed", "device_login_denied",
    ),
    "adapter": (
        "adapter_created", "adapter_updated", "adapter_renamed", "adapter_permissions_changed",
        "adapter_transferred", "adapter_blocked", "adapter_unblocked", "adapter_withdrawn",
        "file_downloaded", "revision_committed", "alias_moved",
        "alias_removed", "cover_chosen", "cover_automatic", "prompts_changed", "prompts_reset",
    ),
    "version": (
        "version_drafted", "version_discarded", "version_published", "version_edited",
        "version_yanked", "version_restored", "version_withdrawn", "derived_file_requested",
        "comparison_requested",
        "render_requested", "picture_rated", "sample_added", "sample_edited", "sample_removed",
    ),
    "pack": (
        "pack_created", "pack_updated", "pack_renamed", "pack_permissions_changed",
        "pack_transferred", "pack_blocked", "pack_unblocked", "pack_withdrawn",
        "pack_version_published", "pack_version_yanked",
        "pack_version_restored", "pack_version_withdrawn", "pack_alias_moved",
        "pack_alias_removed", "sheet_requested",
    ),
    "try-out": ("tryout_created", "tryout_shared", "tryout_unshared", "tryout_removed"),
    "upload": (
        "upload_created", "upload_received", "upload_accepted", "upload_refused",
        "upload_cancelled",
    ),
    "operation": (
        "worker_state_requested", "job_cancelled", "job_retried", "checkpoints_imported",
        "checkpoints_removed", "files_reinspected", "files_rehashed", "files_mended",
        "rerendered", "store_moved", "swept", "backup_made", "backup_failed",
        "backup_restored",
    ),
    "audit log": ("audit_exported", "audit_pruned", "audit_days_set", "audit_addresses_erased"),
}  # fmt: skip
_KNOWN = frozenset(chain.from_iterable(VERBS.values()))

#: A name of a user, also that of a directory such as ``ada@studio.example``.
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]{0,63}")


@cache
def _system_user() -> str:
    """Return the user of the operating system who runs this process, and who called sudo for it.

    Both are what the caller's machine says: whoever can run commands of a hub can set SUDO_USER.
    """
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # containers run as users without an entry
        name = f"uid {os.getuid()}"
    caller = os.environ.get("SUDO_USER", "")
    is_other = caller != name and _USER.fullmatch(caller)
    return f"{name} ({caller})" if is_other else name


def record(
    *,
    actor: User | AnonymousUser | None,
    verb: str,
    about: Adapter | Pack | User | None = None,
    subject: str = "",
    **facts: Any,  # noqa: ANN401 - JSON
) -> Event:
    """Write one event; call it inside the transaction of the change that it describes.

    Args:
        actor: The account that acts; anonymous or None for nobody.
        verb: What happened, one of ``VERBS``.
        about: The object.
        subject: Part of the object, or an object of another kind. Not the name of an account: its
            id stays when the account is deleted, its name must not.
        **facts: What else is worth knowing, without secrets.
    """
    if verb not in _KNOWN:
        message = f"{verb!r} is not in VERBS"
        raise ValueError(message)
    account = actor if isinstance(actor, User) else None
    used = account.access_token if account is not None else None
    context = log_context.current()
    with transaction.atomic(savepoint=False):
        event = Event.objects.create(
            verb=verb,
            actor=account,
            token=used.pk if used is not None else None,
            adapter=about if isinstance(about, Adapter) else None,
            pack=about if isinstance(about, Pack) else None,
            user=about if isinstance(about, User) else None,
            subject=subject[:120],
            facts=facts,
            source=context.source or Source.COMMAND,
            source_name=(context.worker if context.source else _system_user())[:120],
            request_id=context.request_id,
        )
        if context.address:
            EventAddress.objects.create(event=event, address=context.address[:64])
    return event
