"""edit."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint
from lorary.cli.commands.adapters.push import KINDS
from lorary.cli.output.text import emit, note, plain, show
from lorary.cli.references import on_hub
from lorary.client.cards import read_text, split_front_matter
from lorary.client.models import RATINGS, VISIBILITIES

_FIELDS = ("title", "summary", "kind", "tags", "rating", "licence", "visibility", "name")


def _configure(parser: Parser) -> None:
    parser.add_argument("adapter", metavar="OWNER/NAME", help="the adapter")
    parser.add_argument("--title", help="the title")
    parser.add_argument("--summary", help="one or two sentences")
    parser.add_argument("--card", metavar="FILE", help="the text of its page (Markdown)")
    parser.add_argument("--kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument(
        "--tag",
        action="append",
        dest="tags",
        metavar="TAG",
        help='a tag; repeat it for several, which replace all tags; "" removes them',
    )
    parser.add_argument("--rating", choices=RATINGS, metavar="RATING", help=", ".join(RATINGS))
    parser.add_argument("--licence", metavar="ID", help="the licence, such as cc-by-4.0")
    parser.add_argument("--visibility", choices=VISIBILITIES, help="who can see it")
    parser.add_argument(
        "--rename", dest="name", metavar="NAME", help="the new name; the old one leads to it"
    )
    add_endpoint(parser)


def _edit(args: Namespace) -> int:
    reference = on_hub(args, args.adapter)
    fields = {name: value for name in _FIELDS if (value := getattr(args, name)) is not None}
    if args.tags is not None:
        fields["tags"] = [tag for tag in args.tags if tag]
    if args.card is not None:
        fields["card"] = read_card(args.card)
    if not fields:
        message = "say what to change: --title, --summary, --card, --kind, --tag, --rating, …"
        raise UsageError(message)
    with client.Hub(args.endpoint) as hub:
        adapter = hub.edit(reference, **fields)
    if args.json:
        emit({"adapter": adapter.full_name, **adapter.data})
    else:
        show(plain(adapter.url))
    return 0


def read_card(place: str) -> str:
    """Return the text of a page from a file; the front matter is left out, with a note."""
    matter, card = split_front_matter(read_text(Path(place)))
    if matter:
        note(f"lorary: the front matter of {plain(place)} is left out; use --title, --tag, …")
    return card


COMMANDS = {
    "edit": Command(
        "Change the title, the text of the page or other fields of an adapter. What is not given\n"
        "stays. Versions never change; lorary push publishes another one.",
        '  lorary edit studio/noir --title "Film noir" --summary "Hard light and deep shadows."\n'
        "  lorary edit studio/noir --card README.md --tag film --tag monochrome\n"
        "  lorary edit studio/noir --rename film-noir",
        _configure,
        _edit,
    ),
}
