"""The tables of namings against diffusers' converters of checkpoints, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import diffusers
import pytest
import torch
from diffusers.loaders import lora_conversion_utils, single_file_utils

from lorary.algebra.naming.relations import names_of
from previews.render.adapters.base_modules import ldm_names
from tests.builders.architectures import MODELS

if TYPE_CHECKING:
    from lorary.algebra.naming.relations import FamilyNames

CONVERTERS = {
    "animatediff": ("convert_animatediff_checkpoint_to_diffusers", "native"),
    "animatediff_sdxl": ("convert_animatediff_checkpoint_to_diffusers", "native"),
    "auraflow": ("convert_auraflow_transformer_checkpoint_to_diffusers", "native"),
    "chroma": ("convert_chroma_transformer_checkpoint_to_diffusers", "native"),
    "cosmos_predict2_2b": ("convert_cosmos_transformer_checkpoint_to_diffusers", "native"),
    "flux1": ("convert_flux_transformer_checkpoint_to_diffusers", "native"),
    "flux2_klein_4b": ("convert_flux2_transformer_checkpoint_to_diffusers", "native"),
    "hunyuan_video": ("convert_hunyuan_video_transformer_to_diffusers", "native"),
    "krea2": ("convert_krea2_transformer_checkpoint_to_diffusers", "native"),
    "lumina2": ("convert_lumina2_to_diffusers", "native"),
    "ltx2": ("convert_ltx2_transformer_to_diffusers", "native"),
    "ltx_video": ("convert_ltx_transformer_checkpoint_to_diffusers", "native"),
    "mochi": ("convert_mochi_transformer_checkpoint_to_diffusers", "native"),
    "sana": ("convert_sana_transformer_to_diffusers", "native"),
    "sd35_large": ("convert_sd3_transformer_checkpoint_to_diffusers", "native"),
    "sd35_medium": ("convert_sd3_transformer_checkpoint_to_diffusers", "native"),
    "wan_14b_i2v": ("convert_wan_transformer_to_diffusers", "native"),
    "wan_animate": ("convert_wan_transformer_to_diffusers", "native"),
    "wan_vace_1_3b": ("convert_wan_transformer_to_diffusers", "native"),
    "wan_vace_14b": ("convert_wan_transformer_to_diffusers", "native"),
    "z_image": ("convert_z_image_transformer_checkpoint_to_diffusers", "fused"),
}


class Checkpoint(dict[str, Any]):
    """A checkpoint whose rows tell where they come from; norms and biases are made on demand."""

    def __init__(self, names: FamilyNames, naming: str) -> None:
        super().__init__()
        for number, (path, pieces) in enumerate(names.namings[naming].items()):
            rows = sum(names.rows(piece) or 0 for piece in pieces)
            self[f"{path}.weight"] = tagged(number, 0, rows)
        self.sizes = {name: len(rows) for name, rows in self.items()}

    def pop(self, key: str, *default: Any) -> Any:
        if key in self or default:
            return super().pop(key, *default)
        return torch.zeros(self.sizes.get(key.replace(".bias", ".weight"), 6))


def tagged(number: int, begin: int, end: int) -> torch.Tensor:
    return (torch.arange(begin, end, dtype=torch.float64) + number * 1e6).reshape(-1, 1)


@pytest.mark.parametrize("family", CONVERTERS)
def test_every_row_goes_where_diffusers_puts_it(family: str) -> None:
    converter, naming = CONVERTERS[family]
    names = names_of(family)
    checkpoint = Checkpoint(names, naming)
    if family.startswith("sd3"):
        checkpoint["pos_embed"] = torch.zeros(1)  # never made on demand
    converted = getattr(single_file_utils, converter)(checkpoint)
    places = {}
    for number, pieces in enumerate(names.namings[naming].values()):
        begin = 0
        for piece in pieces:
            rows = names.rows(piece)
            assert rows is not None
            places[piece] = (number, begin, begin + rows)
            begin += rows
    for path, pieces in names.namings[names.hub].items():
        expected = torch.cat([tagged(*places[piece]) for piece in pieces])
        assert torch.equal(converted[f"{path}.weight"].double(), expected), path


def test_the_names_of_ltx_2_3_are_those_of_diffusers_converter_of_adapters() -> None:
    native = names_of("ltx2_3").namings["native"]
    own = {f"{path}.lora_A.weight": piece.module for path, (piece,) in native.items()}
    file = {f"diffusion_model.{name}": module for name, module in own.items()}
    convert: Any = lora_conversion_utils._convert_non_diffusers_ltx2_lora_to_diffusers
    assert convert(file) == {f"transformer.{one}.lora_A.weight": one for one in own.values()}


UNETS = (
    "sd1", "sd2", "sdxl", "sdxl_refiner", "ssd_1b", "segmind_vega", "koala_700m", "koala_1b",
    "bk_sdm_base", "bk_sdm_small", "bk_sdm_tiny",
)  # fmt: skip


@pytest.mark.parametrize("family", UNETS)
def test_stabilitys_names_are_those_of_diffusers_script(family: str) -> None:
    kind, config = MODELS[family]
    with torch.device("meta"):
        expected = ldm_names(getattr(diffusers, kind)(**config))
    found = {
        piece.module: path
        for path, pieces in names_of(family).namings["sgm"].items()
        for piece in pieces
    }
    assert found == {path: expected[path] for path in found}
