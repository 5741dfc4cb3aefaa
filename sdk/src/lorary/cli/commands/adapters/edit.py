"""edit."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint
from lorary.cli.commands.adapters.push import KINDS
from lorary.cli.filters import family_id, refused_filters
from lorary.cli.output.text import emit, note, plain, show
from lorary.cli.references import on_hub
from lorary.client.cards import read_text, split_front_matter
from lorary.client.models import RATINGS, VISIBILITIES

_FIELDS = ("title", "summary", "card", "kind", "tags", "rating", "licence", "visibility", "name")
_OF_VERSION = (
    "trigger_words", "optional_trigger_words", "family", "lineage", "label", "notes", "strength",
)  # fmt: skip


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "adapter", metavar="OWNER/NAME[@VERSION]", help="the adapter, or a version of it"
    )
    parser.add_argument("--title", help="the title")
    parser.add_argument("--summary", help="one or two sentences")
    parser.add_argument("--card", metavar="FILE", help="a Markdown file with the text of its page")
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
    _configure_version(parser)
    add_endpoint(parser)


def _configure_version(parser: Parser) -> None:
    for name, what in (
        ("trigger", "a trigger phrase"),
        ("optional-trigger", "an optional trigger phrase"),
    ):
        parser.add_argument(
            f"--{name}",
            action="append",
            dest=f"{name.replace('-', '_')}_words",
            metavar="PHRASE",
            help=f'of a version: {what}; repeat it for several, which replace all; "" removes them',
        )
    parser.add_argument(
        "--family", help="of a version: its base model, if the file does not prove it"
    )
    parser.add_argument("--lineage", help="of a version: the checkpoint that it was trained on")
    parser.add_argument("--label", help="of a version: its short name")
    parser.add_argument("--notes", help="of a version: what is new in it")
    parser.add_argument("--strength", type=float, help="of a version: the recommended strength")


def _edit(args: Namespace) -> int:
    reference = client.Reference.parse(on_hub(args, args.adapter))
    given = {
        name: value
        for name in (*_FIELDS, *_OF_VERSION)
        if (value := getattr(args, name)) is not None
    }
    others = {*given} & {*(_FIELDS if reference.rev else _OF_VERSION)}
    of_version = "--trigger, --optional-trigger, --family, --lineage, --label, --notes, --strength"
    if others:
        message = (
            f"{of_version} need a version (OWNER/NAME@v1); the other options need an adapter "
            "without one"
        )
        raise UsageError(message)
    if not given:
        of_adapter = "--title, --summary, --card, --kind, --tag, --rating, …"
        message = f"say what to change: {of_version if reference.rev else of_adapter}"
        raise UsageError(message)
    for name in ("tags", "trigger_words", "optional_trigger_words"):
        if name in given:
            given[name] = [text for text in given[name] if text]
    if args.card is not None:
        given["card"] = read_card(args.card)
    with client.Hub(args.endpoint) as hub:
        if reference.rev:
            with refused_filters(args.family or ""):
                given |= {"family": family_id(args.family)} if args.family else {}
                version = hub.edit_version(reference, **given)
            document, url = {"version": version.name, **version.data}, version.url
        else:
            adapter = hub.edit(reference, **given)
            document, url = {"adapter": adapter.full_name, **adapter.data}, adapter.url
    if args.json:
        emit(document)
    else:
        show(plain(url))
    return 0


def read_card(place: str) -> str:
    """Return the text of a page from a file; the front matter is left out, with a note."""
    matter, card = split_front_matter(read_text(Path(place)))
    if matter:
        note(f"lorary: the front matter of {plain(place)} is left out; use --title, --tag, …")
    return card


COMMANDS = {
    "edit": Command(
        "Change the title, the text of the page or other fields of an adapter, or the trigger\n"
        "words and other details of a version. Fields that you do not give stay as they are.\n"
        "The files of a version never change; lorary push publishes another version.",
        '  lorary edit studio/noir --title "Film noir" --summary "Hard light and deep shadows."\n'
        "  lorary edit studio/noir --card README.md --tag film --tag monochrome\n"
        "  lorary edit studio/noir --rename film-noir\n"
        '  lorary edit studio/noir@v1 --trigger "film noir" --strength 0.8',
        _configure,
        _edit,
    ),
}
