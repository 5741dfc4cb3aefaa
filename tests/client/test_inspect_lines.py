"""`lorary inspect`: what has room on a line, and words that a console has letters for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

import lorary
from lorary.cli.output.inspect_lines import Columns, columns_for, line_of
from lorary.cli.output.text import _writable
from tests.builders.adapters import DENOISERS, bare, comfyui, diffusers, kohya
from tests.builders.models import Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]

LIE = {"ss_base_model_version": "sdxl_base_v1-0"}
SD1 = DENOISERS["sd1", "diffusers"]
FRAMEPACK = {"ss_network_module": "networks.lora_framepack"}
LONG = "a very long name of a file, version 12 final (copy).safetensors"


def line(data: bytes, columns: Columns) -> str:
    return line_of(LONG, lorary.inspect(data), columns)


@pytest.mark.parametrize("terminal", [40, 45, 52, 60, 71, 80, 100, 130])
def test_a_line_is_never_wider_than_its_terminal(
    terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    columns = columns_for(len(LONG), terminal)
    for data in (kohya(SD1), kohya(SD1, metadata=LIE), comfyui([Target("a.0.b", (77, 99))])):
        assert cell_len(line(data, columns)) <= terminal


def test_the_verdict_is_the_last_to_go_and_its_mark_is_never_cut() -> None:
    for terminal in (40, 60, 130):
        assert "SD 1.x≠" in line(kohya(SD1, metadata=LIE), columns_for(99, terminal))
    assert Columns(9, is_cut=True).fit("語" * 20, 9) == "語語語語…"
    assert Columns(9, is_cut=True).fit("FLUX.1 / Chroma / HunyuanVideo", 24, "≠").endswith("…≠")
    assert (columns_for(99, 45).has_method, columns_for(99, 60).has_size) == (False, False)


def test_nothing_is_cut_in_a_pipe() -> None:
    assert line(kohya(SD1), columns_for(len(LONG), None)).startswith(f"{LONG}  SD 1.x ")
    assert Columns(4).fit("FLUX.1 / Chroma / HunyuanVideo", 24, "≠").endswith("HunyuanVideo≠")


def test_a_family_that_may_be_another_has_a_question_mark() -> None:
    data = bare([Target("transformer_blocks.0.attn.to_q", (2432, 2432))])
    assert "SD 3.5 large? " in line(data, columns_for(9, None))


def test_the_likely_one_of_several_comes_first_and_has_a_question_mark() -> None:
    second = [Target("layers.25.attention.to_q", (3840, 3840))]
    assert "  Z-Image? " in line(kohya(second), columns_for(9, None))
    shared = [Target("blocks.27.cross_attn.q_proj", (2048, 2048))]
    assert "  Anima? / Cosmos-Predict2 2B " in line(kohya(shared), columns_for(9, None))
    middle = [Target("middle_block.1.transformer_blocks.0.attn1.to_q", (1280, 1280))]
    assert "  SDXL? / SD 1.x / SD 2.x " in line(kohya(middle), columns_for(9, None))
    later = [Target("transformer_blocks.27.attn1.to_q", (1152, 1152))]
    assert "  PixArt α/Σ? / DiT XL/2 / Sana 600M " in line(diffusers(later), columns_for(9, None))


def test_several_that_may_be_another_end_with_a_question_mark() -> None:
    blocks = [
        Target(f"{stack}.{number}.attn.{leaf}", (3072, 3072))
        for stack, depth in (("transformer_blocks", 12), ("single_transformer_blocks", 24))
        for number in range(depth)
        for leaf in ("to_q", "to_k")
    ]
    data = diffusers(blocks, component="transformer")
    shown = "FLUX.1 / Chroma / HunyuanVideo / FramePack? "
    assert shown in line(data, columns_for(9, None))


def test_a_console_without_our_signs_gets_others_that_do_not_mean_something_else() -> None:
    assert (
        _writable("SD 1.x≠ — 640 × 768 · “noir” → 語", "ascii")
        == 'SD 1.x!= - 640 x 768 - "noir" -> ?'
    )
    assert _writable("≠ 語", "utf-8") == "≠ 語"


def test_what_to_do_stands_below_a_refusal_that_names_its_byte(run: Run, tmp_path: Path) -> None:
    whole = kohya(SD1)
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    page = " ".join(run("inspect", tmp_path / "cut.safetensors").out.split())
    assert "(byte " in page
    assert "→ Save or download it again." in page


def test_what_is_not_there_failed_and_was_not_refused(run: Run, tmp_path: Path) -> None:
    ran = run("inspect", tmp_path / "gone.safetensors", "ftp://host.example/noir.safetensors")
    assert ran.code == 3
    assert "FAILED   It cannot be read: No such file" in ran.out
    assert "FAILED   Only addresses that begin with https:// or http://" in ran.out
    assert "REFUSED" not in ran.out


def test_the_query_of_an_address_is_not_shown(run: Run) -> None:
    ran = run("inspect", "http://127.0.0.1:9/noir.safetensors?token=hidden")
    assert "hidden" not in ran.out + ran.err


def test_a_command_that_does_not_exist_is_named(run: Run) -> None:
    ran = run("inspec", "noir.safetensors")
    assert (ran.code, "there is no command “inspec”" in ran.err) == (2, True)


def test_a_page_says_how_a_family_was_narrowed(run: Run, tmp_path: Path) -> None:
    vector = [one for one in DENOISERS["framepack", "diffusers"] if "clean" not in one.path]
    place = tmp_path / "noir.safetensors"
    place.write_bytes(diffusers(vector, component="transformer", metadata=FRAMEPACK))
    page = " ".join(run("inspect", place).out.split())
    assert "FramePack — according to its metadata; the tensors fit others too." in page
