"""References as people write them: ``work:owner/name``, or the address of a page of the hub."""

from __future__ import annotations

from argparse import Namespace
from contextlib import suppress
from urllib.parse import parse_qs, unquote, urlsplit

from lorary import client
from lorary.cli.command import UsageError
from lorary.client.errors import LoraryError, NotFound
from lorary.client.names import split_hub
from lorary.client.packs import PREFIX

_PAGES = ("http://", "https://")


def on_hub(args: Namespace, reference: str) -> str:
    """Return a reference without the name of its hub, which becomes that of the command.

    Raises:
        UsageError: the command has another hub already, or the reference is the address of a page
            of another hub.
    """
    name, rest = split_hub(reference)
    if name and args.endpoint not in {None, name}:
        message = f"use “{name}:” or --endpoint, not both"
        raise UsageError(message)
    args.endpoint = name or args.endpoint
    return rest


def from_page(args: Namespace, text: str) -> str:
    """Return the reference that the address of a page stands for; other texts as they are.

    Raises:
        UsageError: the page is of another hub, or not of an adapter or a pack.
    """
    if not text.lower().startswith(_PAGES):
        return text
    from lorary.client.config import endpoint_of, home_of  # noqa: PLC0415 - not for help

    endpoint = endpoint_of(home_of(), args.endpoint)
    if not text.startswith(f"{endpoint}/"):
        message = (
            f"“{text[:200]}” is not a page of {endpoint}, the hub in use. For another hub, write "
            "owner/name and --endpoint URL, or name the hub (see lorary hub --help)"
        )
        raise UsageError(message)
    page = urlsplit(text.removeprefix(f"{endpoint}/"))
    words = unquote(page.path).strip("/").split("/")
    prefix = PREFIX if len(words) == 3 and words[0] == "packs" else ""
    owner_and_name = words[1:] if prefix else words
    if len(owner_and_name) != 2:
        message = f"“{text[:200]}” is not the page of an adapter or a pack: write owner/name"
        raise UsageError(message)
    version = parse_qs(page.query).get("v", [""])[0]
    return f"{prefix}{'/'.join(owner_and_name)}{'@' if version else ''}{version}"


def name_pack(hub: client.Hub, reference: str, error: LoraryError) -> LoraryError:
    """Return the error, which says so if a pack has the name of an adapter that was not found."""
    if not isinstance(error, NotFound) or reference.startswith(PREFIX):
        return error
    with suppress(LoraryError):
        pack = hub.pack(client.Reference.parse(reference.partition("@")[0]))
        error.detail += f" A pack has this name: lorary pull {PREFIX}{pack.full_name}"
    return error
