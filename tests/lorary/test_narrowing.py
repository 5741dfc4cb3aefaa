"""Weaker reasons for one family, and reasons to doubt the only one that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lorary.anatomy import family_title
from lorary.anatomy.claims.base_models import Claim, Claims, Targets
from tests.builders.adapters import DENOISERS, bare, comfyui, diffusers, kohya
from tests.builders.models import SMALLER, Target
from tests.lorary.proofs import (
    base_of,
    block,
    modulated,
    prove_bytes,
    prove_names,
    rules,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


@pytest.mark.parametrize("family", SMALLER)
def test_a_smaller_model_is_told_by_where_its_blocks_end(family: str) -> None:
    proof = prove_bytes(diffusers(SMALLER[family]))
    assert (proof.family, proof.confidence) == (family, "narrowed")
    assert "depth" in rules(proof)
    assert "would have more of them" in text(proof, "depth")


def _split_attention(double: int, single: int) -> list[Target]:
    stacks = [("transformer_blocks", double), ("single_transformer_blocks", single)]
    return [
        target
        for stack, depth in stacks
        for leaf in ("to_q", "to_k", "to_v")
        for target in block(f"{stack}.{{}}.attn.{leaf}", range(depth), (3072, 3072))
    ]


def test_the_depth_decides_when_nearly_all_blocks_are_there() -> None:
    flux = prove_bytes(diffusers(_split_attention(19, 38), component="transformer"))
    assert flux.candidates == ("flux1", "chroma")
    assert "as many blocks as FLUX.1 and Chroma" in text(flux, "depth")
    video = prove_bytes(diffusers(_split_attention(20, 40), component="transformer"))
    assert video.candidates == ("hunyuan_video", "framepack")


def test_what_trainers_leave_out_speaks_against_nobody() -> None:
    """Anima's trainers adapt its language adapter only when they are told to."""
    proof = prove_bytes(kohya(whole("cosmos_predict2_2b", "native")))
    assert set(proof.candidates) == {"anima", "cosmos_predict2_2b"}


def test_the_depth_of_a_fragment_decides_nothing() -> None:
    few = [t for t in _split_attention(19, 38) if ".18." in t.path or ".37." in t.path]
    proof = prove_bytes(diffusers(few, component="transformer"))
    assert {"flux1", "hunyuan_video"} <= set(proof.candidates)


@pytest.mark.parametrize(("double", "single"), [(12, 24), (11, 38), (9, 37)])
def test_all_blocks_of_a_smaller_model_are_of_none_that_is_known(double: int, single: int) -> None:
    base = base_of(diffusers(_split_attention(double, single), component="transformer"))
    assert (base.family, base.likely, base.confidence) == (None, None, "unknown")
    assert {"flux1", "hunyuan_video"} <= set(base.candidates)
    reason = base.evidence[-1]
    assert reason.rule == "smaller"
    assert f"`transformer_blocks` ends at {double} of 19" in reason.text
    assert reason.text.endswith("FLUX.1 is the nearest of those that fit.")


@pytest.mark.parametrize(
    ("double", "single", "family"),
    [(10, 20, "longcat_image"), (8, 38, "bria_fibo"), (6, 27, "ovis_image")],
)
def test_all_blocks_of_a_smaller_model_with_a_table_are_its_own(
    double: int, single: int, family: str
) -> None:
    base = base_of(diffusers(_split_attention(double, single), component="transformer"))
    assert family in base.candidates
    assert set(base.candidates) <= {family, "flux1_lite"}


def _without(double: Iterable[int] = (), single: Iterable[int] = ()) -> list[Target]:
    """Attention of twelve double and 24 single blocks, but for some of them."""
    left_out = tuple(
        f"{stack}.{number}."
        for stack, numbers in (
            ("transformer_blocks", double),
            ("single_transformer_blocks", single),
        )
        for number in numbers
    )
    return [one for one in _split_attention(12, 24) if not one.path.startswith(left_out)]


@pytest.mark.parametrize(
    "targets",
    [_without(double=[4]), _without(single=[0]), _without(single=range(24)),
     _without(double=range(12)), _split_attention(12, 24)[:-1]],
    ids=["a gap", "not from the first on", "double blocks", "single blocks", "a layer less"],
)  # fmt: skip
def test_blocks_with_gaps_refute_nothing(targets: list[Target]) -> None:
    base = base_of(diffusers(targets, component="transformer"))
    assert (base.confidence, base.likely) == ("narrowed", "flux1")
    assert {"flux1", "chroma", "hunyuan_video", "framepack"} <= set(base.candidates)


def test_what_only_a_claim_speaks_against_stays_allowed() -> None:
    metadata = {"modelspec.architecture": "chroma"}
    base = base_of(diffusers(_split_attention(19, 38), component="transformer", metadata=metadata))
    assert (base.candidates, base.allowed) == (("chroma",), ("flux1", "chroma"))


def test_a_block_beyond_the_last_of_a_family_refutes_it() -> None:
    base = base_of(diffusers([*_split_attention(10, 20), *_split_attention(20, 20)[19 * 3 : 60]],
                             component="transformer"))  # fmt: skip
    assert base.candidates == ("hunyuan_video", "framepack")


def test_a_claim_that_the_tensors_allow_speaks_against_a_smaller_model() -> None:
    data = diffusers(_split_attention(12, 24), component="transformer")
    proof = prove_bytes(data, Claims(first=Claim("flux", "x", "flux")))
    assert (proof.candidates, proof.confidence) == (("flux1", "chroma"), "narrowed")
    claimed = Claims(first=Claim("sdxl", "x", "sdxl"))
    assert prove_bytes(data, claimed).confidence == "unknown"


def test_a_claim_of_a_model_without_a_table_is_not_refuted_by_an_unknown_one() -> None:
    modules = _split_attention(12, 24)
    for label, agreement in (("omnigen2", "agree"), ("sdxl_base_v1-0", "conflict")):
        metadata = {"modelspec.architecture": label}
        base = base_of(diffusers(modules, component="transformer", metadata=metadata))
        assert (base.confidence, base.agreement) == ("unknown", agreement)


def _attentions(depth: int, width: int, *stems: str) -> list[Target]:
    return [
        target
        for stem in stems
        for leaf in ("to_q", "to_k", "to_v", "to_out.0")
        for target in block(f"transformer_blocks.{{}}.{stem}.{leaf}", range(depth), (width, width))
    ]


@pytest.mark.parametrize(
    ("targets", "families"),
    [
        (_attentions(28, 1152, "attn1", "attn2"), ("pixart", "sana_600m")),
        (_attentions(20, 2240, "attn1", "attn2"), ("sana", "sana_video")),
        (_attentions(48, 3072, "attn1"), ("mochi", "easyanimate")),
    ],
)
def test_a_model_that_is_seldom_adapted_stays_beside_its_twin(
    targets: list[Target], families: tuple[str, str]
) -> None:
    base = base_of(diffusers(targets, component="transformer"))
    assert (base.family, base.candidates) == (None, families)
    assert (base.confidence, base.likely) == ("narrowed", families[0])
    assert base.evidence[-1].rule == "use"
    title = family_title(families[0])
    assert base.evidence[-1].text == f"{title} is the most used of those that fit."


def test_a_block_of_sdxl_is_likely_of_sdxl() -> None:
    modules = _attentions(10, 1280, "attn1")
    stem = "up_blocks.0.attentions.1."
    data = diffusers([Target(stem + path, shape) for path, shape in modules])
    base = base_of(data)
    assert (base.family, base.likely, base.confidence) == (None, "sdxl", "narrowed")
    assert {"sdxl", "kolors"} <= set(base.candidates)


def test_nothing_is_likely_beside_a_family_or_without_one() -> None:
    assert base_of(diffusers(DENOISERS["sdxl", "diffusers"])).likely is None
    assert base_of(kohya([Target("a.b", (7, 7))])).likely is None


def test_a_model_that_is_seldom_adapted_is_the_answer_when_the_metadata_says_so() -> None:
    data = diffusers(_attentions(28, 1152, "attn1", "attn2"), component="transformer")
    claim = Claim("sana", "ss_base_model_version", "sana")
    proof = prove_bytes(data, Claims(first=claim, is_specific=True))
    assert proof.family == "sana_600m"


@pytest.mark.parametrize(
    ("targets", "families"),
    [
        (_attentions(48, 4096, "attn1", "attn2"), ("ltx_video_13b", "ltx2", "ltx2_3")),
        (_attentions(28, 1152, "attn1"), ("pixart", "dit_xl", "sana_600m")),
    ],
)
def test_models_with_the_same_attention_are_not_told_apart(
    targets: list[Target], families: tuple[str, ...]
) -> None:
    proof = prove_bytes(diffusers(targets, component="transformer"))
    assert (proof.candidates, proof.family) == (families, None)


def test_a_file_of_every_linear_layer_is_of_the_model_that_has_no_more() -> None:
    layers = whole("hunyuan_video", "diffusers")
    proof = prove_bytes(diffusers(layers, component="transformer"))
    assert (proof.family, proof.confidence) == ("hunyuan_video", "narrowed")
    assert "FramePack would have more" in text(proof, "cover")
    assert prove_bytes(diffusers(layers[1:], component="transformer")).family is None


SD3_ATTENTION = [
    target
    for leaf in ("to_q", "to_k", "to_v")
    for target in block(f"transformer_blocks.{{}}.attn.{leaf}", range(24), (1536, 1536))
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
    proof = prove_bytes(diffusers(SD3_ATTENTION, component="transformer"), Claims(targets=targets))
    assert proof.candidates == candidates
    assert ("targets" in rules(proof)) == (len(candidates) == 1)


WAN = [
    target
    for kind in ("self_attn", "cross_attn")
    for leaf in "qkvo"
    for target in block(f"blocks.{{}}.{kind}.{leaf}", range(40), (5120, 5120))
] + [
    *block("blocks.{}.ffn.0", range(40), (13824, 5120)),
    *block("blocks.{}.ffn.2", range(40), (5120, 13824)),
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
    assert prove_bytes(kohya(modules), claims).family == family


@pytest.mark.parametrize(
    ("claimed", "is_specific", "family"),
    [("chroma", True, "chroma"), ("flux1", False, None), ("sdxl", True, None), ("wan", True, None)],
)
def test_a_specific_claim_picks_one_of_what_the_tensors_allow(
    claimed: str, is_specific: bool, family: str | None
) -> None:
    claims = Claims(first=Claim(claimed, "modelspec.architecture", "x"), is_specific=is_specific)
    modules = block("double_blocks.{}.img_mlp.0", range(19), (12288, 3072))
    proof = prove_bytes(kohya(modules), claims)
    assert proof.family == family
    assert ("claim" in rules(proof)) == (family is not None)
    assert proof.confidence == "narrowed"


@pytest.mark.parametrize(
    ("claimed", "candidates"),
    [
        ("flux1", ("flux1",)),
        ("hunyuan_video", ("hunyuan_video",)),
        ("sdxl", ("flux1", "hunyuan_video")),
    ],
)
def test_the_label_of_a_parent_speaks_against_strangers_only(
    claimed: str, candidates: tuple[str, ...]
) -> None:
    claims = Claims(first=Claim(claimed, "ss_base_model_version", claimed))
    proof = prove_bytes(comfyui(modulated(10)), claims)
    assert (proof.candidates, proof.confidence) == (candidates, "narrowed")
    shared = block("transformer_blocks.{}.attn.to_q", range(20), (3072, 3072))
    proof = prove_bytes(diffusers(shared), Claims(first=Claim("hunyuan_video", "x", "x")))
    assert proof.candidates == ("hunyuan_video", "framepack")


def _squares(stack: str, blocks: int, width: int) -> list[Target]:
    return [
        target
        for leaf in ("to_q", "to_k", "to_v")
        for target in block(f"{stack}.{{}}.attn1.{leaf}", range(blocks), (width, width))
    ]


@pytest.mark.parametrize(
    ("blocks", "claimed", "family", "confidence"),
    [
        (2, None, None, "unknown"),
        (2, "cogvideox_2b", "cogvideox_2b", "narrowed"),
        (2, "sana", None, "unknown"),
        (30, None, "cogvideox_2b", "proven"),
    ],
)
def test_a_few_layers_of_one_width_under_common_names_prove_nothing(
    blocks: int, claimed: str | None, family: str | None, confidence: str
) -> None:
    first = None if claimed is None else Claim(claimed, "modelspec.architecture", claimed)
    data = diffusers(_squares("transformer_blocks", blocks, 1920), component="transformer")
    proof = prove_bytes(data, Claims(first=first))
    assert (proof.family, proof.candidates) == (family, ("cogvideox_2b",))
    assert proof.confidence == confidence
    assert ("width" in rules(proof)) == (blocks == 2)


def test_fewer_blocks_of_which_only_the_attention_is_there_are_doubted() -> None:
    blocks = [
        target
        for leaf in ("to_q", "to_k", "to_v")
        for target in block(f"transformer_blocks.{{}}.attn.{leaf}", range(36), (2048, 2048))
    ]
    proof = prove_bytes(diffusers(blocks, component="transformer"))
    assert (proof.family, proof.candidates) == (None, ("hunyuan_video_1_5",))
    assert "ends at 36 of 54" in text(proof, "smaller")
    edges = [Target("proj_in", (2048, 64)), Target("proj_out", (64, 2048))]
    assert prove_bytes(diffusers([*edges, *blocks], component="transformer")).family is None


def test_lists_of_single_layers_are_no_stacks_of_blocks() -> None:
    """HiDream projects captions with one layer for each of its blocks."""
    names = [
        ("double_stream_blocks.{}.block.attn1.to_q", 8),
        ("single_stream_blocks.{}.block.attn1.to_q", 16),
    ]
    layers = [target for name, depth in names for target in block(name, range(depth), (2560, 2560))]
    proof = prove_bytes(diffusers(layers, component="transformer"))
    assert (proof.family, proof.candidates) == (None, ("hidream_i1",))
    assert "smaller" in rules(proof)


@pytest.mark.parametrize("depths", [(4, 48), (6, 20)])
def test_a_model_with_fewer_of_the_same_blocks_is_not_the_known_one(
    depths: tuple[int, int],
) -> None:
    double = block("double_blocks.{}.img_mlp.0", range(depths[0]), (36864, 6144))
    single = block("single_blocks.{}.linear1", range(depths[1]), (55296, 6144))
    proof = prove_bytes(kohya([*double, *single]))
    assert (proof.family, proof.candidates, proof.confidence) == (None, ("flux2_dev",), "unknown")
    assert f"`double_blocks` ends at {depths[0]} of 8" in text(proof, "smaller")


@pytest.mark.parametrize(
    ("names", "candidates"),
    [
        (["diffusion_model.double_blocks.2.img_mod.lin"],
         ("flux1", "flux1_lite", "hunyuan_video", "hunyuan_image_2_1")),
        (["lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q"], ("sd1", "sd2", "sdxl")),
        (["diffusion_model.layers.25.attention.to_q"], ("z_image", "ideogram4")),
        (["transformer.transformer_blocks.45.attn1.to_q"],
         ("ltx_video_13b", "ltx2", "ltx2_3", "mochi", "easyanimate", "sana_4800m")),
    ],
)  # fmt: skip
def test_names_without_shapes_leave_a_set(names: list[str], candidates: tuple[str, ...]) -> None:
    proof = prove_names(names)
    assert (proof.family, proof.candidates) == (None, candidates)


def test_names_that_only_one_model_has_prove_it_when_they_are_many() -> None:
    few = prove_names(["lycoris_double_stream_blocks_14_block_attn1_to_v_t"])
    assert (few.family, few.confidence) == ("hidream_i1", "narrowed")
    names = [f"lora_unet_double_stream_blocks_{n}_block_attn1_{leaf}"
             for n in range(10) for leaf in ("to_q_t", "to_k_t")]  # fmt: skip
    assert prove_names(names).confidence == "proven"


def test_names_that_only_together_fit_one_model_prove_nothing() -> None:
    names = ["layers.0.feed_forward.w1", "layers.0.adaln_modulation", "layers.33.attention.to_q"]
    proof = prove_names([f"diffusion_model.{name}" for name in names])
    assert proof.candidates == ("ideogram4",)
    mixed = prove_names(["transformer.transformer_blocks.0.attn1.add_k_proj",
                       "transformer.single_transformer_blocks.0.attn.to_q"])  # fmt: skip
    assert mixed.family is None


def test_names_that_only_one_trainer_writes_tell_its_model() -> None:
    layers = [
        Target(f"double_blocks.{number}.processor.{leaf}", shape)
        for number in range(19)
        for leaf, shape in (("qkv", (9216, 3072)), ("proj", (3072, 3072)))
    ]
    suffixes = ("_lora1.down.weight", "_lora1.up.weight")
    proof = prove_bytes(bare(layers, suffixes=suffixes))
    assert (proof.family, proof.confidence) == ("flux1", "narrowed")
    assert "FLUX.1" in text(proof, "convention")
