"""Every Python example of ``docs/sdk.md``, as it stands there but for the hub's address."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import lorary
from tests.clients.programs import Programs
from tests.documents import sections, snippets
from training.miniature.tiny import write_tiny_lora

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.shelf import Shelf

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

GUIDE = "docs/sdk.md"
INFOTEXT = "a red house <lora:noir:0.8>\nSteps: 20, Sampler: Euler, Size: 64x64, Seed: 1"
#: What each section prints, in order; the sections without examples are left out.
PRINTED = {
    "Download": ["noir.safetensors", " ('dim light',) ", "studio/noir@v2 done", "ada/ink done"],
    "diffusers": [],
    "Search": [
        "studio/noir v2 ('dim light',)",
        "v2 published 4\n",
        "noir.safetensors ",
        "same_weights studio/noir",
    ],
    "Publish": ["v1 http", "yanked"],
    "Inspect and resolve": [" 4 adapter", "noir 0.8 "],
    "Algebra": ["small.safetensors ", "% of the energy"],
    "Folders": ["add ", "project/loras/noir.safetensors", "ok "],
    "Progress": ["fetch large.safetensors: 100%"],
    "asyncio": ["noir.safetensors", "studio/noir"],
    "Notebooks": ['<img src="http'],
    "fsspec": ["# ", "studio/noir@v1/noir.safetensors"],
    "Errors": ["not_found "],
    "Offline and the cache": ["noir.safetensors", "Only the hub knows"],
}
#: Runs each section in names of its own, and shows the last line of each example as a notebook.
RUNNER = """
import ast, json, os, sys
for section, examples in json.load(open(sys.argv[1])).items():
    print(f"\\n== {section}", flush=True)
    names, before = {"__name__": "__main__"}, dict(os.environ)
    for code in examples:
        *lines, last = ast.parse(code, section).body
        shown = isinstance(last, ast.Expr)
        exec(compile(ast.Module(lines if shown else [*lines, last], []), section, "exec"), names)
        if shown:
            value = eval(compile(ast.Expression(last.value), section, "eval"), names)
            if hasattr(value, "_repr_html_"):
                print(value._repr_html_())
    os.environ.clear()
    os.environ.update(before)
"""


@pytest.fixture
def ada(shelf: Shelf, base: Path, ada_token: str, tmp_path: Path) -> Programs:
    """A program with the files that the examples name."""
    programs = Programs(shelf.hub, tmp_path / "ada", ada_token)
    programs.environ |= {
        "LORARY_ENDPOINT": shelf.hub.url,
        "LORARY_TOKEN": ada_token,
        "OMP_NUM_THREADS": "1",
    }
    (programs.folder / "base").symlink_to(base)
    ink = write_tiny_lora(tmp_path / "ink.safetensors", seed=2, spread=0.3)
    with lorary.Hub(shelf.hub.url, ada_token) as hub:
        hub.push(ink, "ada/ink")
    (programs.folder / "noir.safetensors").write_bytes(shelf.noir.read_bytes())
    texts = PngInfo()
    texts.add_text("parameters", INFOTEXT)
    Image.new("RGB", (8, 8)).save(programs.folder / "picture.png", pnginfo=texts)
    return programs


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_python_example_works(ada: Programs, shelf: Shelf) -> None:
    if not importlib.metadata.entry_points(group="fsspec.specs", name="lorary"):
        pytest.skip("lorary was installed without its entry point for fsspec: run make setup")
    examples = {
        section: [code.replace("https://hub.example", shelf.hub.url) for code in found]
        for section in sections(GUIDE)
        if (found := snippets(GUIDE, "python", section))
    }
    assert list(examples) == list(PRINTED)
    assert sum(map(len, examples.values())) == len(snippets(GUIDE, "python"))
    place = ada.folder / "examples.json"
    place.write_text(json.dumps(examples))
    told = ada.command([sys.executable, "-c", RUNNER, str(place)])
    outputs = dict(part.split("\n", 1) for part in told.split("\n== ")[1:])
    for section, texts in PRINTED.items():
        for text in texts:
            assert text in outputs[section], (section, outputs[section])
    folder = ada.folder
    assert digest(folder / "loras" / "noir.safetensors") == digest(shelf.noir)
    assert digest(folder / "copy" / "noir.safetensors") == digest(shelf.older)
    assert (folder / "lighthouse.png").read_bytes().startswith(b"\x89PNG")
