"""What tensors prove about the base model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lorary.anatomy import FAMILIES
from lorary.anatomy.claims import Claim, Claims, Targets
from lorary.anatomy.families import families
from lorary.anatomy.modules import scan
from lorary.anatomy.proof import Proof, prove
from lorary.safetensors import BytesSource, read_header
from tests.builders.adapters import bare, comfyui, diffusers, kohya, peft
from tests.builders.models import DENOISERS, SMALLER, TEXT_ENCODERS, Target
from tests.builders.weights import safetensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SD1 = DENOISERS["sd1", "diffusers"]
FLUX = DENOISERS["flux1", "native"]
NOTHING = Claims()


def _prove(data: bytes, claims: Claims = NOTHING) -> Proof:
    return prove(scan(read_header(BytesSource(data))).modules, claims)


def _nameless(names: Iterable[str]) -> Proof:
    """Proof of a file of which only names are known."""
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name in names:
        tensors[f"{name}.lora_down.weight"] = ("F16", ())
        tensors[f"{name}.lora_up.weight"] = ("F16", ())
    return _prove(safetensors(tensors))


def _rules(proof: Proof) -> list[str]:
    return [reason.rule for reason in proof.evidence]


def _text(proof: Proof, rule: str) -> str:
    return " ".join(reason.text for reason in proof.evidence if reason.rule == rule)


def _block(pattern: str, blocks: Iterable[int], shape: tuple[int, ...]) -> list[Target]:
    return [Target(pattern.format(number), shape) for number in blocks]


@pytest.mark.parametrize(("family", "naming"), DENOISERS)
def test_the_family_is_proven_from_a_few_modules(family: str, naming: str) -> None:
    targets = DENOISERS[family, naming]
    files = [diffusers(targets), comfyui(targets), bare(targets), peft(targets)]
    if naming != "comfyui":
        files.append(kohya(targets))
    for proof in map(_prove, files):
        assert proof.family == family, proof.evidence
        assert proof.confidence == "proven"
        assert not proof.strays
        assert _rules(proof)[0] == "containment"


@pytest.mark.parametrize("family", SMALLER)
def test_a_smaller_model_is_told_by_where_its_blocks_end(family: str) -> None:
    proof = _prove(diffusers(SMALLER[family]))
    assert (proof.family, proof.confidence) == (family, "narrowed")
    assert "depth" in _rules(proof)
    assert "Stable Diffusion XL" in _text(proof, "depth")


@pytest.mark.parametrize(
    ("targets", "candidates"),
    [
        ([Target("down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q", (640, 640))],
         {"sdxl", "kolors", "ssd_1b", "koala_700m", "koala_1b"}),
        (FLUX[:1], {"flux1", "chroma", "flux2_klein_4b", "hunyuan_video"}),
        ([Target("blocks.0.self_attn.q", (5120, 5120))], {"wan_14b", "wan_14b_i2v"}),
        ([Target("transformer_blocks.0.attn.to_q", (1536, 1536))], {"sd3", "sd35_medium"}),
    ],
)  # fmt: skip
def test_modules_that_several_families_share_prove_none(
    targets: list[Target], candidates: set[str]
) -> None:
    proof = _prove(kohya(targets))
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
    proof = _prove(writer(targets))  # type: ignore[operator]
    assert (proof.candidates, proof.confidence) == ((), "unknown")


def test_what_the_tensors_do_not_tell_is_only_claimed() -> None:
    claims = Claims(first=Claim("sdxl", "ss_base_model_version", "sdxl"), is_specific=True)
    proof = _prove(kohya([Target("a.b", (7, 7))]), claims)
    assert (proof.family, proof.candidates, proof.confidence) == (None, (), "claimed")


def test_the_evidence_names_what_tells_a_family_from_its_relatives() -> None:
    proof = _prove(kohya(SD1[:2]))
    assert "attn2.to_k` is 640 × 768 here and 640 × 1024 there" in _text(proof, "shape")
    assert "Not Stable Diffusion 2.x" in _text(proof, "shape")
    proof = _prove(kohya(FLUX))
    assert "`double_blocks.0.img_mod.lin` exists only in FLUX.1." in _text(proof, "exclusive")
    assert "Not Chroma" in _text(proof, "absent")
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
    proof = _prove(kohya(shared, encoders=encoders), Claims(first=first, is_specific=True))
    assert (proof.family, proof.confidence) == ("sdxl", "proven")
    assert "Only Stable Diffusion XL has" in _text(proof, "encoders")


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
    proof = _prove(kohya(DENOISERS[family, naming], encoders=encoders))
    assert proof.family == family
    assert "encoders" not in _rules(proof)


def test_text_encoders_that_fit_nothing_are_not_counted() -> None:
    odd = {"lora_te1": [Target("encoder.layers.0.q", (7, 7))]}
    proof = _prove(kohya(SD1, encoders=odd))
    assert (proof.family, proof.expected) == ("sd1", 192)
    assert "were not counted" in _text(proof, "encoders")


def test_text_encoders_alone_leave_a_set() -> None:
    proof = _prove(kohya([], encoders={"lora_te1": TEXT_ENCODERS["clip_l"]}))
    assert {"sd1", "sdxl", "flux1"} <= set(proof.candidates)
    assert proof.confidence == "narrowed"
    alone = _prove(kohya([], encoders={"lora_te": TEXT_ENCODERS["clip_miniature"]}))
    assert (alone.family, alone.confidence, alone.expected) == ("miniature", "narrowed", 18)


@pytest.mark.parametrize("encoder", ["qwen3_0_6b", "gemma2_2b"])
def test_a_language_model_adapted_by_itself_is_no_text_encoder(encoder: str) -> None:
    proof = _prove(peft(TEXT_ENCODERS[encoder]))
    assert (proof.candidates, proof.confidence) == ((), "unknown")


def _split_attention(double: int, single: int) -> list[Target]:
    stacks = [("transformer_blocks", double), ("single_transformer_blocks", single)]
    return [
        target
        for stack, depth in stacks
        for leaf in ("to_q", "to_k", "to_v")
        for target in _block(f"{stack}.{{}}.attn.{leaf}", range(depth), (3072, 3072))
    ]


def test_the_depth_decides_when_nearly_all_blocks_are_there() -> None:
    flux = _prove(diffusers(_split_attention(19, 38), component="transformer"))
    assert flux.candidates == ("flux1", "chroma")
    assert "end where those of FLUX.1 and Chroma do" in _text(flux, "depth")
    video = _prove(diffusers(_split_attention(20, 40), component="transformer"))
    assert video.candidates == ("hunyuan_video", "framepack")


def test_the_depth_of_a_fragment_decides_nothing() -> None:
    few = [t for t in _split_attention(19, 38) if ".18." in t.path or ".37." in t.path]
    proof = _prove(diffusers(few, component="transformer"))
    assert {"flux1", "hunyuan_video"} <= set(proof.candidates)


def _full(family: str, naming: str) -> list[Target]:
    modules = families()[family].namings[naming].items()
    return [Target(path, shape) for path, shape in modules if len(shape) == 2]


def test_a_file_of_every_linear_layer_is_of_the_model_that_has_no_more() -> None:
    whole = _full("hunyuan_video", "diffusers")
    proof = _prove(diffusers(whole, component="transformer"))
    assert (proof.family, proof.confidence) == ("hunyuan_video", "narrowed")
    assert "FramePack would have more" in _text(proof, "cover")
    assert _prove(diffusers(whole[1:], component="transformer")).family is None


SD3_ATTENTION = [
    target
    for leaf in ("to_q", "to_k", "to_v")
    for target in _block(f"transformer_blocks.{{}}.attn.{leaf}", range(24), (1536, 1536))
]


@pytest.mark.parametrize(
    ("targets", "candidates"),
    [
        (None, ("sd3", "sd35_medium")),
        (Targets(("to_q", "to_k", "to_v"), ()), ("sd3",)),
        (Targets(("to_q", "to_k", "to_v"), ("attn2.to_q", "attn2.to_k", "attn2.to_v")),
         ("sd3", "sd35_medium")),
        (Targets(("attn.to_q", "attn.to_k", "attn.to_v"), ()), ("sd3", "sd35_medium")),
        (Targets("(a+)+$", ()), ("sd3", "sd35_medium")),
        (Targets("all-linear", ()), ("sd3", "sd35_medium")),
    ],
)  # fmt: skip
def test_layers_that_the_targets_would_have_met_rule_a_family_out(
    targets: Targets | None, candidates: tuple[str, ...]
) -> None:
    proof = _prove(diffusers(SD3_ATTENTION, component="transformer"), Claims(targets=targets))
    assert proof.candidates == candidates
    assert ("targets" in _rules(proof)) == (len(candidates) == 1)


WAN = [
    target
    for kind in ("self_attn", "cross_attn")
    for leaf in "qkvo"
    for target in _block(f"blocks.{{}}.{kind}.{leaf}", range(40), (5120, 5120))
] + [
    *_block("blocks.{}.ffn.0", range(40), (13824, 5120)),
    *_block("blocks.{}.ffn.2", range(40), (5120, 13824)),
]


@pytest.mark.parametrize(
    ("modules", "network", "family"),
    [
        (WAN, "networks.lora_wan", "wan_14b"),
        (WAN, "lycoris.kohya", None),
        (WAN[1:], "networks.lora_wan", None),
    ],
    ids=["all of a network that takes all", "another network", "not all"],
)
def test_a_network_that_adapts_every_layer_rules_out_models_with_more(
    modules: list[Target], network: str, family: str | None
) -> None:
    claims = Claims(first=Claim("wan", "ss_network_module", network))
    assert _prove(kohya(modules), claims).family == family


@pytest.mark.parametrize(
    ("claimed", "is_specific", "family"),
    [("chroma", True, "chroma"), ("flux1", False, None), ("sdxl", True, None), ("wan", True, None)],
)
def test_a_specific_claim_picks_one_of_what_the_tensors_allow(
    claimed: str, is_specific: bool, family: str | None
) -> None:
    claims = Claims(first=Claim(claimed, "modelspec.architecture", "x"), is_specific=is_specific)
    modules = _block("double_blocks.{}.img_mlp.0", range(19), (12288, 3072))
    proof = _prove(kohya(modules), claims)
    assert proof.family == family
    assert ("claim" in _rules(proof)) == (family is not None)
    assert proof.confidence == "narrowed"


FILL = Target("img_in", (3072, 384))


def _modulated(depth: int) -> list[Target]:
    return _block("double_blocks.{}.img_mod.lin", range(depth), (18432, 3072))


def test_a_few_strays_are_forgiven_and_named() -> None:
    proof = _prove(kohya([*_modulated(19), FILL]))
    assert (proof.family, proof.confidence) == ("flux1", "narrowed")
    assert proof.evidence[0].text.startswith("19 of 20 denoiser modules are in FLUX.1")
    assert proof.strays == ("lora_unet_img_in",)


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
    assert "flux1" not in _prove(kohya(targets)).candidates


def _squares(stack: str, blocks: int, width: int) -> list[Target]:
    return [
        target
        for leaf in ("to_q", "to_k", "to_v")
        for target in _block(f"{stack}.{{}}.attn1.{leaf}", range(blocks), (width, width))
    ]


@pytest.mark.parametrize(
    ("blocks", "claimed", "family", "confidence"),
    [
        (2, None, None, "unknown"),
        (2, "pixart", "pixart", "narrowed"),
        (2, "sana", None, "unknown"),
        (28, None, "pixart", "proven"),
    ],
)
def test_a_few_layers_of_one_width_under_common_names_prove_nothing(
    blocks: int, claimed: str | None, family: str | None, confidence: str
) -> None:
    first = None if claimed is None else Claim(claimed, "modelspec.architecture", claimed)
    data = diffusers(_squares("transformer_blocks", blocks, 1152), component="transformer")
    proof = _prove(data, Claims(first=first))
    assert (proof.family, proof.candidates) == (family, ("pixart",))
    assert proof.confidence == confidence
    assert ("width" in _rules(proof)) == (blocks == 2)


@pytest.mark.parametrize("depths", [(8, 38), (10, 20)])
def test_a_model_with_fewer_of_the_same_blocks_is_not_the_known_one(
    depths: tuple[int, int],
) -> None:
    double = _block("double_blocks.{}.img_mod.lin", range(depths[0]), (18432, 3072))
    single = _block("single_blocks.{}.modulation.lin", range(depths[1]), (9216, 3072))
    proof = _prove(kohya([*double, *single]))
    assert (proof.family, proof.candidates, proof.confidence) == (None, ("flux1",), "unknown")
    assert f"`double_blocks` ends at {depths[0]} of 19" in _text(proof, "smaller")


@pytest.mark.parametrize(
    ("names", "candidates"),
    [
        (["diffusion_model.double_blocks.2.img_mod.lin"],
         ("flux1", "hunyuan_video", "hunyuan_image_2_1")),
        (["lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q"], ("sd1", "sd2", "sdxl")),
        (["diffusion_model.layers.25.attention.to_q"], ("z_image", "ideogram4")),
        (["transformer.transformer_blocks.45.attn1.to_q"], ("ltx2", "mochi")),
    ],
)  # fmt: skip
def test_names_without_shapes_leave_a_set(names: list[str], candidates: tuple[str, ...]) -> None:
    proof = _nameless(names)
    assert (proof.family, proof.candidates) == (None, candidates)


def test_names_that_only_one_model_has_prove_it_when_they_are_many() -> None:
    few = _nameless(["lycoris_double_stream_blocks_14_block_attn1_to_v_t"])
    assert (few.family, few.confidence) == ("hidream_i1", "narrowed")
    names = [f"lora_unet_double_stream_blocks_{n}_block_attn1_{leaf}"
             for n in range(10) for leaf in ("to_q_t", "to_k_t")]  # fmt: skip
    assert _nameless(names).confidence == "proven"


def test_names_that_only_together_fit_one_model_prove_nothing() -> None:
    names = ["layers.0.feed_forward.w1", "layers.0.adaln_modulation", "layers.33.attention.to_q"]
    proof = _nameless([f"diffusion_model.{name}" for name in names])
    assert proof.candidates == ("ideogram4",)
    mixed = _nameless(["transformer.transformer_blocks.0.attn1.add_k_proj",
                       "transformer.single_transformer_blocks.0.attn.to_q"])  # fmt: skip
    assert mixed.family is None


def test_norm_differences_beside_a_pair_decide_nothing() -> None:
    stem = "lora_unet_down_blocks_1_attentions_0"
    pair = "transformer_blocks_0_attn2_to_k"
    proof = _prove(
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
    assert (proof.family, proof.confidence) == ("sd1", "proven")


def test_mixed_namings_and_prefixes_are_judged_one_by_one() -> None:
    dots = kohya([Target("double_blocks_0.img_attn.qkv", (9216, 3072)), *FLUX[1:]])
    assert _prove(dots).family == "flux1"


@pytest.mark.parametrize(
    ("targets", "encoders", "expected"),
    [
        (SD1[:2], {}, 192),
        (SD1[:2], {"lora_te": TEXT_ENCODERS["clip_l"]}, 264),
        ([*SD1[:2], Target("mid_block.resnets.0.conv1", (1280, 1280, 3, 3))], {}, 278),
        (DENOISERS["sdxl", "sgm"],
         {"lora_te1": TEXT_ENCODERS["clip_l"], "lora_te2": TEXT_ENCODERS["clip_g"]}, 986),
        (FLUX[:4], {}, 304),
        (FLUX, {}, 312),
    ],
    ids=["sd1", "with its text encoder", "with convolutions", "sdxl", "flux1", "with embedders"],
)  # fmt: skip
def test_an_unrestricted_file_has_so_many_modules(
    targets: list[Target], encoders: Mapping[str, tuple[Target, ...]], expected: int
) -> None:
    assert _prove(kohya(targets, encoders=encoders)).expected == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_file_is_never_taken_for_another_family(family: str) -> None:
    for naming in families()[family].namings:
        proof = _prove(bare(_full(family, naming)))
        assert family in proof.candidates
        assert proof.family in {family, None}
        assert proof.confidence in {"proven", "narrowed"}
