"""uploads."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint, add_limit
from lorary.cli.output.text import emit, note, plain, share_of_bytes, show, table
from lorary.client.errors import NotFound
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.client import Holder, Upload

_DEFAULT = 50
OPEN = ("receiving", "checking")
"""States of unfinished uploads."""

_NEXT = {
    "receiving": "push it again to resume",
    "checking": "wait for its checks",
    "accepted": "push it again to publish it",
    "refused": "see its findings with --json",
    "expired": "push it again to start over",
    "cancelled": "-",
}


def _configure(parser: Parser) -> None:
    parser.add_argument("verb", nargs="?", choices=["cancel"], help="default: list")
    parser.add_argument("ids", nargs="*", metavar="ID", help="uploads to cancel")
    parser.add_argument(
        "--all-open", action="store_true", help="cancel or list all unfinished uploads"
    )
    add_limit(parser, _DEFAULT)
    add_endpoint(parser)


def _uploads(args: Namespace) -> int:
    with client.Hub(args.endpoint) as hub:
        if args.verb == "cancel":
            return _cancel(hub, args)
        limit = None if args.all_open else args.limit or None
        found = [one for one in hub.uploads(limit) if not args.all_open or one.state in OPEN]
    if args.json:
        for upload in found:
            emit(_document(upload))
    else:
        _show(found, args.limit)
    return 0


def _cancel(hub: client.Hub, args: Namespace) -> int:
    if bool(args.ids) == args.all_open:
        message = "specify the ids of the uploads to cancel, or --all-open"
        raise UsageError(message)
    names: dict[str, str] = dict.fromkeys(args.ids, "")
    if args.all_open:
        names = {one.id: one.path for one in hub.uploads() if one.state in OPEN}
    for number, path in names.items():
        try:
            hub.cancel_upload(number)
        except NotFound as error:
            message = f"You have no upload “{number}”; lorary uploads lists them."
            raise NotFound(message) from error
        if args.json:
            emit({"id": number, "state": "cancelled"})
        else:
            show(f"Cancelled {plain(path or number)}.")
    if not names:
        note("lorary: no upload is open")
    return 0


def _document(upload: Upload) -> dict[str, object]:
    return {
        "id": upload.id,
        "path": upload.path,
        "size": upload.size_bytes,
        "received": upload.received_bytes,
        "state": upload.state,
        "sha256": upload.sha256 or None,
        "created_at": upload.created_at,
        "expires_at": upload.expires_at,
        "version": _held(upload.version),
        "adapter": upload.adapter or None,
        "findings": [found.to_dict() for found in upload.findings],
    }


def _held(version: Holder | None) -> dict[str, str] | None:
    if version is None:
        return None
    return {
        "adapter": version.adapter,
        "version": version.name,
        "state": version.state,
        "url": version.url,
    }


def _show(found: Sequence[Upload], limit: int) -> None:
    if not found:
        note("lorary: no uploads")
        return
    show(table([_row(upload) for upload in found]))
    if len(found) == limit:
        note(f"lorary: these are the newest {limit:,}; --limit 0 shows all")


def _row(upload: Upload) -> list[str]:
    state, size = upload.state, count_bytes(upload.size_bytes)
    if state == "receiving":
        size = share_of_bytes(upload.received_bytes, upload.size_bytes)
        state = f"{state} until {upload.expires_at[:10]}"
    errors = [one.message for one in upload.findings if one.severity == "error"]
    what = errors[0] if errors else _next(upload)
    return [upload.id, upload.path, state, size, what]


def _next(upload: Upload) -> str:
    version = upload.version
    if version is not None:
        return f"{version.state}: {version.adapter}@{version.name}"
    if upload.adapter:
        return f"committed: {upload.adapter}"
    return _NEXT.get(upload.state, "-")


COMMANDS = {
    "uploads": Command(
        "List your uploads, newest first, with the next step; or cancel some. The received\n"
        "bytes of cancelled uploads are deleted; published files stay.",
        "  lorary uploads\n"
        "  lorary uploads cancel 3f0e6c0a-2a76-4d5c-9d53-0f6f3b2f9d11\n"
        "  lorary uploads cancel --all-open --json",
        _configure,
        _uploads,
    ),
}
