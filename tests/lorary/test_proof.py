"""What tensors prove about the base model."""

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
FLUX = DENOISERS["flux1", "native"]


def _anatomy(data: bytes) -> Anatomy:
    anatomy = inspect_bytes(data).anatomy
    assert anatomy is not None
    return anatomy


@pytest.mark.parametrize(("family", "naming"), DENOISERS)
def test_the_family_is_proven_from_a_few_modules(family: str, naming: str) -> None:
    targets = DENOISERS[family, naming]
    for data in (
        kohya(targets),
        diffusers(targets),
        comfyui(targets),
        bare(targets),
        peft(targets),
    ):
        anatomy = _anatomy(data)
        assert anatomy.family == family, anatomy.verdict
        assert anatomy.verdict.confidence == "certain"
        assert anatomy.verdict.agreement == "unclaimed"


@pytest.mark.parametrize(
    ("targets", "candidates"),
    [
        (SD1[:1], {"sd1", "sd2", "sdxl", "kolors"}),
        ([Target("down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q", (640, 640))],
         {"sdxl", "kolors"}),
        (FLUX[:1], {"flux1", "chroma", "flux2_klein_4b", "hunyuan_video"}),
    ],
)  # fmt: skip
def test_modules_that_several_families_share_prove_none(
    targets: list[Target], candidates: set[str]
) -> None:
    found = inspect_bytes(kohya(targets))
    assert found.anatomy is not None
    assert found.anatomy.family is None
    assert set(found.anatomy.verdict.candidates) == candidates
    assert found.anatomy.verdict.confidence == "ambiguous"
    assert [finding.code for finding in found.findings] == ["family_ambiguous"]


def test_strange_modules_prove_nothing() -> None:
    found = inspect_bytes(kohya([Target("blocks.0.self_attn.q", (5120, 5120))]))
    assert found.anatomy is not None
    assert found.anatomy.verdict.candidates == ()
    assert found.anatomy.verdict.agreement == "unknown"
    assert [finding.code for finding in found.findings] == ["family_unknown"]


def test_the_right_names_with_the_wrong_shapes_prove_nothing() -> None:
    anatomy = _anatomy(kohya([Target(SD1[0].path, (600, 600)), *SD1[1:]]))
    assert anatomy.verdict.candidates == ()


def test_the_evidence_names_what_rules_a_family_out() -> None:
    verdict = _anatomy(kohya(SD1[:2])).verdict
    assert any(
        "Not Stable Diffusion 2.x" in reason and "1024" in reason for reason in verdict.evidence
    )


@pytest.mark.parametrize(
    ("encoders", "family"),
    [
        ({"lora_te1": TEXT_ENCODERS["clip_l"], "lora_te2": TEXT_ENCODERS["clip_g"]}, "sdxl"),
        ({"lora_te1": TEXT_ENCODERS["clip_l"]}, "sdxl"),
    ],
)
def test_text_encoders_narrow_the_candidates(
    encoders: dict[str, tuple[Target, ...]], family: str
) -> None:
    shared = [Target("down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k", (640, 2048))]
    anatomy = _anatomy(kohya(shared, encoders=encoders))
    assert anatomy.family == family
    assert anatomy.parts["text_encoder"] == 3
    assert any("Only Stable Diffusion XL" in reason for reason in anatomy.verdict.evidence)


def test_text_encoders_that_fit_nothing_are_not_counted() -> None:
    odd = {"lora_te1": [Target("encoder.layers.0.q", (7, 7))]}
    anatomy = _anatomy(kohya(SD1, encoders=odd))
    assert anatomy.family == "sd1"
    assert any("do not fit" in reason for reason in anatomy.verdict.evidence)


def test_text_encoders_alone_leave_a_set() -> None:
    anatomy = _anatomy(kohya([], encoders={"lora_te1": TEXT_ENCODERS["clip_l"]}))
    assert {"sd1", "sdxl", "flux1"} <= set(anatomy.verdict.candidates)
    assert anatomy.verdict.confidence == "ambiguous"
    alone = _anatomy(kohya([], encoders={"lora_te": TEXT_ENCODERS["clip_miniature"]}))
    assert (alone.family, alone.verdict.confidence) == ("miniature", "likely")


def _attention(double: int, single: int) -> list[Target]:
    stacks = [("transformer_blocks", double), ("single_transformer_blocks", single)]
    return [
        Target(f"{stack}.{number}.attn.{name}", (3072, 3072))
        for stack, depth in stacks
        for number in range(depth)
        for name in ("to_q", "to_k", "to_v")
    ]


def test_the_depth_decides_when_nearly_all_blocks_are_there() -> None:
    flux = _anatomy(diffusers(_attention(19, 38), component="transformer"))
    assert flux.verdict.candidates == ("flux1", "chroma")
    assert any("stacks end where" in reason for reason in flux.verdict.evidence)
    video = _anatomy(diffusers(_attention(20, 40), component="transformer"))
    assert video.verdict.candidates == ("hunyuan_video", "framepack")


def test_the_depth_of_a_fragment_decides_nothing() -> None:
    few = [
        target for target in _attention(19, 38) if ".18." in target.path or ".37." in target.path
    ]
    anatomy = _anatomy(diffusers(few, component="transformer"))
    assert {"flux1", "hunyuan_video"} <= set(anatomy.verdict.candidates)


def _modulated(depth: int) -> list[Target]:
    return [Target(f"double_blocks.{n}.img_mod.lin", (18432, 3072)) for n in range(depth)]


FILL = Target("img_in", (3072, 384))


def test_a_few_strays_are_forgiven_and_named() -> None:
    found = inspect_bytes(kohya([*_modulated(19), FILL]))
    assert found.anatomy is not None
    assert found.anatomy.family == "flux1"
    assert found.anatomy.verdict.confidence == "likely"
    assert found.anatomy.verdict.evidence[0].startswith("19 of 20 denoiser modules are in FLUX.1")
    strays = [finding for finding in found.findings if finding.code == "modules_unknown"]
    assert strays[0].evidence["modules"] == ["lora_unet_img_in"]


@pytest.mark.parametrize(
    "targets",
    [
        [*_modulated(18), FILL],
        [*_modulated(19), FILL, Target("txt_in", (1, 1))],
        _modulated(20),
    ],
    ids=["too few modules", "too many strays", "a block beyond the last"],
)
def test_strays_are_not_forgiven(targets: list[Target]) -> None:
    assert "flux1" not in _anatomy(kohya(targets)).verdict.candidates


def test_norm_differences_beside_a_pair_decide_nothing() -> None:
    stem = "lora_unet_down_blocks_1_attentions_0"
    pair = "transformer_blocks_0_attn2_to_k"
    anatomy = _anatomy(
        safetensors(
            {
                f"{stem}_{pair}.lora_down.weight": ("F16", (4, 768)),
                f"{stem}_{pair}.lora_up.weight": ("F16", (640, 4)),
                f"{stem}_norm.w_norm": ("F16", (640,)),
                f"{stem}_norm.b_norm": ("F16", (640,)),
            }
        )
    )
    assert anatomy.family == "sd1"
    assert anatomy.verdict.confidence == "certain"
    assert anatomy.algorithms == ("lora", "norm")


def test_mixed_namings_and_prefixes_are_judged_one_by_one() -> None:
    dots = kohya([Target("double_blocks_0.img_attn.qkv", (9216, 3072)), *FLUX[1:]])
    assert _anatomy(dots).family == "flux1"
