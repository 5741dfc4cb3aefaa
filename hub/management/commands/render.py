"""``manage.py render``: renders a picture again from its recipe, and compares the two."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from hub.management.progress import Help
from previews.local_weights import adapters_of
from previews.render import BaseUnavailable, RenderError, load_bases
from previews.render.output.png_parsing import read_png
from previews.render.output.readback import Original, read_back

if TYPE_CHECKING:
    from previews.render.reproduce import Reproduction

EPILOG = """\
The adapters are looked up in the store by sha256; files given with --adapter take precedence, with
PEFT's adapter_config.json from the same folder. The base model is the one with the recipe's id in
the bases file; the command cannot check that it is the same model.

Exit code: 0 it matches (no value differs by more than 1 out of 255), 1 it differs, 2 it cannot be
rendered: the picture has no recipe or a changed one, or an adapter or a base is missing.

Example: manage.py render --recipe picture.png --out again.png
"""

SENTENCES = {
    "bytes": "It matches: the same file, byte for byte.",
    "pixels": "It matches: the same pixels; the bytes of the file differ.",
    "near": "It matches: values differ by at most {difference} of 255.",
    "different": "It differs: by up to {difference} of 255.",
}

#: Maximum number of characters of an untrusted text that are printed.
SHOWN = 400


class Command(BaseCommand):
    help = "Render a preview again from the recipe in its PNG, and compare the pictures."
    requires_system_checks: list[str] = []  # works without a hub

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        parser.add_argument(
            "--recipe", required=True, metavar="PICTURE", help="a PNG that a hub rendered"
        )
        parser.add_argument("--out", metavar="FILE", help="write the new picture to this file")
        parser.add_argument(
            "--bases", metavar="FILE", help="read this file instead of LORARY_BASES"
        )
        parser.add_argument(
            "--adapter", action="append", default=[], metavar="FILE", help="once for each adapter"
        )
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Read, render and compare; exit with the code for the result."""
        try:
            document = self._render(options)
        except RenderError as error:
            message = _plain(str(error))
            if not options["json"]:
                raise CommandError(message, returncode=2) from error
            self.stdout.write(json.dumps({"error": {"code": error.code, "message": message}}))
            sys.exit(2)
        if options["json"]:
            self.stdout.write(json.dumps(document))
        else:
            self._report(document)
        sys.exit(0 if document["matches"] else 1)

    def _render(self, options: dict[str, Any]) -> dict[str, Any]:
        _require_writable(options)
        original = read_back(read_png(Path(options["recipe"])))
        base = load_bases(options["bases"] or settings.LORARY.bases).get(original.recipe.base)
        with adapters_of(
            original.adapters, [Path(file) for file in options["adapter"]]
        ) as adapters:
            self._progress("opening the base model")
            reproduce = _reproduce()
            stack = [reproduce.layer_of(*one) for one in adapters]
            self._progress("rendering")
            again = reproduce.reproduce(original, base, stack)
        if options["out"]:
            _write(Path(options["out"]), again.png)
        return _document(original, again, options["out"])

    def _progress(self, what: str) -> None:
        self.stderr.write(f"{what} …")
        self.stderr.flush()

    def _report(self, document: dict[str, Any]) -> None:
        sentence = SENTENCES[document["equality"]]
        self.stdout.write(sentence.format(difference=document["difference"]))
        for name, (there, here) in document["versions"].items():
            self.stdout.write(
                f"  {name}: {there or 'unknown'} in the picture, {here or 'none'} here"
            )
        if not document["versions"]:
            self.stdout.write(
                "  Renderer, diffusers, torch and transformers are the same versions."
            )
        if document["out"]:
            self.stdout.write(f"  written to {document['out']}")


def _require_writable(options: dict[str, Any]) -> None:
    """Check, before rendering, that the new picture can be written."""
    if not options["out"]:
        return
    out = Path(options["out"])
    if out.is_dir() or not out.parent.is_dir():
        msg = f"{out} cannot be used as an output file."
        raise RenderError(msg)
    if out.exists() and out.samefile(options["recipe"]):
        msg = "--out would overwrite the original picture."
        raise RenderError(msg)


def _reproduce() -> Any:
    try:
        from previews.render import reproduce  # noqa: PLC0415 - imports torch
    except ImportError as error:
        msg = f"{error}. Install requirements/worker.txt and torch."
        raise BaseUnavailable(msg) from error
    return reproduce


def _write(out: Path, png: bytes) -> None:
    try:
        out.write_bytes(png)
    except OSError as error:
        msg = f"{out} cannot be written: {error.strerror}"
        raise RenderError(msg) from error


def _document(original: Original, again: Reproduction, out: str | None) -> dict[str, Any]:
    return {
        "matches": again.is_match,
        "equality": again.equality,
        "difference": again.difference,
        "base": original.recipe.base,
        "versions": original.versions(),
        "out": out or "",
    }


def _plain(text: str) -> str:
    """Return an untrusted text without control characters."""
    return "".join(char if char.isprintable() else " " for char in text[:SHOWN])
