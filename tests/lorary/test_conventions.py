"""File conventions and algorithms, over files made in code."""

from __future__ import annotations

import pytest

from lorary.anatomy import Anatomy, inspect_bytes
from tests.builders.adapters import (
    DENOISERS,
    TEXT_ENCODERS,
    Target,
    bare,
    comfyui,
    diffusers,
    kohya,
    peft,
)
from tests.builders.weights import safetensors

SD1 = DENOISERS["sd1", "diffusers"]
SDXL = DENOISERS["sdxl", "diffusers"]
SGM = DENOISERS["sdxl", "sgm"]
Q = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
Rows = dict[str, tuple[str, tuple[int, ...]]]


def _anatomy(data: bytes) -> Anatomy:
    anatomy = inspect_bytes(data).anatomy
    assert anatomy is not None
    return anatomy


@pytest.mark.parametrize(
    ("data", "convention"),
    [
        (kohya(SD1), "kohya"),
        (kohya(SGM), "kohya-sgm"),
        (kohya(SDXL), "kohya-diffusers-blocks"),
        (diffusers(SD1), "diffusers-peft"),
        (diffusers(SD1, suffixes=(".lora.down.weight", ".lora.up.weight")), "diffusers-down-up"),
        (diffusers(SD1, suffixes=(".lora_down.weight", ".lora_up.weight")), "diffusers-kohya"),
        (peft(SD1), "peft"),
        (comfyui(DENOISERS["flux1", "native"]), "comfyui"),
        (bare(SD1), "bare"),
        (bare(SD1, suffixes=(".lora_down.weight", ".lora_up.weight")), "bare"),
    ],
)
def test_the_convention_is_named(data: bytes, convention: str) -> None:
    assert _anatomy(data).convention == convention


def test_the_old_processor_names_are_understood() -> None:
    stem = "down_blocks.1.attentions.0.transformer_blocks.0"
    tensors: Rows = {
        f"{stem}.attn1.processor.to_q_lora.down.weight": ("F32", (4, 640)),
        f"{stem}.attn1.processor.to_q_lora.up.weight": ("F32", (640, 4)),
        f"{stem}.attn2.processor.to_k_lora.down.weight": ("F32", (4, 768)),
        f"{stem}.attn2.processor.to_k_lora.up.weight": ("F32", (640, 4)),
    }
    anatomy = _anatomy(safetensors(tensors))
    assert anatomy.convention == "diffusers-attn-processor"
    assert anatomy.family == "sd1"
    assert anatomy.rank == 4


def test_peft_wraps_pipelines_and_text_encoders_too() -> None:
    wrapped = [Target(f"unet.{path}", shape) for path, shape in SD1]
    assert _anatomy(peft(wrapped)).family == "sd1"
    tail = [Target(f"transformer.{p}", s) for p, s in DENOISERS["flux1", "diffusers"]]
    assert _anatomy(peft(tail)).family == "flux1"
    clip = _anatomy(peft(TEXT_ENCODERS["clip_l"]))
    assert clip.parts == {"text_encoder": 3}
    assert _anatomy(bare(TEXT_ENCODERS["clip_l"])).parts == {"text_encoder": 3}


def test_parts_and_blocks_add_up() -> None:
    anatomy = _anatomy(kohya(SD1, encoders={"lora_te": TEXT_ENCODERS["clip_l"]}))
    assert anatomy.parts == {"denoiser": 7, "text_encoder": 3}
    assert anatomy.modules == 10
    assert sum(block.modules for block in anatomy.blocks) == 10
    assert sum(block.parameters for block in anatomy.blocks) == anatomy.parameters
    names = [block.name for block in anatomy.blocks]
    assert names == ["down_blocks.1", "mid_block", "up_blocks.3", "text_encoder"]
    assert anatomy.parameters == sum(
        4 * (target.shape[0] + target.shape[1]) for target in (*SD1, *TEXT_ENCODERS["clip_l"])
    )


def test_blocks_of_strangers_are_guessed_from_their_names() -> None:
    data = kohya([Target("blocks.7.self_attn.q", (64, 64)), Target("head", (64, 64))])
    assert [block.name for block in _anatomy(data).blocks] == ["blocks.7", "head"]
    dotted = comfyui([Target("blocks.7.self_attn.q", (64, 64))])
    assert [block.name for block in _anatomy(dotted).blocks] == ["blocks.7"]


def _module(**suffixes: tuple[int, ...]) -> bytes:
    rows: Rows = {f"{Q}.{name.replace('__', '.')}": ("F32", s) for name, s in suffixes.items()}
    return safetensors(rows)


LOKR = {"lokr_w1": (8, 8), "lokr_w2": (80, 80)}
PAIR = {"lora_A__weight": (4, 640), "lora_B__weight": (640, 4)}


@pytest.mark.parametrize(
    ("suffixes", "algorithm", "algorithms"),
    [
        (PAIR, "lora", ["lora"]),
        (PAIR | {"lora_magnitude_vector": (640,)}, "dora", ["lora", "dora"]),
        (PAIR | {"dora_scale": (1, 640)}, "dora", ["lora", "dora"]),
        (PAIR | {"diff_b": (640,)}, "lora", ["lora", "bias"]),
        ({"diff_b": (640,)}, "bias", ["bias"]),
        ({"diff": (640, 640)}, "full", ["full"]),
        ({"lora_A": (4, 640), "lora_B": (640, 4), "lora_E": (4, 1)}, "adalora", ["adalora"]),
        ({"oft_blocks": (4, 160, 160)}, "oft", ["oft"]),
        ({"oft_blocks": (3, 4, 160, 160)}, "boft", ["boft"]),
        ({"ia3_l": (640, 1)}, "ia3", ["ia3"]),
        ({"weight": (640, 1), "on_input": ()}, "ia3", ["ia3"]),
        (LOKR | {"dora_scale": (640, 1)}, "lokr", ["lokr", "dora"]),
        ({"w_norm": (640,), "b_norm": (640,)}, "norm", ["norm"]),
    ],
)  # fmt: skip
def test_the_algorithm_is_named(
    suffixes: dict[str, tuple[int, ...]], algorithm: str, algorithms: list[str]
) -> None:
    anatomy = _anatomy(_module(**suffixes))
    assert anatomy.algorithm == algorithm
    assert list(anatomy.algorithms) == algorithms


def test_one_convolution_makes_a_locon_and_ranks_are_kept_apart() -> None:
    conv = Target("down_blocks.1.resnets.0.conv2", (640, 640, 3, 3))
    anatomy = _anatomy(kohya([*SD1, conv], rank=8))
    assert anatomy.algorithm == "locon"
    assert anatomy.algorithms == ("locon",)
    assert anatomy.ranks == {8: 7}
    assert anatomy.conv_ranks == {8: 1}


@pytest.mark.parametrize(
    "metadata",
    [
        {"ss_network_module": "networks.dylora"},
        {"ss_network_module": "lycoris.kohya", "ss_network_args": '{"algo": "dylora"}'},
    ],
)
def test_dylora_is_told_by_metadata_only(metadata: dict[str, str]) -> None:
    assert _anatomy(kohya(SD1, metadata=metadata)).algorithm == "dylora"
    assert _anatomy(_module(diff=(640, 640))).algorithm == "full"
