"""What the documentation says of the command line is what it does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lorary.cli import app
from lorary.cli.command import Parser
from lorary.safetensors import read_header
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "cli.md").read_text("utf-8")


def options(name: str) -> set[str]:
    """The long options of a command."""
    parser = Parser(prog=name, description="", epilog="")
    app.load(name).configure(parser)
    found = {text for action in parser._actions for text in action.option_strings}
    common = {"--help", "--endpoint", "--hub", "--offline"}
    return {text for text in found if text.startswith("--")} - common


@pytest.mark.parametrize("name", app.COMMANDS)
def test_each_command_and_option_is_documented(name: str) -> None:
    section = re.search(rf"### lorary {name} .*?(?=\n##)", DOCS, re.DOTALL)
    assert section is not None
    assert {option for option in options(name) if option not in section[0]} == set()


def test_no_command_is_documented_that_is_not_there() -> None:
    assert set(re.findall(r"### lorary (\w+)", DOCS)) == set(app.COMMANDS)


def test_variables_of_the_code_are_documented() -> None:
    code = "".join(
        path.read_text("utf-8") for path in (ROOT / "sdk" / "src" / "lorary").rglob("*.py")
    )
    used = set(re.findall(r'"(LORARY_[A-Z]+)"', code))
    assert used == set(re.findall(r"`(LORARY_[A-Z]+)`", DOCS))


def test_the_demo_has_the_adapters_and_packs_that_commands_of_the_documents_name() -> None:
    demo = ROOT / "previews" / "miniature"
    adapters = {one.stem for one in (demo / "adapters").glob("*.safetensors")}
    packs = set(re.findall(r"(?m)^\[([\w-]+)\]$", (demo / "packs.toml").read_text("utf-8")))
    named = {
        (prefix, name)
        for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
        for command in re.findall(r"lorary [a-z]+ [^\n]+", page.read_text("utf-8"))
        for prefix, name in re.findall(r"(?<![\w/.-])(pack:)?lorary/([\w-]+)(?![\w./-])", command)
    }
    assert ("", "linocut") in named
    assert {one for one in named if one[1] not in (packs if one[0] else adapters)} == set()


def test_the_verdict_that_the_documents_show_is_what_a_file_gives(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "noir.safetensors"
    claim = {"ss_base_model_version": "sdxl_base_v1-0"}
    place.write_bytes(kohya(DENOISERS["sd1", "diffusers"], rank=16, alpha=8, metadata=claim))
    anatomy = (ROOT / "docs" / "anatomy.md").read_text("utf-8")
    (told,) = re.findall(r"inspect noir\.safetensors\nnoir.*?\n\n(.*?)```", anatomy, re.DOTALL)
    assert run("inspect", place).out.partition("\n\n")[2].startswith(told)
    header = read_header(place)
    widths = {
        one.shape[1] for name, one in header.tensors.items() if "attn2_to_k.lora_down" in name
    }
    assert widths == {768}
