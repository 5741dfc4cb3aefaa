"""search, info, versions."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint, add_limit
from lorary.cli.commands.adapters.curation import note_main
from lorary.cli.filters import family_id, refused_filters
from lorary.cli.output import strengths
from lorary.cli.output.text import emit, finding_lines, note, pairs, plain, show, strong, table
from lorary.cli.references import from_page, name_pack, on_hub
from lorary.client.cards import card_text
from lorary.client.errors import NotFound
from lorary.client.models import RATINGS
from lorary.client.packs import PREFIX
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.client import Adapter, Version

_LIMIT = 50
#: Lines and characters of a card: the page has the rest.
_CARD_LINES = 5
_MOST_CARD = 500


def _configure_search(parser: Parser) -> None:
    parser.add_argument("query", nargs="*", metavar="WORD", help="words to search for")
    parser.add_argument("--family", default="", help="base-model family, such as sdxl")
    parser.add_argument("--kind", default="", help="style, character, concept, …")
    parser.add_argument(
        "--tag", action="append", default=[], help="a tag; repeat it to require several"
    )
    parser.add_argument("--owner", default="", help="a user or an organisation")
    orders = ["relevance", "new", "updated", "downloads"]
    parser.add_argument("--max-rating", default="", choices=RATINGS, help="highest content rating")
    parser.add_argument("--sort", default="", choices=orders, help="sort order")
    add_limit(parser, _LIMIT)
    add_endpoint(parser)


def _search(args: Namespace) -> int:
    family = family_id(args.family)
    with client.Hub(args.endpoint) as hub, refused_filters(args.family):
        found = hub.search(
            " ".join(args.query),
            family=family,
            kind=args.kind,
            tag=args.tag,
            owner=args.owner,
            sort=args.sort,
            max_rating=args.max_rating,
            limit=args.limit + 1 if args.limit else None,
        )
        shown = islice(found, args.limit or None)
        if args.json:
            for adapter in shown:
                emit(_line_of(adapter))
        adapters = list(shown)  # none with --json
        if found.corrected:  # known only now
            words = " ".join(args.query)
            note(f"lorary: nothing matches “{words}”: searched for “{found.corrected}” instead")
        if not args.json:
            _show_adapters(adapters, args)
        if args.limit and next(found, None) is not None:
            note(f"lorary: there are more than {args.limit}; --limit 0 shows all")
    return 0


def _line_of(adapter: Adapter) -> dict[str, object]:
    return {"adapter": adapter.full_name, **adapter.data}


def _show_adapters(adapters: list[Adapter], args: Namespace) -> None:
    if not adapters:
        is_long = len(" ".join(args.query).split()) > 1
        note(f"lorary: nothing found{'; try fewer words' if is_long else ''}")
        return
    rows = [
        [
            adapter.full_name,
            adapter.latest_version or "-",
            adapter.family or "-",
            adapter.kind,
            f"{adapter.downloads:,}",
            " · ".join(adapter.trigger_words) or "-",
        ]
        for adapter in adapters
    ]
    show(table([["ADAPTER", "LATEST", "FAMILY", "KIND", "DOWNLOADS", "WORDS"], *rows]))


def _configure_reference(parser: Parser) -> None:
    parser.add_argument(
        "reference", metavar="OWNER/NAME[@VERSION]", help="v3, an alias or a revision after the @"
    )
    add_endpoint(parser)


def _info(args: Namespace) -> int:
    named = on_hub(args, from_page(args, args.reference))
    if named.startswith(PREFIX):
        message = f"for a pack, use lorary pack show {named.removeprefix(PREFIX)}"
        raise UsageError(message)
    reference = client.Reference.parse(named)
    with client.Hub(args.endpoint) as hub:
        try:
            if reference.rev:
                version = hub.version(reference)
                _version_info(version, wants_json=args.json)
            else:
                adapter = hub.info(reference)
                if args.json:
                    emit(_line_of(adapter))
                else:
                    _adapter_info(adapter, _latest(hub, adapter))
        except client.LoraryError as error:
            raise name_pack(hub, named, error) from error
    return 0


def _latest(hub: client.Hub, adapter: Adapter) -> Version | None:
    """Return the newest version, for its strength; None if there is none."""
    if not adapter.latest_version:
        return None
    try:
        return hub.version(f"{adapter.full_name}@{adapter.latest_version}")
    except NotFound:  # withdrawn meanwhile
        return None


def _adapter_info(adapter: Adapter, latest: Version | None) -> None:
    show(strong(plain(adapter.full_name)))
    show(
        pairs(
            [
                ("title", adapter.title),
                ("kind", adapter.kind),
                ("family", adapter.family),
                ("summary", adapter.summary),
                ("words", " · ".join(adapter.trigger_words)),
                ("strength", strengths.recommended(latest) if latest else ""),
                ("tags", ", ".join(adapter.tags)),
                ("licence", adapter.licence or "not stated"),
                ("rating", adapter.maturity),
                ("visibility", adapter.visibility),
                ("latest", adapter.latest_version),
                ("downloads", f"{adapter.downloads:,}"),
                ("page", adapter.url),
                *_several("card", card_text(adapter.card, _MOST_CARD).splitlines()[:_CARD_LINES]),
            ]
        )
    )


def _several(name: str, lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the lines of a text as rows; the first row has the name."""
    for number, line in enumerate(lines):
        yield ("" if number else name), line


def _version_info(version: Version, *, wants_json: bool) -> None:
    if wants_json:
        emit(version.data)
        return
    label = f" “{version.label}”" if version.label else ""
    show(strong(plain(f"{version.adapter} {version.name}{label}")))
    show(
        pairs(
            [
                ("state", version.state),
                ("family", version.family),
                ("lineage", version.lineage),
                ("method", version.algorithm),
                ("rank", version.rank),
                ("words", " · ".join(version.trigger_words)),
                ("optional words", " · ".join(version.optional_trigger_words)),
                ("strength", strengths.recommended(version)),
                ("measured", strengths.measured(version)),
                *_several("notes", [line for line in version.notes.splitlines() if line.strip()]),
                ("revision", version.revision),
                ("previews", version.previews.state),
                ("page", version.url),
                *(("file", f"{f.path}, {count_bytes(f.size_bytes)}") for f in version.files),
            ]
        )
    )
    show(finding_lines(version.findings))


def _versions(args: Namespace) -> int:
    reference = on_hub(args, args.reference)
    with client.Hub(args.endpoint) as hub:
        versions = hub.versions(reference)
        aliases = hub.aliases(reference) if versions else ()
    named: dict[str, list[str]] = {}
    for alias in aliases:
        named.setdefault(alias.version, []).append(alias.name)
    if args.json:
        for version in versions:
            emit({**version.data, "aliases": named.get(version.name, [])})
    elif versions:
        rows = [
            [
                v.name,
                v.state,
                v.family or "-",
                v.published_at[:10],
                v.revision[:12],
                " ".join(named.get(v.name, ())) or "-",
                ": ".join(filter(None, (v.label, v.reason))),
            ]
            for v in versions
        ]
        heads = ["VERSION", "STATE", "FAMILY", "DATE", "REVISION", "ALIASES", "LABEL, REASON"]
        show(table([heads, *rows]))
        note_main(aliases)
        revisions = {v.name: v.revision for v in versions}
        for alias in aliases:
            if revisions.get(alias.version, alias.revision) != alias.revision:
                what = f"{alias.name} points to revision {alias.revision[:12]}"
                has = f"which has the weights of {alias.version}, but other files differ"
                note(plain(f"lorary: {what}, {has}"))
    else:
        note("lorary: no versions yet")
    return 0


def _configure_adapter(parser: Parser) -> None:
    parser.add_argument("reference", metavar="OWNER/NAME", help="the adapter")
    add_endpoint(parser)


COMMANDS = {
    "search": Command(
        "Find adapters.",
        "  lorary search film noir --family sdxl\n"
        "  lorary search --owner studio --json | jq -r .adapter",
        _configure_search,
        _search,
    ),
    "info": Command(
        "Show an adapter, or one version of it.",
        "  lorary info studio/noir\n  lorary info studio/noir@v3",
        _configure_reference,
        _info,
    ),
    "versions": Command(
        "List the versions of an adapter.",
        "  lorary versions studio/noir",
        _configure_adapter,
        _versions,
    ),
}
