"""pack, and the part of pull that is about packs."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lorary import client
from lorary.cli.command import Command, Parser, UsageError, add_endpoint, add_limit
from lorary.cli.commands.adapters.edit import read_card
from lorary.cli.commands.packs import curation, exports
from lorary.cli.filters import family_id, refused_filters
from lorary.cli.output.text import emit, note, pairs, plain, show, strong, table
from lorary.cli.references import on_hub
from lorary.client import packs
from lorary.client.errors import Invalid, reading_file
from lorary.client.models import RATINGS, VISIBILITIES
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.client.packs import Pack, PackPart, PackVariant, PackVersion
    from lorary.client.transfers.pack_pulling import PulledPack

_LIMIT = 50
KINDS = ("style", "lighting", "character", "scene", "detail", "other")
#: Options of create and edit, as fields of the API.
_FIELDS = ("title", "summary", "kind", "tags", "maturity", "visibility")


def _configure(parser: Parser) -> None:
    parser.add_argument("verb", choices=list(_VERBS))
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD|OWNER/NAME[@VERSION]|FILE|ALIAS",
        help="list: words to search for; publish: the pack and a manifest (JSON); alias: the pack, "
        "an alias and its new VERSION; others: the pack",
    )
    parser.add_argument("--title", help="create, edit: the title")
    parser.add_argument("--summary", help="create, edit: one or two sentences")
    parser.add_argument("--card", metavar="FILE", help="create, edit: the card (Markdown)")
    parser.add_argument("--kind", choices=KINDS, help="create, edit, list: what the look is about")
    parser.add_argument(
        "--tag",
        action="append",
        dest="tags",
        metavar="TAG",
        help="create, edit: a tag; repeat it for several; list: only packs with this tag",
    )
    parser.add_argument(
        "--rating", choices=RATINGS, dest="maturity", help="create, edit: the content rating"
    )
    parser.add_argument("--visibility", choices=VISIBILITIES, help="create, edit: who can see it")
    parser.add_argument("--rename", metavar="NAME", help="edit: the new name")
    exports.configure(parser)
    parser.add_argument("--notes", default="", metavar="TEXT", help="publish: what is new")
    parser.add_argument("--owner", default="", help="list: only packs of this user or organisation")
    parser.add_argument(
        "--family", default="", help="list: only packs for this base-model family, such as sdxl"
    )
    parser.add_argument(
        "--output",
        choices=["image", "video"],
        default="",
        help="list: only packs that make images or videos",
    )
    add_limit(parser, _LIMIT, "list: ")
    curation.configure(parser)
    add_endpoint(parser)


def _pack(args: Namespace) -> int:
    if args.verb != "list" and args.words:
        args.words[0] = on_hub(args, args.words[0])
    with client.Hub(args.endpoint) as hub:
        return _VERBS[args.verb](hub, args)


def _list(hub: client.Hub, args: Namespace) -> int:
    tags = args.tags or [""]
    if len(tags) > 1:
        message = "list takes one --tag"
        raise UsageError(message)
    found = hub.packs(
        " ".join(args.words),
        owner=args.owner,
        kind=args.kind or "",
        tag=tags[0],
        family=family_id(args.family),
        output=args.output,
        limit=args.limit + 1 if args.limit else None,
    )
    with refused_filters(args.family):
        shown = list(islice(found, args.limit or None))
    if args.json:
        for pack in shown:
            emit(_line_of(pack))
    elif shown:
        show(table([["PACK", "LATEST", "KIND", "VARIANTS", "TITLE"], *map(_row, shown)]))
    else:
        note("lorary: nothing found")
    if args.limit and next(found, None) is not None:
        note(f"lorary: there are more than {args.limit}; --limit 0 shows all")
    return 0


def _line_of(pack: Pack) -> dict[str, object]:
    return {"pack": pack.full_name, **pack.data}


def _row(pack: Pack) -> list[str]:
    variants = ", ".join(f"{name} ({output})" for name, _family, output in pack.variants)
    return [pack.full_name, pack.latest_version or "-", pack.kind, variants or "-", pack.title]


def _show(hub: client.Hub, args: Namespace) -> int:
    reference = packs.parse(_only(args, "show needs OWNER/NAME[@VERSION]"))
    pack = None if reference.rev else hub.pack(reference)
    if pack is not None and args.json:
        emit(_line_of(pack))
        return 0
    if pack is not None:
        _show_pack(pack)
        if not pack.latest_version:
            note("lorary: it has no version yet; publish one with lorary pack publish")
            return 0
    version = hub.pack_version(reference)
    if args.json:
        emit(version.data)
    else:
        _show_version(version)
    return 0


def _show_pack(pack: Pack) -> None:
    show(strong(plain(pack.full_name)))
    facts = [
        ("title", pack.title),
        ("kind", pack.kind),
        ("summary", pack.summary),
        ("tags", ", ".join(pack.tags)),
        ("rating", pack.maturity),
        ("visibility", pack.visibility),
        ("aliases", ", ".join(f"{name} → {version}" for name, version in pack.aliases.items())),
        ("page", pack.url),
    ]
    show(pairs(facts))


def _show_version(version: PackVersion) -> None:
    show(strong(plain(f"{version.pack} {version.name}")))
    show(pairs([("state", version.state), ("reason", version.reason), ("notes", version.notes)]))
    for variant in version.variants:
        show(strong(plain(f"{variant.name}: {variant.family}, {variant.output}")))
        show(pairs(_variant_facts(variant)))
        show(table([_part_row(part) for part in variant.parts]))


def _variant_facts(variant: PackVariant) -> list[tuple[str, object]]:
    settings = {name: value for name, value in variant.settings.items() if value is not None}
    return [
        ("prompt", variant.prompt),
        ("negative", variant.negative),
        ("settings", ", ".join(f"{name} {value}" for name, value in settings.items())),
    ]


def _part_row(part: PackPart) -> list[str]:
    state = "" if part.state == "available" else f"{part.state}: {part.reason}"
    name = f"{part.adapter}@{part.version}"
    return [f"  {name}", f"{part.strength:g}", part.role, count_bytes(part.size_bytes), state]


def _create(hub: client.Hub, args: Namespace) -> int:
    name = _only(args, "create needs OWNER/NAME")
    return _show_saved(hub.create_pack(name, **_fields(args)), args)


def _edit(hub: client.Hub, args: Namespace) -> int:
    name, fields = _only(args, "edit needs OWNER/NAME"), _fields(args)
    if args.rename:
        fields["name"] = args.rename
    if not fields:
        message = "say what to change: --title, --summary, --card, --kind, --tag, --rating, …"
        raise UsageError(message)
    return _show_saved(hub.edit_pack(name, **fields), args)


def _show_saved(pack: Pack, args: Namespace) -> int:
    if args.json:
        emit(_line_of(pack))
    else:
        show(plain(pack.url))
    return 0


def _fields(args: Namespace) -> dict[str, str]:
    values = {name: getattr(args, name) for name in _FIELDS}
    if args.card is not None:
        values["card"] = read_card(args.card)
    return {name: value for name, value in values.items() if value is not None}


def _publish(hub: client.Hub, args: Namespace) -> int:
    if len(args.words) != 2:
        message = "publish needs OWNER/NAME and the manifest's FILE"
        raise UsageError(message)
    name, place = args.words
    try:
        manifest = json.loads(_read(place))
    except ValueError as error:
        message = f"{plain(place)} is not JSON: {error}"
        raise Invalid(message) from error
    version = hub.publish_pack(name, manifest, notes=args.notes)
    if args.json:
        emit(version.data)
    else:
        show(plain(version.url))
        _show_version(version)
    return 0


def _read(place: str) -> bytes:
    with reading_file(place):
        return Path(place).read_bytes()


def _only(args: Namespace, message: str) -> str:
    if len(args.words) != 1:
        raise UsageError(message)
    return str(args.words[0])


_VERBS: Mapping[str, Callable[[client.Hub, Namespace], int]] = {
    "list": _list, "show": _show, "create": _create, "edit": _edit, "publish": _publish,
    "export": exports.export,
    "yank": curation.yank, "restore": curation.restore,
    "withdraw": curation.withdraw, "alias": curation.alias,
}  # fmt: skip


def show_pulled(pulled: PulledPack, *, as_json: bool) -> None:
    """Show a pulled pack, for ``lorary pull pack:…``."""
    version = pulled.version
    exports.note_faults(version, pulled.missing)
    if as_json:
        emit(_pulled_document(pulled))
    else:
        show(_pulled_lines(pulled))


def _pulled_document(pulled: PulledPack) -> dict[str, object]:
    version = pulled.version
    return {
        "pack": version.pack,
        "version": version.name,
        "state": version.state,
        "manifest_sha256": version.manifest_sha256,
        "variants": [variant.name for variant in pulled.variants],
        "description": str(pulled.description),
        "files": [
            {
                "local_path": str(one.local_path),
                "size": one.file.size_bytes,
                "sha256": one.file.sha256,
                "bytes_fetched": one.bytes_fetched,
            }
            for one in pulled.files.values()
        ],
        "missing": [f"{part.adapter}@{part.version}" for part in pulled.missing],
    }


def _pulled_lines(pulled: PulledPack) -> list[str]:
    lines = [
        f"{plain(one.local_path)}  {count_bytes(one.file.size_bytes)}, verified"
        for one in pulled.files.values()
    ]
    lines.append(plain(pulled.description))
    for variant in pulled.variants:
        parts = ", ".join(
            f"{part.adapter} × {part.strength:g}{'' if part.is_at_hand else ' (left out)'}"
            for part in variant.parts
        )
        lines += pairs([(variant.name, parts), ("prompt", variant.prompt)])
    return lines


COMMANDS = {
    "pack": Command(
        "List packs, show one, create or edit one, publish, yank or withdraw a version of it,\n"
        "move its aliases, or export it for another tool. A pack is a ready-made look: adapter\n"
        "versions with strengths, a prompt template and settings.\n"
        "Download one with lorary pull pack:OWNER/NAME.",
        "  lorary pack list evening --family sdxl\n"
        "  lorary pack show studio/dusk@v2\n"
        '  lorary pack create studio/dusk --title "Dusk" --kind lighting --tag evening\n'
        '  lorary pack publish studio/dusk dusk.json --notes "Less grain."\n'
        "  lorary pack export studio/dusk@v2 --for comfyui --form ui --out dusk.json\n"
        "  lorary pack export studio/dusk --for diffusers --variant sdxl > dusk.py\n"
        "  lorary pack alias studio/dusk stable v3 --expect v2",
        _configure,
        _pack,
    ),
}
