"""Base models of files that fasten to one: by widths and places alone."""

from __future__ import annotations

import pytest

from lorary.anatomy.base_models.attachments import attached
from lorary.anatomy.families import families
from tests.builders import foreign
from tests.builders.modules import Shapes, header


def fits(kind: str, shapes: Shapes) -> list[str]:
    found = attached(kind, header(shapes).tensors)
    return [] if found is None else list(found.families)


@pytest.mark.parametrize(
    ("expected", "shapes"),
    [
        (["sd1"], foreign.ip_adapter("sd1")),
        (["sd2"], foreign.ip_adapter("sd2")),
        (["sdxl", "kolors"], foreign.ip_adapter("sdxl")),
        (["ssd_1b"], foreign.ip_adapter("ssd_1b")),
        (["sd1"], {f"ip_adapter.{n}.to_k_ip.weight": (320, 768) for n in range(16)}),
        (
            ["flux1", "chroma"],
            {f"ip_adapter.{n}.to_k_ip.weight": (3072, 4096) for n in range(57)},
        ),
        (
            ["flux1", "chroma"],
            {
                f"double_blocks.{n}.processor.ip_adapter_double_stream_k_proj.weight": (3072, 4096)
                for n in range(19)
            },
        ),
        ([], {f"ip_adapter.{n}.to_k_ip.weight": (320, 768) for n in range(15)}),
        ([], {f"ip_adapter.{n}.to_k_ip.weight": (3072, 4096) for n in range(56)}),
        ([], {"image_proj.norm.weight": (768,)}),
    ],
)
def test_ip_adapters_are_told_by_their_layers(expected: list[str], shapes: Shapes) -> None:
    assert fits("ip_adapter", shapes) == expected


def test_only_all_widths_of_an_ip_adapter_prove_its_model() -> None:
    whole = attached("ip_adapter", header(foreign.ip_adapter("sd1")).tensors)
    alike: Shapes = {f"ip_adapter.{n}.to_k_ip.weight": (320, 768) for n in range(16)}
    simple = attached("ip_adapter", header(alike).tensors)
    assert whole is not None
    assert simple is not None
    assert (whole.is_proven, simple.is_proven) == (True, False)


@pytest.mark.parametrize(
    ("expected", "shapes"),
    [
        (["sd1"], foreign.motion(320, 640, 1280, 1280)),
        (["sd1"], foreign.motion(320, 640, 1280, 1280, inner="temporal_transformer.")),
        (["sdxl"], foreign.motion(320, 640, 1280)),
        ([], foreign.motion(384, 768, 1536, 1536)),
        ([], foreign.motion(320, 640)),
        ([], {"mid_block.motion_modules.0.proj_in.weight": (1280, 1280)}),
        ([], {f"down_blocks.{n}.motion_modules.0.proj_in.weight": (320,) for n in (0, 2)}),
    ],
)
def test_motion_modules_are_told_by_their_levels(expected: list[str], shapes: Shapes) -> None:
    assert fits("motion_module", shapes) == expected


def _t2i(first: tuple[int, ...], name: str = "adapter.conv_in.weight") -> Shapes:
    return {name: first, "adapter.body.0.resnets.0.block1.weight": (320, 320, 3, 3)}


@pytest.mark.parametrize(
    ("expected", "shapes"),
    [
        (["sd1"], _t2i((320, 192, 3, 3))),
        (["sd1"], _t2i((320, 64, 3, 3))),
        (["sd1"], _t2i((80, 192, 1, 1), "adapter.body.0.in_conv.weight")),
        (["sdxl"], _t2i((320, 768, 3, 3))),
        ([], _t2i((320, 100, 3, 3))),
        ([], _t2i((320,))),
        ([], {"adapter.conv_in.weight": (320, 192, 3, 3)}),
        ([], {"lonely": ()}),
    ],
)
def test_t2i_adapters_are_told_by_their_folded_picture(expected: list[str], shapes: Shapes) -> None:
    assert fits("other", shapes) == expected


@pytest.mark.parametrize(
    ("expected", "shapes"),
    [
        (["sd1"], {"emb_params": (5, 768)}),
        (["sd1"], {"string_to_param.*": (5, 768)}),
        (["sd2"], {"emb_params": (5, 1024)}),
        (["sd1", "sdxl"], {"<cat>": (1, 768)}),
        (["sd2"], {"<cat>": (1, 1024)}),
        (["sdxl", "sdxl_refiner"], {"<cat>": (1, 1280)}),
        (["sdxl"], {"clip_l": (2, 768), "clip_g": (2, 1280)}),
        (["sdxl"], {"text_encoders_0": (2, 768), "text_encoders_1": (2, 1280)}),
        ([], {"clip_l": (2, 640)}),
    ],
)
def test_embeddings_are_told_by_their_widths(expected: list[str], shapes: Shapes) -> None:
    assert fits("embedding", shapes) == expected


@pytest.mark.parametrize(
    ("among", "shapes"),
    [
        ("sd3", {"clip_l": (2, 768), "clip_g": (2, 1280), "t5xxl": (2, 4096)}),
        ("flux1", {"clip_l": (2, 768), "t5xxl": (2, 4096)}),
        ("sd1", {"clip_l": (2, 768)}),
        ("sdxl", {"clip_g": (2, 1280)}),
        ("sdxl", {"emb_params": (2, 1280)}),
        ("pixart", {"<cat>": (2, 4096)}),
    ],
)
def test_encoders_that_many_models_have_leave_all_of_them(among: str, shapes: Shapes) -> None:
    found = fits("embedding", shapes)
    assert among in found
    assert len(found) > 1


@pytest.mark.parametrize(
    ("expected", "names"),
    [
        (
            ["sdxl", "ssd_1b", "segmind_vega"],
            ["conditioner.embedders.0.transformer.a", "conditioner.embedders.1.model.b"],
        ),
        (["sdxl_refiner"], ["conditioner.embedders.0.model.a"]),
        (["sd1"], ["cond_stage_model.transformer.text_model.a"]),
        (["sd2"], ["cond_stage_model.model.a"]),
        ([], ["lm_head.a"]),
    ],
)
def test_places_of_text_encoders_tell_a_checkpoint(expected: list[str], names: list[str]) -> None:
    assert fits("checkpoint", dict.fromkeys(names, (8,))) == expected


def test_nothing_fastens_a_vae_or_a_text_encoder() -> None:
    assert fits("vae", {"decoder.conv_in.weight": (8, 4, 3, 3)}) == []
    assert fits("text_encoder", {"text_model.a.weight": (8, 8)}) == []


def test_families_stand_in_display_order() -> None:
    found = fits("embedding", {"t5xxl": (2, 4096)})
    assert found == [name for name in families() if name in found]
