"""What tensors prove about the base model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lorary.anatomy import FAMILIES
from lorary.anatomy.claims.base_models import Claim, Claims
from lorary.anatomy.families import families
from tests.builders.adapters import bare, comfyui, diffusers, kohya, peft
from tests.builders.models import DENOISERS, SHARED, TEXT_ENCODERS, Target
from tests.builders.weights import safetensors
from tests.lorary.proofs import modulated, prove_bytes, rules, text, whole
from tests.whole import by_turns

if TYPE_CHECKING:
    from collections.abc import Mapping

SD1 = DENOISERS["sd1", "diffusers"]
SD1_END = [SD1[1], SD1[-1]]
FLUX = DENOISERS["flux1", "native"]


@pytest.mark.parametrize(("family", "naming"), [key for key in DENOISERS if key[0] not in SHARED])
def test_the_family_is_proven_from_a_few_modules(family: str, naming: str) -> None:
    targets = DENOISERS[family, naming]
    files = [diffusers(targets), comfyui(targets), bare(targets), peft(targets), kohya(targets)]
    files += [
        diffusers(targets, component=name)
        for name in ("base_model.model.diffusion_model", "pipe.dit", "_orig_mod.net")
    ]
    for proof in map(prove_bytes, files):
        assert proof.family == family, proof.evidence
        assert proof.confidence == "proven"
        assert not proof.unfitting
        assert rules(proof)[0] == "containment"


@pytest.mark.parametrize(
    ("targets", "candidates"),
    [
        ([Target("down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q", (640, 640))],
         {"sdxl", "kolors", "ssd_1b", "koala_700m", "koala_1b"}),
        (FLUX[:1], {"flux1", "flux1_lite", "chroma", "flux2_klein_4b", "hunyuan_video"}),
        ([Target("blocks.0.self_attn.q", (5120, 5120))],
         {"wan_14b", "wan_14b_i2v", "wan_vace_14b", "wan_animate"}),
        ([Target("transformer_blocks.0.attn.to_q", (1536, 1536))], {"sd3", "sd35_medium"}),
    ],
)  # fmt: skip
def test_modules_that_several_families_share_prove_none(
    targets: list[Target], candidates: set[str]
) -> None:
    proof = prove_bytes(kohya(targets))
    assert (proof.family, proof.expected) == (None, None)
    assert set(proof.candidates) == candidates
    assert proof.confidence == "narrowed"


@pytest.mark.parametrize(
    "targets",
    [
        [Target("blocks.0.self_attn.q", (5121, 5121))],
        [Target(SD1[0].path, (600, 600)), *SD1[1:]],
        [Target("model.layers.0.self_attn.q_proj", (4096, 4096))],
        [*FLUX, Target("vace_blocks.0.img_attn.qkv", (9216, 3072))],
    ],
    ids=["an unknown width", "a wrong shape", "a language model", "a stack that is in none"],
)
@pytest.mark.parametrize("writer", [kohya, bare, peft])
def test_strange_modules_prove_nothing(targets: list[Target], writer: object) -> None:
    proof = prove_bytes(writer(targets))  # type: ignore[operator]
    assert (proof.candidates, proof.confidence) == ((), "unknown")


def test_what_the_tensors_do_not_tell_is_only_claimed() -> None:
    claims = Claims(first=Claim("sdxl", "ss_base_model_version", "sdxl"), is_specific=True)
    proof = prove_bytes(kohya([Target("a.b", (7, 7))]), claims)
    assert (proof.family, proof.candidates, proof.confidence) == (None, (), "claimed")


def test_the_evidence_names_what_tells_a_family_from_its_relatives() -> None:
    proof = prove_bytes(kohya(SD1[:2]))
    assert "attn2.to_k` is 640 × 1024 there, but 640 × 768" in text(proof, "shape")
    assert "Not Stable Diffusion 2.x" in text(proof, "shape")
    proof = prove_bytes(kohya(DENOISERS["chroma", "native"]))
    assert "`distilled_guidance_layer.in_proj` exists only in Chroma." in text(proof, "exclusive")
    assert "Not FLUX.1" in text(proof, "absent")
    assert all(len(reason.keys) <= 5 for reason in proof.evidence)
    assert proof.evidence[0].to_dict()["keys"] == list(proof.evidence[0].keys)


@pytest.mark.parametrize("claim", [None, "kolors"])
@pytest.mark.parametrize(
    "encoders",
    [
        {"lora_te1": TEXT_ENCODERS["clip_l"], "lora_te2": TEXT_ENCODERS["clip_g"]},
        {"lora_te1": TEXT_ENCODERS["clip_l"]},
    ],
    ids=["both", "one"],
)
def test_text_encoders_narrow_and_no_claim_overrules_them(
    encoders: Mapping[str, tuple[Target, ...]], claim: str | None
) -> None:
    shared = [
        Target("down_blocks.1.attentions.1.transformer_blocks.1.attn2.to_k", (640, 2048)),
        Target("mid_block.attentions.0.transformer_blocks.9.attn1.to_q", (1280, 1280)),
    ]
    first = None if claim is None else Claim(claim, "modelspec.architecture", claim)
    proof = prove_bytes(kohya(shared, encoders=encoders), Claims(first=first, is_specific=True))
    assert (proof.family, proof.confidence) == ("sdxl", "proven")
    assert "Only Stable Diffusion XL has" in text(proof, "encoders")


@pytest.mark.parametrize(
    ("encoders", "family"),
    [
        ({"lora_te1": TEXT_ENCODERS["clip_l"], "lora_te3": TEXT_ENCODERS["t5_xxl"]}, "flux1"),
        ({"lora_te1": TEXT_ENCODERS["clip_l"], "lora_te2": TEXT_ENCODERS["t5_xxl"]}, "flux1"),
        ({"lora_te1": TEXT_ENCODERS["clip_l"], "lora_te2": TEXT_ENCODERS["clip_g"],
          "lora_te3": TEXT_ENCODERS["t5_xxl"]}, "sd35_medium"),
        ({"lora_te": TEXT_ENCODERS["qwen3_0_6b"]}, "anima"),
        ({"lora_te": TEXT_ENCODERS["gemma2_2b"]}, "lumina2"),
        ({"lora_te": TEXT_ENCODERS["clip_h"]}, "sd2"),
    ],
)  # fmt: skip
def test_text_encoders_are_known_by_their_modules(
    encoders: Mapping[str, tuple[Target, ...]], family: str
) -> None:
    naming = families()[family].kohya
    proof = prove_bytes(kohya(DENOISERS[family, naming], encoders=encoders))
    assert proof.family == family
    assert "encoders" not in rules(proof)


def test_a_text_encoder_may_be_inside_its_language_model() -> None:
    layers = whole("cosmos_predict2_2b", "native")[:90]
    inner = [Target(f"model.{path}", shape) for path, shape in TEXT_ENCODERS["qwen3_0_6b"]]
    assert prove_bytes(kohya(layers, encoders={"lora_te": inner})).family == "anima"


def test_text_encoders_that_fit_nothing_are_not_counted() -> None:
    odd = {"lora_te1": [Target("encoder.layers.0.q", (7, 7))]}
    proof = prove_bytes(kohya(SD1, encoders=odd))
    assert (proof.family, proof.expected) == ("sd1", 192)
    assert "were ignored" in text(proof, "encoders")


def test_text_encoders_alone_leave_a_set() -> None:
    proof = prove_bytes(kohya([], encoders={"lora_te1": TEXT_ENCODERS["clip_l"]}))
    assert {"sd1", "sdxl", "flux1"} <= set(proof.candidates)
    assert proof.confidence == "narrowed"
    alone = prove_bytes(kohya([], encoders={"lora_te": TEXT_ENCODERS["clip_miniature"]}))
    assert (alone.family, alone.confidence, alone.expected) == ("miniature", "narrowed", 18)


@pytest.mark.parametrize("encoder", ["qwen3_0_6b", "gemma2_2b"])
def test_a_language_model_adapted_by_itself_is_no_text_encoder(encoder: str) -> None:
    proof = prove_bytes(peft(TEXT_ENCODERS[encoder]))
    assert (proof.candidates, proof.confidence) == ((), "unknown")


FILL = Target("img_in", (3072, 384))


def test_a_few_strays_are_forgiven_and_named() -> None:
    proof = prove_bytes(kohya([*modulated(19), FILL]))
    assert (proof.family, proof.confidence) == ("flux1", "narrowed")
    assert proof.evidence[0].text.startswith("19 of 20 denoiser modules are in FLUX.1")
    assert proof.unfitting == ("lora_unet_img_in",)


@pytest.mark.parametrize(
    "targets",
    [
        [*modulated(18), FILL],
        [*modulated(19), FILL, Target("txt_in", (1, 1))],
        modulated(20),
    ],
    ids=["too few modules", "too many strays", "a block beyond the last"],
)
def test_strays_are_not_forgiven(targets: list[Target]) -> None:
    assert "flux1" not in prove_bytes(kohya(targets)).candidates


def test_a_wider_input_layer_is_no_other_model() -> None:
    """Black Forest Labs' control adapters: nothing of them is FLUX.1's alone, but all together."""
    others = [target for target in whole("flux1", "native") if target.path != "img_in"]
    data = bare([*others, Target("img_in", (3072, 128))])
    proof = prove_bytes(data)
    assert (proof.family, proof.confidence) == ("flux1", "narrowed")
    assert proof.unfitting == ("img_in",)
    narrower = prove_bytes(bare([*others, Target("img_in", (3072, 32))]))
    stranger = prove_bytes(bare([*others, Target("img_in", (3000, 128))]))
    assert narrower.candidates == stranger.candidates == ()


def test_scales_of_norms_are_no_strangers() -> None:
    pairs: dict[str, tuple[str, tuple[int, ...]]] = {
        f"double_blocks.{number}.img_mod.lin.lora_{half}.weight": ("BF16", shape)
        for number in range(19)
        for half, shape in (("A", (4, 3072)), ("B", (18432, 4)))
    }
    scales: dict[str, tuple[str, tuple[int, ...]]] = {
        f"double_blocks.{number}.img_attn.norm.{which}_norm.scale": ("BF16", (128,))
        for number in range(19)
        for which in ("query", "key")
    }
    assert prove_bytes(safetensors(pairs | scales)).family == "flux1"


def test_a_strange_number_among_the_strays_is_no_block() -> None:
    odd = {"lora_unet_double_blocks.²": [Target("x", (7, 7))]}
    proof = prove_bytes(kohya(modulated(19), encoders=odd))
    assert proof.family == "flux1"
    assert len(proof.unfitting) == 1


def test_norm_differences_beside_a_pair_decide_nothing() -> None:
    stem = "lora_unet_down_blocks_1_attentions_0"
    pair = "transformer_blocks_0_attn2_to_k"
    proof = prove_bytes(
        safetensors(
            {
                f"{stem}_{pair}.lora_down.weight": ("F16", (4, 768)),
                f"{stem}_{pair}.lora_up.weight": ("F16", (640, 4)),
                f"{stem}_norm.w_norm": ("F16", (640,)),
                f"{stem}_norm.b_norm": ("F16", (640,)),
                f"{stem}_norm3.diff": ("F16", (640,)),
                f"{stem}_norm3.diff_b": ("F16", (640,)),
            }
        )
    )
    assert (proof.candidates[0], proof.unfitting) == ("sd1", ())


def test_mixed_namings_and_prefixes_are_judged_one_by_one() -> None:
    dots = kohya([Target("double_blocks_0.img_attn.qkv", (9216, 3072)), *FLUX[1:]])
    assert prove_bytes(dots).family == "flux1"


@pytest.mark.parametrize(
    ("targets", "encoders", "expected"),
    [
        (SD1_END, {}, 192),
        (SD1_END, {"lora_te": TEXT_ENCODERS["clip_l"]}, 264),
        ([*SD1_END, Target("mid_block.resnets.0.conv1", (1280, 1280, 3, 3))], {}, 278),
        (DENOISERS["sdxl", "sgm"],
         {"lora_te1": TEXT_ENCODERS["clip_l"], "lora_te2": TEXT_ENCODERS["clip_g"]}, 986),
        (FLUX[:4], {"lora_te1": TEXT_ENCODERS["clip_l"]}, 376),
        (FLUX, {}, 312),
    ],
    ids=["sd1", "with its text encoder", "with convolutions", "sdxl", "flux1", "with embedders"],
)  # fmt: skip
def test_an_unrestricted_file_has_so_many_modules(
    targets: list[Target], encoders: Mapping[str, tuple[Target, ...]], expected: int
) -> None:
    assert prove_bytes(kohya(targets, encoders=encoders)).expected == expected


@pytest.mark.parametrize(("turn", "family"), list(enumerate(FAMILIES)))
def test_a_whole_file_is_never_taken_for_another_family(turn: int, family: str) -> None:
    for naming in by_turns(list(families()[family].namings), turn):
        proof = prove_bytes(bare(whole(family, naming), rank=1))  # a quarter of the bytes
        assert family in proof.candidates
        assert proof.family in {family, None}
        assert proof.confidence in {"proven", "narrowed"}


def test_a_label_of_a_parent_is_said_to_be_on_its_children_too() -> None:
    shared = [one for one in DENOISERS["chroma", "native"] if "guidance" not in one.path]
    claims = Claims(first=Claim("flux1", "ss_base_model_version", "flux1"))
    proof = prove_bytes(comfyui(shared), claims)
    assert proof.candidates == ("flux1", "flux1_lite", "chroma")
    assert proof.evidence[-1].text == (
        "The metadata says FLUX.1, and the tensors fit it; adapters of FLUX.1 lite 8B and Chroma "
        "often have the same label."
    )


def test_what_no_table_has_is_not_called_a_denoiser() -> None:
    text = prove_bytes(comfyui([Target("strange.0.q", (77, 99))])).evidence[0].text
    assert text == "No known base model has the one module by name and shape."
