"""``manage.py bases``: lists, verifies, opens and measures the models of the bases file."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from hub.management.progress import Help
from previews.render import Base, BasesInvalid, BaseUnavailable, RenderError, load_bases
from previews.render.bases.model_paths import absence
from previews.render.bases.verify import verify

Document = dict[str, Any]

EPILOG = """\
list     the settings of each base, and whether its files exist (default)
verify   folder, model_index.json, pipeline and the header of every weights file; for a
         single-file checkpoint, also its family; loads nothing
warm     open each base and render one picture
measure  seconds and memory, with the lines for the bases file

Exit code 1: the file is invalid, a name is unknown, or a base cannot be used.

Example: manage.py bases measure sdxl
"""

COLUMNS = ("id", "family", "size", "steps", "device", "dtype", "offload", "here")


class Command(BaseCommand):
    help = "List the base models that previews are rendered with; check, open or measure them."
    requires_system_checks: list[str] = []  # no database; an invalid bases file is reported here

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        verbs = ("list", "verify", "warm", "measure")
        parser.add_argument("verb", nargs="?", default="list", choices=verbs, help="see below")
        parser.add_argument("names", nargs="*", metavar="NAME", help="names of bases; default: all")
        parser.add_argument(
            "--bases", metavar="FILE", help="read this file instead of LORARY_BASES"
        )
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Apply the verb to each base; exit with 1 if one cannot be used."""
        is_json = options["json"]
        try:
            bases = _chosen(options["bases"] or settings.LORARY.bases, options["names"])
        except RenderError as error:
            if not is_json:
                raise CommandError(_lines(error)) from error
            self.stdout.write(json.dumps({"error": {"code": error.code, "message": str(error)}}))
            sys.exit(1)
        if not bases:
            self.stderr.write("The file has no bases.")
        verb = options["verb"]
        documents = [self._one(verb, base, is_quiet=is_json) for base in bases]
        is_well = all(document["ok"] for document in documents)
        if is_json:
            self.stdout.write(json.dumps({"ok": is_well, "bases": documents}))
        elif verb == "list":
            self._table(documents)
        sys.exit(0 if is_well or verb == "list" else 1)

    def _one(self, verb: str, base: Base, *, is_quiet: bool) -> Document:
        """Apply the verb to a base, and print the result immediately."""
        if verb == "list":
            return _listed(base)
        if verb == "verify":
            document, lines = _verified(base)
        else:
            document, lines = _opened(verb, base, lambda what: self._progress(base, what))
        if not is_quiet:
            for line in lines:
                self.stdout.write(line)
            self.stdout.flush()
        return document

    def _progress(self, base: Base, what: str) -> None:
        self.stderr.write(f"{base.id}: {what} …")
        self.stderr.flush()

    def _table(self, documents: Sequence[Document]) -> None:
        rows = [COLUMNS, *(_row(document) for document in documents)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        for row, document in zip(rows, [None, *documents], strict=True):
            padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  ".join(padded).rstrip())
            if document is not None:
                title = f"{document['title']} · " if document["title"] else ""
                built = f", configuration {document['config']}" if document["config"] else ""
                self.stdout.write(f"    {title}{document['location']}{built}")
                if not document["ok"]:
                    self.stdout.write(f"    {document['why']}. {document['hint']}")


def _chosen(file: object, names: Sequence[str]) -> list[Base]:
    """Return the bases of a file, or the named ones."""
    bases = load_bases(str(file))
    if not names:
        return list(bases)
    try:
        return [bases.get(name) for name in dict.fromkeys(names)]
    except BaseUnavailable as error:
        msg = f"{error} Known base models: {', '.join(bases.by_id) or 'none'}."
        raise BaseUnavailable(msg) from error


def _lines(error: RenderError) -> str:
    """Return an error message with each fault of a file on its own line."""
    is_list = isinstance(error, BasesInvalid)
    return str(error).replace("; ", "\n") if is_list else str(error)


def _listed(base: Base) -> Document:
    why, hint = absence(base)
    shown = (
        "id",
        "family",
        "title",
        "location",
        "config",
        "dtype",
        "device",
        "offload",
        "width",
        "height",
    )
    return {
        **{key: getattr(base, key) for key in (*shown, "steps", "batch", "memory_gb")},
        "ok": not why,
        "why": why,
        "hint": hint,
    }


def _row(document: Document) -> tuple[str, ...]:
    cells = document | {
        "size": f"{document['width']}x{document['height']}",
        "here": "yes" if document["ok"] else "no",
    }
    return tuple(str(cells[column]) for column in COLUMNS)


def _verified(base: Base) -> tuple[Document, list[str]]:
    faults = verify(base)
    is_well = not any(fault.is_fatal for fault in faults)
    document = {"id": base.id, "ok": is_well, "faults": [asdict(fault) for fault in faults]}
    lines = [f"{'ok' if is_well else 'ERROR':7} {base.id}"]
    for fault in faults:
        lines += [f"  {'error' if fault.is_fatal else 'note'}: {fault.message}"]
        lines += [f"         {fault.hint}"]
    return document, lines


def _opened(verb: str, base: Base, say: Callable[[str], None]) -> tuple[Document, list[str]]:
    try:
        from previews.render.bases import measure  # noqa: PLC0415 (needs torch, which a web server lacks)
    except ImportError as error:
        return _refused(base, f"{error}. Install requirements/worker.txt and torch.")
    try:
        result = measure.warm(base, say) if verb == "warm" else measure.measure(base, say)
    except RenderError as error:
        return _refused(base, str(error))
    document = {key: _short(value) for key, value in asdict(result).items()}
    lines = _warmed(document) if verb == "warm" else _measured(document)
    return document | {"ok": True, "error": ""}, lines


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(each) for key, each in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def _refused(base: Base, reason: str) -> tuple[Document, list[str]]:
    return {"id": base.id, "ok": False, "error": reason}, [f"ERROR   {base.id}", f"  {reason}"]


def _warmed(result: Document) -> list[str]:
    times = f"opened in {result['open_s']:.1f} s, a picture in {result['picture_s']:.2f} s"
    return [f"ok      {result['id']}", f"  {times} on {result['device']}"]


def _measured(result: Document) -> list[str]:
    vram = "" if result["vram_gb"] is None else f", GPU memory {result['vram_gb']:.2f} GB"
    many = f"{result['batch_picture_s']:.2f} per picture in a batch of {result['batch_tried']}"
    ram = f"main memory {result['ram_gb']:.2f} GB ({result['ram_added_gb']:.2f} GB by this base)"
    return [
        f"ok      {result['id']} on {result['device']}",
        f"  opened in {result['open_s']:.1f} s",
        f"  seconds a picture: {result['picture_s']:.2f} alone, {many}",
        f"  peak: {ram}{vram}",
        "  for the bases file:",
        f"    memory_gb = {result['memory_gb']}",
        f"    batch = {result['batch']}",
        "  memory plan:",
        *_planned(result["plan"]),
    ]


def _planned(plan: Document) -> list[str]:
    parts = ", ".join(f"{name} {size:.2f} GB" for name, size in plan["parts"].items())
    lines = [
        f"    weights: {parts}",
        f"    pictures of a call: {plan['pictures_gb']:.2f} GB",
        f"    copy of the weights that an adapter changes: at most {plan['originals_gb']:.2f} GB",
    ]
    if plan["quantized"]:
        where = ", ".join(plan["quantized"])
        lines.append(
            f"    beside quantised layers of {where}: {plan['pairs_gb']:.2f} GB for LoRA of rank "
            f"32, at most {plan['matrices_gb']:.2f} GB for other methods"
        )
    return lines
