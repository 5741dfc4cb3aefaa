"""``manage.py user``: lists and creates accounts, and changes, exports and deletes them."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from getpass import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from hub.config import parse_quota
from hub.management.progress import Help
from hub.plurals import counted
from hub.setting_checks import TAG
from registry.accounts import (
    deletion,
    disabling,
    export,
    quotas,
    second_factor,
    selectors,
    transfer,
    users,
)
from registry.adapters.selectors import namespace as namespace_named
from registry.errors import LoraryError, Moved, NotFound, StateConflict
from registry.local_files import FILE
from registry.models import Namespace, User
from registry.tokens import selectors as token_selectors
from registry.tokens import services as tokens

EPILOG = """\
`create` asks for the password of the new account twice; --password-stdin reads it from
the first line of the input instead. It works on hubs without sign-up, too.

A disabled account is signed out everywhere, its tokens are revoked, and its uploads and
jobs are cancelled; what it published stays readable. `enable` lets its user sign in
again. The only active administrator is disabled after a warning, if its name is entered
or --yes is passed. Administrators can open /operator and /admin; their programs need a
token with the scope admin. SIZE is a number of bytes such as 200GB, "none" for no limit, or
"default" for LORARY_QUOTA_BYTES; `quota` also takes an organisation.

`transfer` moves all adapters and packs of an account, which may be disabled, to another
owner: a user or an organisation. Old addresses redirect, and versions keep their author.

`delete` replaces the name with deleted-ID and deletes the e-mail address; published
versions and events then show deleted-ID as their author. An account that owns adapters or
packs is deleted only with --transfer-to, or with --with-adapters, which withdraws them
permanently. The old name stays reserved. `export` writes everything that the hub stores
about the account as JSON, without secrets.

Exit code 1: there is no such account, or the change is refused.

Examples:
  manage.py user create ada --staff
  manage.py user list --staff
  manage.py user disable ada --reason "Stolen password"
  manage.py user transfer ada --to studio
  manage.py user delete ada --transfer-to studio
"""

ACTIONS = {
    "list": "list accounts: name, state, last sign-in",
    "create": "create an account that signs in with a password",
    "show": "show one account with its quota",
    "disable": "sign an account out everywhere and block further sign-ins",
    "enable": "enable a disabled account again",
    "staff": "make a user an administrator, or with --remove an ordinary user",
    "quota": "show or set a quota; without NAME, list owners above their quota",
    "revoke-tokens": "revoke all access tokens",
    "reset-totp": "remove the second factor of an administrator",
    "transfer": "move an account's adapters and packs to another owner",
    "delete": "delete an account",
    "export": "write what is stored about an account",
}
#: Actions that work without a name.
_WITHOUT_NAME = ("list", "quota")


class Command(BaseCommand):
    help = "List accounts; create, disable, enable, change, export or delete one."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for action, text in ACTIONS.items():
            whole = f"{text[0].upper()}{text[1:]}."
            sub = actions.add_parser(action, help=text, description=whole)
            if action != "list":
                nargs = "?" if action in _WITHOUT_NAME else None
                sub.add_argument("name", nargs=nargs, default="", metavar="NAME", help="a user")
            if action not in {"export", "delete"}:
                sub.add_argument("--json", action="store_true", help="one line of JSON")
            if add := _ADDED.get(action):
                add(sub)

    def handle(self, *_args: str, **options: Any) -> None:
        """Run the action and print its result."""
        action = options["action"]
        try:
            if action == "list":
                rows = selectors.listing(words=options["search"], state=options["state"])
                rows = rows.prefetch_related("namespace__names")
                self._print([_document(user) for user in rows], options, "users")
            elif action == "quota":
                self._quota(options)
            elif action == "create":
                self._create(options)
            else:
                self._one(action, selectors.named(options["name"]), options)
        except LoraryError as error:
            raise CommandError(str(error.detail)) from error

    def _one(self, action: str, user: User, options: dict[str, Any]) -> None:
        if action == "export":
            self._export(user, options["to"])
        elif action == "delete":
            self._delete(user, options)
        elif action == "transfer":
            self._transfer(user, options)
        elif action == "show":
            # What a deleted account uploaded counts for the new owner, or is swept.
            usage = {} if user.deleted_at else _usage(user.namespace)
            self._print([_document(user) | usage], options, "users")
        else:
            if action == "disable" and not options["yes"]:
                self._confirm_last(user)
            sentence, is_changed = _change(action, user, options)
            if options["json"]:
                sentence = _json({"changed": is_changed, "user": _document(user)})
            self.stdout.write(sentence)

    def _create(self, options: dict[str, Any]) -> None:
        name = options["name"]
        if faults := users.name_faults(name):
            raise CommandError(" ".join(faults))  # before it asks for a password
        password = _first_line() if options["password_stdin"] else _new_password(name)
        with transaction.atomic():
            user = users.create_with_password(name=name, email=options["email"], password=password)
            if options["staff"]:
                users.set_staff(actor=None, user=user, is_staff=True)
        role = ", an administrator" if options["staff"] else ""
        sentence = f"{user.username} was created{role}."
        self.stdout.write(_json({"user": _document(user)}) if options["json"] else sentence)

    def _quota(self, options: dict[str, Any]) -> None:
        if not options["name"]:
            rows = [_usage(one) for one in Namespace.objects.order_by("key")]
            above = [row for row in rows if row["quota_bytes"] is not None]
            above = [row for row in above if row["used_bytes"] > row["quota_bytes"]]
            self._print(above, options, "namespaces")
            return
        namespace = _namespace(options["name"])
        if options["size"]:
            quotas.set_limit(namespace=namespace, quota_bytes=_size(options["size"]))
        self._print([_usage(namespace)], options, "namespaces")

    def _print(self, rows: list[dict[str, Any]], options: dict[str, Any], noun: str) -> None:
        if options["json"]:
            self.stdout.write(_json({noun: rows}))
        else:
            none = "No owner is above its quota." if noun == "namespaces" else "There are no users."
            self.stdout.write("\n".join(map(_line, rows)) or none)

    def _export(self, user: User, path: str) -> None:
        if not path:
            self.stdout.write(_exported(user))
            return
        try:
            # Opened first: an export that cannot be written must not be an event.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(f"{_exported(user)}\n")
        except OSError as error:
            message = f"{path} cannot be written: {error.strerror}"
            raise CommandError(message) from error
        self.stdout.write(f"Written to {path}.")

    def _confirm_last(self, user: User) -> None:
        """Have the name entered if nobody else could open the operator's pages."""
        staff = User.objects.filter(is_staff=True, is_active=True)
        if user in staff and not staff.exclude(pk=user.pk).exists():
            self.stderr.write(
                f"{user.username} is the only active administrator. Nobody can open /operator "
                "until you add another one. Enter the name to confirm:"
            )
            if _answer() != user.username:
                message = "Nothing was changed."
                raise CommandError(message)

    def _transfer(self, user: User, options: dict[str, Any]) -> None:
        target = _namespace(options["to"])
        count = transfer.transfer_account(actor=None, user=user, target=target)
        facts = {"transferred": count, "to": target.name, "user": _document(user)}
        sentence = f"Adapters and packs of {user.username} moved to {target.name}: {count:,}."
        self.stdout.write(_json(facts) if options["json"] else sentence)

    def _delete(self, user: User, options: dict[str, Any]) -> None:
        target = _namespace(options["transfer_to"]) if options["transfer_to"] else None
        name = user.username
        if not options["yes"]:
            self.stdout.write(f"This deletes {name} permanently. Enter the name to confirm:")
            if _answer() != name:
                message = "Nothing was deleted."
                raise CommandError(message)
        try:
            deletion.delete(
                actor=None, user=user, transfer_to=target, with_adapters=options["with_adapters"]
            )
        except StateConflict as error:
            message = str(error.detail)
            if error.facts.get("state") == "owner":
                message += " Pass --transfer-to OWNER or --with-adapters."
            raise CommandError(message) from error
        self.stdout.write(f"{name} was deleted; it is {user.username} now.")


def _add_list(parser: ArgumentParser) -> None:
    parser.add_argument("--search", default="", metavar="TEXT", help="part of name or e-mail")
    states = parser.add_mutually_exclusive_group()
    for state in selectors.STATES:
        states.add_argument(f"--{state}", dest="state", action="store_const", const=state)
    parser.set_defaults(state="")


def _add_create(parser: ArgumentParser) -> None:
    parser.add_argument("--email", default="", metavar="ADDRESS", help="e-mail address")
    parser.add_argument("--staff", action="store_true", help="make the user an administrator")
    parser.add_argument(
        "--password-stdin", action="store_true", help="read the password from the input"
    )


def _add_disable(parser: ArgumentParser) -> None:
    parser.add_argument("--reason", required=True, help="reason, for administrators only")
    parser.add_argument(
        "--yes", action="store_true", help="do not ask, even for the only administrator"
    )


def _add_delete(parser: ArgumentParser) -> None:
    fate = parser.add_mutually_exclusive_group()
    fate.add_argument("--transfer-to", default="", metavar="OWNER", help="who gets its adapters")
    fate.add_argument("--with-adapters", action="store_true", help="withdraw its adapters")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")


_ADDED: dict[str, Callable[[ArgumentParser], object]] = {
    "list": _add_list,
    "create": _add_create,
    "delete": _add_delete,
    "transfer": lambda parser: parser.add_argument(
        "--to", required=True, metavar="OWNER", help="the new owner"
    ),
    "disable": _add_disable,
    "staff": lambda parser: parser.add_argument(
        "--remove", action="store_true", help="make NAME an ordinary user again"
    ),
    "quota": lambda parser: parser.add_argument(
        "size", nargs="?", default="", metavar="SIZE", help="the new quota"
    ),
    "export": lambda parser: parser.add_argument(
        "--to", default="", metavar="FILE", help="write to a file instead of the output"
    ),
}


def _change(action: str, user: User, options: dict[str, Any]) -> tuple[str, bool]:
    """Run an action on one account; return a sentence, and whether anything changed."""
    name = user.username
    if action == "disable":
        count = token_selectors.count_live(user)
        is_changed = disabling.disable(actor=None, user=user, reason=options["reason"])
        revoked = f"; {counted(count, 'access token')} revoked" if is_changed else " already"
        return f"{name} is disabled{revoked}.", is_changed
    if action == "enable":
        is_changed = disabling.enable(actor=None, user=user)
        return f"{name} is enabled{'' if is_changed else ' already'}.", is_changed
    if action == "revoke-tokens":
        count = tokens.revoke_all_of(actor=None, user=user)
        return f"{counted(count, 'token')} of {name} revoked.", bool(count)
    if action == "reset-totp":
        is_changed = second_factor.reset(actor=None, user=user)
        was = "was removed" if is_changed else "was not set up"
        return f"The second factor of {name} {was}.", is_changed
    is_staff = not options["remove"]
    is_changed = users.set_staff(actor=None, user=user, is_staff=is_staff)
    if is_staff:
        return f"{name} is an administrator {'now' if is_changed else 'already'}.", is_changed
    return f"{name} is not an administrator{' any more' if is_changed else ''}.", is_changed


def _document(user: User) -> dict[str, Any]:
    return {
        "name": user.username,
        "email": user.email,
        "is_active": user.is_active,
        "is_staff": user.is_staff,
        "disabled_reason": user.disabled_reason,
        "deleted_at": user.deleted_at,
        "former_names": _former_names(user) if user.deleted_at else [],
        "created_at": user.date_joined,
        "last_signed_in": user.last_login,
    }


def _former_names(user: User) -> list[str]:
    names = sorted(user.namespace.names.all(), key=lambda one: one.pk)
    return [one.key for one in names if one.key != user.namespace.key]


def _usage(namespace: Namespace) -> dict[str, Any]:
    return {
        "name": namespace.name,
        "used_bytes": quotas.used_by(namespace),
        "quota_bytes": quotas.limit_of(namespace),
        "is_default": namespace.quota_bytes is None,
    }


def _line(row: dict[str, Any]) -> str:
    parts = []
    if "is_active" in row:
        at = row["last_signed_in"]
        if not row["deleted_at"]:  # a deletion removes the time
            parts.append(f"signed in {at:%Y-%m-%d}" if at else "never signed in")
        parts += ["administrator"] if row["is_staff"] else []
        if row["deleted_at"]:
            parts.append(f"deleted {row['deleted_at']:%Y-%m-%d}")
            parts.append(f"was {', '.join(row['former_names'])}")
        elif not row["is_active"]:
            parts.append(f"disabled: {row['disabled_reason'] or 'no reason given'}")
    if "used_bytes" in row:
        limit = "no limit" if row["quota_bytes"] is None else f"{row['quota_bytes']:,} bytes"
        default = ", the hub's default" if row["is_default"] else ""
        parts.append(f"uses {row['used_bytes']:,} bytes; its quota is {limit}{default}")
    return f"{row['name']}  {', '.join(parts)}"


def _namespace(name: str) -> Namespace:
    try:
        return namespace_named(name)
    except Moved as error:
        message = f"{name!r} is {error.facts['full_name']!r} now."
        raise CommandError(message) from error
    except NotFound as error:
        raise CommandError(str(error.detail)) from error


def _size(text: str) -> int | None:
    try:
        return parse_quota(text)
    except ValueError as error:
        message = f"{error}, none or default."
        raise CommandError(message) from error


def _exported(user: User) -> str:
    return json.dumps(export.export(actor=None, user=user), cls=DjangoJSONEncoder, indent=1)


def _new_password(name: str) -> str:
    """Ask for a password twice."""
    if not sys.stdin.isatty():
        message = "There is no terminal to ask for the password. Pass it with --password-stdin."
        raise CommandError(message)
    password = getpass(f"Password of {name}: ")
    if getpass("The same password again: ") != password:
        message = "The passwords differ. Nothing was created."
        raise CommandError(message)
    return password


def _first_line() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _answer() -> str:
    """Return a line of the terminal; "" at its end."""
    try:
        return input().strip()
    except EOFError:
        return ""


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, cls=DjangoJSONEncoder)
