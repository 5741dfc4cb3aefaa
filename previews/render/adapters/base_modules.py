"""Which modules a loaded base has, under every name that adapter files give them.

A file's name is looked up here and never taken apart, since kohya's names write “.” and “_”
alike: ``to_out.0`` and ``to_out_0`` would be the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from previews.render.adapters.ldm import ldm_names
from previews.render.errors import CannotRender, Why

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from previews.render.families import Family

__all__ = ["Slot", "Table", "native_names", "table_of", "with_native"]

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
class Slot:
    """A module of the base that an adapter may change.

    ``shape`` is that of its weight: ``(out, in)`` or ``(out, in / groups, kernel, kernel)``, or
    anything where ``is_layer`` is false: norm layers and embeddings. ``bias_size`` is 0 for none.
    """

    component: str
    name: str
    shape: tuple[int, ...]
    bias_size: int = field(default=0, compare=False)
    is_layer: bool = field(default=True, compare=False)

    @property
    def path(self) -> str:
        """Component and name, as diffusers writes them."""
        return f"{self.component}.{self.name}"

    @property
    def is_conv(self) -> bool:
        """Whether the update is a convolution."""
        return len(self.shape) > 2


@dataclass(frozen=True, slots=True)
class Table:
    """Slots of a base by every name that files use; ``fused`` names stand for several."""

    by_alias: Mapping[str, Slot]
    fused: Mapping[str, tuple[Slot, ...]] = field(default_factory=dict)

    def find(self, name: str) -> Slot | None:
        """Return the module that a file means, or None."""
        plain = name.removeprefix("base_model.model.")
        return self.by_alias.get(plain)

    def find_fused(self, name: str) -> tuple[Slot, ...]:
        """Return the modules whose rows one after the other a file means; empty for none."""
        return self.fused.get(name.removeprefix("base_model.model."), ())

    def into(self, part: str) -> Table:
        """Return the table with names of the main model meaning another part of the same build.

        Raises:
            CannotRender: ``modules``, the base has no such part.
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
    """Look at an opened pipeline without adapters.

    A name that two modules share is left out: which of them a file meant cannot be known.
    """
    aliases: dict[str, Slot] = {}
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
    """Return what adapters may change; PixArt and Hunyuan-DiT have no verbs to say it."""
    return tuple(getattr(pipeline, "_lora_loadable_modules", ("transformer",)))


def with_native(known: dict[str, Slot], family: Family) -> Table:
    """Add the names of the original code; diffusers' own mean what diffusers means by them."""
    main = {slot.name: slot for slot in known.values() if slot.component == "transformer"}
    fused: dict[str, tuple[Slot, ...]] = {}
    for native, names in native_names(family.native, main):
        for alias in _spellings("transformer", native, None):
            if alias in known:
                continue
            if len(names) == 1:
                known[alias] = main[names[0]]
            else:
                fused[alias] = tuple(main[name] for name in names)
    return Table(known, fused)


def _slots(component: str, model: nn.Module) -> Iterator[tuple[Slot, set[str]]]:
    foreign = ldm_names(model) if component == "unet" else {}
    for name, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if "weight" in own:
            bias = own["bias"].numel() if "bias" in own else 0
            is_layer = isinstance(module, _LAYERS)
            slot = Slot(component, name, tuple(own["weight"].shape), bias, is_layer)
            yield slot, set(_spellings(component, name, foreign.get(name)))


def _spellings(component: str, name: str, foreign: str | None) -> Iterator[str]:
    names = [name]
    if component.startswith("text_encoder"):
        # transformers 5 took a level out of CLIPTextModel; files name both.
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
    """Yield original names, each with the modules it stands for, as far as the model has them.

    Args:
        native: Patterns of original names with those of diffusers' modules; “*” is a number.
        modules: Names of the model's modules.
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
