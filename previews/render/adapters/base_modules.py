"""The modules of a loaded base by every name that adapter files use.

Names in files are looked up, not parsed: kohya's names replace “.” by “_”, so that ``to_out.0`` and
``to_out_0`` look alike.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from previews.render.errors import CannotRender, Why
from previews.render.families import Family

# Names of a UNet's modules in the original Stable Diffusion code.
#
# SDXL adapters trained with kohya's scripts use that code's names (``input_blocks.4.1``) for blocks
# that diffusers calls ``down_blocks.1.attentions.0``.
# Source: diffusers ``scripts/convert_diffusers_to_original_stable_diffusion.py``.

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}


def ldm_names(unet: Any) -> dict[str, str]:  # noqa: ANN401 - diffusers is untyped
    """Return original names by diffusers' names; empty for other architectures."""
    if not all(hasattr(unet, part) for part in ("down_blocks", "mid_block", "up_blocks")):
        return {}
    blocks = dict(_blocks(unet))
    return {
        name: renamed
        for name, _ in unet.named_modules()
        if (renamed := _rename(name, blocks)) is not None
    }


def _rename(name: str, blocks: dict[str, str]) -> str | None:
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    if name in blocks:
        return blocks[name]
    for prefix, target in blocks.items():
        if name.startswith(f"{prefix}."):
            rest = name[len(prefix) + 1 :]
            is_resnet = ".resnets." in f"{prefix}."
            return f"{target}.{_RESNET.get(rest, rest) if is_resnet else rest}"
    return None


def _blocks(unet: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """Yield pairs of prefixes, diffusers' and the original's."""
    number = 1
    for i, block in enumerate(unet.down_blocks):
        for j in range(len(block.resnets)):
            yield from _layer(f"down_blocks.{i}", block, j, f"input_blocks.{number}")
            number += 1
        if getattr(block, "downsamplers", None):
            yield f"down_blocks.{i}.downsamplers.0.conv", f"input_blocks.{number}.0.op"
            number += 1
    for j in range(len(getattr(unet.mid_block, "attentions", None) or ())):
        yield f"mid_block.attentions.{j}", f"middle_block.{2 * j + 1}"
    for j in range(len(getattr(unet.mid_block, "resnets", ()))):
        yield f"mid_block.resnets.{j}", f"middle_block.{2 * j}"
    number = 0
    for i, block in enumerate(unet.up_blocks):
        for j in range(len(block.resnets)):
            yield from _layer(f"up_blocks.{i}", block, j, f"output_blocks.{number}")
            number += 1
        if getattr(block, "upsamplers", None):
            place = 2 if getattr(block, "attentions", None) else 1
            yield f"up_blocks.{i}.upsamplers.0", f"output_blocks.{number - 1}.{place}"


def _layer(path: str, block: Any, j: int, target: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    yield f"{path}.resnets.{j}", f"{target}.0"
    if getattr(block, "attentions", None):
        yield f"{path}.attentions.{j}", f"{target}.1"


#: Prefixes of kohya's names for each part of a pipeline.
_KOHYA = {
    "unet": ("lora_unet", "oft_unet", "lycoris"),
    "transformer": ("lora_unet", "lora_transformer", "lycoris"),
    "text_encoder": ("lora_te", "lora_te1"),
    "text_encoder_2": ("lora_te2",),
    "text_encoder_3": ("lora_te3",),
}
_MAIN = ("unet", "transformer")
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, slots=True)
class BaseModule:
    """A module of the base that an adapter may change.

    ``shape`` is that of its weight: ``(out, in)`` or ``(out, in / groups, kernel, kernel)``; norm
    layers and embeddings (``is_layer`` is false) have others. ``bias_size`` is 0 without a bias.
    """

    component: str
    name: str
    shape: tuple[int, ...]
    bias_size: int = field(default=0, compare=False)
    is_layer: bool = field(default=True, compare=False)

    @property
    def path(self) -> str:
        """Component and name, as in diffusers."""
        return f"{self.component}.{self.name}"

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution."""
        return len(self.shape) > 2


@dataclass(frozen=True, slots=True)
class Table:
    """Modules of a base by name; a ``fused`` name stands for several modules."""

    by_alias: Mapping[str, BaseModule]
    fused: Mapping[str, tuple[BaseModule, ...]] = field(default_factory=dict)

    def find(self, name: str) -> BaseModule | None:
        """Return the module with a name; None if there is none."""
        return self.by_alias.get(name.removeprefix("base_model.model."))

    def find_fused(self, name: str) -> tuple[BaseModule, ...]:
        """Return the modules of a fused name in order; empty if there are none."""
        return self.fused.get(name.removeprefix("base_model.model."), ())

    def into(self, part: str) -> Table:
        """Return a table in which names of the main model refer to another component.

        Raises:
            CannotRender: ``modules``, the base has no such component.
        """
        if not part:
            return self
        slots = set(self.by_alias.values())
        moved = {slot: replace(slot, component=part) for slot in slots if slot.component in _MAIN}
        if not slots.issuperset(moved.values()):
            msg = f"The base model has no “{part}” for this file."
            raise CannotRender(Why.MODULES, msg)
        return Table(
            {alias: moved.get(slot, slot) for alias, slot in self.by_alias.items()},
            {
                alias: tuple(moved.get(slot, slot) for slot in slots)
                for alias, slots in self.fused.items()
            },
        )


def table_of(pipeline: Any, family: Family | None = None) -> Table:  # noqa: ANN401 - diffusers is untyped
    """Return the table of an opened pipeline; names that two modules share are left out."""
    aliases: dict[str, BaseModule] = {}
    doubled: set[str] = set()
    for component in _parts(pipeline):
        model = getattr(pipeline, component, None)
        if model is None:
            continue
        for slot, spellings in _slots(component, model):
            for alias in spellings:
                if aliases.setdefault(alias, slot) != slot:
                    doubled.add(alias)
    known = {alias: slot for alias, slot in aliases.items() if alias not in doubled}
    return with_native(known, family) if family else Table(known)


def _parts(pipeline: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the components that adapters can change; PixArt and Hunyuan-DiT do not list them."""
    return tuple(getattr(pipeline, "_lora_loadable_modules", ("transformer",)))


def with_native(known: dict[str, BaseModule], family: Family) -> Table:
    """Return a table with the names of the original code; diffusers' names take precedence."""
    main = {slot.name: slot for slot in known.values() if slot.component == "transformer"}
    fused: dict[str, tuple[BaseModule, ...]] = {}
    for native, names in native_names(family.native, main):
        for alias in _spellings("transformer", native, None):
            if alias in known:
                continue
            if len(names) == 1:
                known[alias] = main[names[0]]
            else:
                fused[alias] = tuple(main[name] for name in names)
    return Table(known, fused)


def _slots(component: str, model: nn.Module) -> Iterator[tuple[BaseModule, set[str]]]:
    foreign = ldm_names(model) if component == "unet" else {}
    for name, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if "weight" in own:
            shape = tuple(own["weight"].shape)
            if isinstance(module, nn.Linear):  # packed weights have other shapes
                shape = (module.out_features, module.in_features)
            bias = own["bias"].numel() if "bias" in own else 0
            slot = BaseModule(component, name, shape, bias, isinstance(module, _LAYERS))
            yield slot, set(_spellings(component, name, foreign.get(name)))


def _spellings(component: str, name: str, foreign: str | None) -> Iterator[str]:
    names = [name]
    if component.startswith("text_encoder"):
        # transformers 5 removed a level of CLIPTextModel; files have both names.
        bare = name.removeprefix("text_model.")
        names = [bare, f"text_model.{bare}"]
    if foreign:
        names.append(foreign)
        yield f"diffusion_model.{foreign}"
    for item in names:
        yield f"{component}.{item}"
        if component in _MAIN:
            yield item
            yield f"diffusion_model.{item}"
        for prefix in _KOHYA.get(component, ()):
            yield f"{prefix}_{item.replace('.', '_')}"


def native_names(
    native: Mapping[str, tuple[str, ...]], modules: Collection[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield names of the original code, each with the modules that it represents.

    Args:
        native: Patterns of original names and of diffusers' names; “*” is a number.
    """
    have = set(modules)
    for pattern, targets in native.items():
        expression = re.compile(re.escape(targets[0]).replace(r"\*", r"(\d+)"))
        for module in modules:
            found = expression.fullmatch(module)
            if found is None:
                continue
            names = tuple(_filled(target, found.groups()) for target in targets)
            if have.issuperset(names):
                yield _filled(pattern, found.groups()), names


def _filled(pattern: str, numbers: tuple[str, ...]) -> str:
    for number in numbers:
        pattern = pattern.replace("*", number, 1)
    return pattern
