"""Quantised bases: adapters beside packed layers draw what changed weights draw."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest
import torch
from torch import nn

from previews.render import BaseUnavailable, CannotRender, Why, load_bases
from previews.render.adapters.base_modules import table_of
from previews.render.adapters.beside import BesideLayer, is_quantized
from previews.render.bases.libraries import quiet
from previews.render.bases.verify import verify
from previews.render.defaults import recipe_of
from previews.render.engine import Engine
from previews.render.families import Family
from tests.previews.families import bases
from tests.previews.families.conventions import patched, updates_of, written
from tests.previews.methods import changes, put
from tests.previews.methods import write as write_changes
from tests.previews.test_engine import CLOSE, plain_pictures
from tests.previews.test_methods import assert_drawn
from tests.previews.updates import (
    bases_at,
    layer,
    patch,
    pixels,
    recipe,
    some_updates,
    write_kohya,
)

if TYPE_CHECKING:
    from pathlib import Path

    from previews.render.adapters.base_modules import BaseModule


class PackedLinear(nn.Linear):
    """Weights as bytes with a scale for each row, as libraries pack them."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None)
        scale = layer.weight.detach().abs().amax(dim=1, keepdim=True) / 127
        packed = (layer.weight.detach() / scale).round().to(torch.int8)
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.scale = nn.Buffer(scale)
        self.bias = layer.bias

    @property
    def unpacked(self) -> torch.Tensor:
        return self.weight * self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.unpacked, self.bias)


def packed(engine: Engine, plain: Any) -> None:
    """Pack all linear layers of the engine's UNet; ``plain`` gets the numbers they stand for."""
    opened = engine.bases.get("tiny")
    unet = opened.pipeline.unet
    for name, module in list(unet.named_modules()):
        if type(module) is nn.Linear:
            parent, _, leaf = name.rpartition(".")
            smaller = PackedLinear(module)
            setattr(unet.get_submodule(parent), leaf, smaller)
            plain.unet.get_submodule(name).weight.data = smaller.unpacked
    opened.table = table_of(opened.pipeline, opened.family)


@pytest.fixture
def small(tiny_folder: Path, plain: Any) -> Engine:
    engine = Engine(bases_at(tiny_folder))
    packed(engine, plain)
    return engine


def test_pairs_are_added_beside_packed_layers(small: Engine, plain: Any, tmp_path: Path) -> None:
    base, updates = copy.deepcopy(plain), some_updates(plain)
    first = layer(write_kohya(tmp_path / "a.safetensors", updates), 0.6)
    second = layer(write_kohya(tmp_path / "b.safetensors", updates), 0.4)

    def dial(strength: float) -> None:
        plain.unet.load_state_dict(base.unet.state_dict())
        plain.text_encoder.load_state_dict(base.text_encoder.state_dict())
        patch(plain, updates, strength)

    assert_drawn(small, [first, second], plain, dial)


@pytest.mark.parametrize("method", ["loha", "lokr_dora", "oft", "ia3_input", "glora", "full"])
def test_other_methods_are_added_as_whole_matrices(
    small: Engine, plain: Any, tmp_path: Path, method: str
) -> None:
    items, base = changes(plain, method), copy.deepcopy(plain)
    path = write_changes(tmp_path / "x.safetensors", items)
    assert_drawn(small, [layer(path)], plain, lambda s: put(plain, items, s, base))


def test_a_layer_tells_the_weight_it_computes_with() -> None:
    smaller = PackedLinear(nn.Linear(24, 8))
    assert torch.equal(BesideLayer(slot_of(smaller), smaller)._weight(), smaller.unpacked)
    assert smaller.bias is not None


def slot_of(module: nn.Module) -> BaseModule:
    table = table_of(SimpleNamespace(transformer=nn.Sequential(module)), Family("any"))
    slot = table.find("0")
    assert slot is not None
    return slot


def test_packed_convolutions_and_biases_are_refused(plain: Any) -> None:
    conv = nn.Conv2d(2, 2, 1)
    conv.weight = nn.Parameter(conv.weight.detach().to(torch.int8), requires_grad=False)
    assert is_quantized(conv, "weight")
    assert not is_quantized(conv, "bias")
    with pytest.raises(CannotRender) as caught:
        BesideLayer(slot_of(conv), conv)
    assert caught.value.why is Why.QUANTIZED


# --- Files ----------------------------------------------------------------------------------------


def write_gguf(path: Path, model: Any) -> dict[str, torch.Tensor]:
    """Write a model with packed matrices; return the numbers that they stand for."""
    writer, kept = gguf.GGUFWriter(path, "flux"), {}
    for name, value in model.state_dict().items():
        array, kind = value.numpy(), gguf.GGMLQuantizationType.Q8_0
        if value.ndim == 2 and value.shape[1] % 32 == 0:
            data = gguf.quantize(array, kind)
            writer.add_tensor(name, data, raw_dtype=kind)
            kept[name] = torch.tensor(gguf.dequantize(data, kind))
        else:
            writer.add_tensor(name, array)
            kept[name] = value
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return kept


SETTINGS = 'device = "cpu"\ndtype = "float32"\nsteps = 2\nwidth = 32\nheight = 32\n'


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A bases file with a GGUF file, and the pipeline with the numbers that it stands for."""
    folder = tmp_path_factory.mktemp("gguf")
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = bases.flux1()
        pipeline.save_pretrained(folder / "whole")
    for weights in (folder / "whole" / "transformer").glob("*.safetensors"):
        weights.unlink()
    pipeline.transformer.load_state_dict(write_gguf(folder / "x.gguf", pipeline.transformer))
    pipeline.set_progress_bar_config(disable=True)
    file = folder / "bases.toml"
    file.write_text(f'[bases.a]\nfamily = "flux1"\nfile = "x.gguf"\nconfig = "whole"\n{SETTINGS}')
    return file, pipeline


def drawn(pipeline: Any) -> np.ndarray[Any, Any]:
    with torch.inference_mode():
        output = pipeline(
            ["a cat"], num_inference_steps=2, width=32, height=32, guidance_scale=3.5,
            generator=[torch.Generator("cpu").manual_seed(1)], max_sequence_length=512,
        )  # fmt: skip
    return np.asarray(output.images[0]).astype(int)


@pytest.mark.parametrize("convention", ["diffusers", "original"])
def test_adapters_are_drawn_on_a_gguf_file(
    flux: tuple[Path, Any], tmp_path: Path, convention: str
) -> None:
    file, plain = flux
    known = load_bases(file)
    assert verify(known.get("a")) == []
    updates = updates_of(plain, "flux1")
    path, config = written(tmp_path / "x.safetensors", convention, plain, updates)
    engine = Engine(known)
    wanted = recipe_of(known.get("a"), prompts=["a cat"], seeds=[1], strengths=[0.0, 1.0])
    control, changed = engine.render(wanted, [layer(path, **config)])
    opened = engine.bases.get("a").pipeline
    assert any(is_quantized(one, "weight") for one in opened.transformer.modules() if
               isinstance(one, nn.Linear))  # fmt: skip
    assert np.abs(pixels(control.png) - drawn(plain)).max() <= CLOSE
    with patched(plain, updates):
        assert np.abs(pixels(changed.png) - drawn(plain)).max() <= CLOSE
    assert np.abs(pixels(changed.png) - pixels(control.png)).mean() > 2
    assert engine.render(wanted)[0].png == control.png


def test_a_file_that_is_no_gguf_is_refused(flux: tuple[Path, Any], tmp_path: Path) -> None:
    file, _plain = flux
    (tmp_path / "whole").symlink_to(file.parent / "whole")
    (tmp_path / "x.gguf").write_bytes(b"GGUF\x09" + bytes(20))
    text = file.read_text()
    (tmp_path / "bases.toml").write_text(text)
    known = load_bases(tmp_path / "bases.toml")
    [fault] = verify(known.get("a"))
    assert "is not a GGUF file of version 2 or 3" in fault.message
    with pytest.raises(BaseUnavailable, match="cannot be opened"):
        Engine(known).bases.get("a")


#: Libraries that are tried where they are installed. torchao takes seconds to import, for every
#: process that imports diffusers, and bitsandbytes needs a graphics card.
TRIED = [name for name in ("torchao-int8", "torchao-float8") if find_spec("torchao")]


@pytest.mark.parametrize("kind", TRIED or [None])
def test_a_base_is_quantised_while_it_is_opened(
    tiny_folder: Path, plain: Any, tmp_path: Path, kind: str | None
) -> None:
    if kind is None:  # it is not installed: the base is refused with what to install
        base = bases_at(tiny_folder, quantization="torchao-int8")
        assert "torchao is not installed" in verify(base.get("tiny"))[0].message
        with pytest.raises(BaseUnavailable, match="pip install torchao"):
            Engine(base).bases.get("tiny")
        return
    engine = Engine(bases_at(tiny_folder, quantization=kind, dtype="float32"))
    unet = engine.bases.get("tiny").pipeline.unet
    count = 0
    for name, module in unet.named_modules():
        if isinstance(module, nn.Linear) and is_quantized(module, "weight"):
            plain.unet.get_submodule(name).weight.data = module.weight.dequantize()
            count += 1
    assert count > 10
    updates = some_updates(plain)
    taken = engine.render(recipe(), [layer(write_kohya(tmp_path / "a.safetensors", updates))])
    expected = plain_pictures(plain, recipe().prompts)
    assert np.abs(pixels(taken[0].png) - expected[0]).max() <= CLOSE
    patch(plain, updates)
    expected = plain_pictures(plain, recipe().prompts)
    assert np.abs(pixels(taken[2].png) - expected[0]).max() <= CLOSE
