"""What other code says of a family's files: diffusers' own loader, and the tables of names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import diffusers
import numpy as np
import pytest
import torch

from lorary.anatomy.families import families
from previews.render import Layer
from previews.render.adapters.base_modules import BaseModule, native_names, with_native
from previews.render.adapters.normalise import unfused
from previews.render.bases.libraries import quiet
from previews.render.families import described
from tests.previews.families import conventions
from tests.previews.families.scenes import TINY, Scene, case
from tests.previews.updates import pixels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:In CPU autocast"),
]

#: What diffusers 0.42 reads besides its own names. Other files it refuses, or takes nothing of
#: them and says so in a warning at most.
WAN = ("wan_1_3b", "wan_14b")
READ = {
    "original": (
        *WAN,
        "hunyuan_video",
        "flux2_dev",
        "flux2_klein_4b",
        "qwen_image",
        "hidream_i1",
        "ltx_video",
    ),
    "kohya-original": (*WAN, "sdxl", "flux1", "chroma", "flux2_dev", "flux2_klein_4b", "z_image"),
}
WITHOUT_VERBS = {"pixart", "hunyuan_dit"}
CASES = [
    *(case(family, "diffusers") for family in TINY if family not in WITHOUT_VERBS),
    *(case(family, name) for name, readable in READ.items() for family in readable),
]
#: Their converters know the published widths of the other blocks only; see the last test.
DOUBLE_ONLY = {"flux1", "chroma", "hunyuan_video"}


@pytest.mark.parametrize(("family", "convention"), CASES, ids=lambda value: value)
def test_diffusers_draws_a_file_of_one_alpha_the_same(
    scenes: Callable[[str], Scene], tmp_path: Path, family: str, convention: str
) -> None:
    scene = scenes(family)
    updates = conventions.updates_of(scene.plain, family, mixed=False)
    if family in DOUBLE_ONLY and convention != "diffusers":
        updates = [update for update in updates if update.native.startswith("double_blocks.")]
    file = tmp_path / "adapter.safetensors"
    path, config = conventions.written(file, convention, scene.plain, updates, is_bare=True)
    [ours] = scene.engine.render(scene.recipe(1.0), [Layer(path, config=config)])
    try:
        with quiet():
            scene.plain.load_lora_weights(str(path))
        theirs = scene.direct()
    finally:
        scene.plain.unload_lora_weights()
    assert np.abs(pixels(ours.png) - theirs).max() <= 1
    assert np.abs(theirs - scene.base).max() > 4


#: The anatomy's table of Lumina 2 has diffusers' default width of captions, not the published one.
OTHER_WIDTH = {"cap_embedder.1"}


@pytest.mark.parametrize("family", [name for name in described() if described()[name].native])
def test_original_names_have_the_sizes_of_the_published_model(family: str) -> None:
    """Tables of names and sizes come from the authors' code and from diffusers' apart."""
    namings = families()[family].namings
    ours = namings.get("diffusers", namings.get("native", {}))
    theirs = {
        name: shape
        for table in ("native", "fused", "comfyui")
        for name, shape in namings.get(table, {}).items()
    }
    found = 0
    for name, modules in native_names(described()[family].native, ours):
        if name in theirs and name not in OTHER_WIDTH:
            found += 1
            rows = sum(ours[module][0] for module in modules)
            assert (rows, *ours[modules[0]][1:]) == theirs[name], name
    assert found or not theirs


#: Family, pipeline, how a name is written, halves of a pair; blocks that the converter knows.
PUBLISHED = [
    ("lumina2", "Lumina2Pipeline", "diffusion_model.{}", ("lora_A", "lora_B")),
    ("hunyuan_video", "HunyuanVideoPipeline", "diffusion_model.{}", ("lora_A", "lora_B")),
    ("flux1", "FluxPipeline", "lora_unet_{}", ("lora_down", "lora_up")),
]
_BLOCKS = re.compile(r"(layers|noise_refiner|context_refiner|double_blocks|single_blocks)\.0\..*")


@pytest.mark.parametrize(("family", "kind", "spelled", "halves"), PUBLISHED)
def test_modules_of_the_published_size_are_cut_as_diffusers_cuts_them(
    family: str, kind: str, spelled: str, halves: tuple[str, str]
) -> None:
    shapes = families()[family].namings["diffusers"]
    slots = {name: BaseModule("transformer", name, shape) for name, shape in shapes.items()}
    table = with_native({slot.path: slot for slot in slots.values()}, described()[family])
    random = torch.Generator().manual_seed(3)
    file: dict[str, torch.Tensor] = {}
    written: set[tuple[str, ...]] = set()
    for native, names in native_names(described()[family].native, shapes):
        if _BLOCKS.fullmatch(native) and names not in written:
            written.add(names)
            name = spelled.format(native.replace(".", "_") if "_{}" in spelled else native)
            rows = sum(shapes[part][0] for part in names)
            columns = shapes[names[0]][1]
            file[f"{name}.{halves[0]}.weight"] = torch.randn(1, columns, generator=random)
            file[f"{name}.{halves[1]}.weight"] = torch.randn(rows, 1, generator=random)
    theirs = getattr(diffusers, kind).lora_state_dict(dict(file))
    ours = {}
    for name, tensor in unfused(file, table).items():
        module, half = re.fullmatch(r"(.*)\.(lora_\w+)\.weight", name).groups()  # type: ignore[union-attr]
        slot = table.find(module)
        assert slot is not None
        letter = "A" if half in {"lora_A", "lora_down"} else "B"
        ours[f"{slot.path}.lora_{letter}.weight"] = tensor
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
