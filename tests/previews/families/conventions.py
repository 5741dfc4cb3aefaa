"""One random adapter of a tiny base, written under every name that files of the family use."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from previews.render.adapters.base_modules import ldm_names, native_names
from previews.render.families import family_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

#: Layers that trainers choose: attention and feed-forward.
_USUAL = re.compile(
    r".+\.(attn\d?|attention|ff|ff_context|ff_i|ffn|feed_forward|proj_mlp|proj_out)\b.*"
)
MOST = 40


@dataclass(frozen=True)
class Update:
    """A module of a file: its original name, and the modules of the base it stands for."""

    component: str
    native: str
    names: tuple[str, ...]
    rows: tuple[int, ...]
    down: Tensor
    up: Tensor
    alpha: float

    @property
    def parts(self) -> Iterator[tuple[str, Tensor]]:
        """Modules of the base with their rows of ``up``."""
        return zip(self.names, torch.split(self.up, list(self.rows)), strict=True)


def updates_of(
    pipeline: Any, family: str, *, mixed: bool = True, part: str = "", seed: int = 7
) -> list[Update]:
    """Random updates; modules that are fused in the original code have one ``down``."""
    component = part or ("unet" if hasattr(pipeline, "unet") else "transformer")
    model = getattr(pipeline, component)
    modules = {
        name: module.weight
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and _USUAL.fullmatch(name)
    }
    # Where the original code has two spellings, the first one.
    original: dict[tuple[str, ...], str] = {}
    for name, names in native_names(family_of(family).native, modules):
        original.setdefault(names, name)
    native = {name: names for names, name in original.items()}
    told = {name for names in original for name in names}
    native |= {name: (name,) for name in modules if name not in told}
    random = torch.Generator().manual_seed(seed)
    updates = []
    for index, (name, names) in enumerate(sorted(native.items())[:MOST]):
        rank, alpha = ((4, 4.0), (2, 4.0), (4, 1.0))[index % 3 if mixed else 0]
        rows = tuple(modules[part].shape[0] for part in names)
        down = torch.randn(rank, modules[names[0]].shape[1], generator=random)
        up = torch.randn(sum(rows), rank, generator=random) * 0.1
        updates.append(Update(component, name, names, rows, down, up, alpha))
    return updates


def moved(update: Update, component: str) -> Update:
    """Return the update of the module of this name in another part."""
    return replace(update, component=component)


@contextmanager
def patched(pipeline: Any, updates: list[Update]) -> Iterator[None]:
    """The oracle: for the time of the block the updates are in the weights themselves."""
    kept: list[tuple[Tensor, Tensor]] = []
    with torch.no_grad():
        for update in updates:
            for name, up in update.parts:
                weight = getattr(pipeline, update.component).get_submodule(name).weight
                kept.append((weight, weight.clone()))
                weight += update.alpha / len(update.down) * (up @ update.down)
        try:
            yield
        finally:
            for weight, before in kept:
                weight.copy_(before)


Named = Callable[[Any, list[Update]], Iterator[tuple[str, "Tensor", "Tensor", float]]]


def _plain(prefix: str, *, flat: bool = False) -> Named:
    """Diffusers' names behind a prefix."""

    def names(_: Any, updates: list[Update]) -> Any:
        for update in updates:
            for name, up in update.parts:
                spelled = name.replace(".", "_") if flat else name
                yield f"{prefix}{spelled}", update.down, up, update.alpha

    return names


def _original(prefix: str, *, flat: bool = False) -> Named:
    """Names of the original code behind a prefix; of UNets, those of the LDM code."""

    def names(pipeline: Any, updates: list[Update]) -> Any:
        ldm = ldm_names(pipeline.unet) if hasattr(pipeline, "unet") else {}
        for update in updates:
            name = ldm.get(update.native, update.native)
            spelled = name.replace(".", "_") if flat else name
            yield f"{prefix}{spelled}", update.down, update.up, update.alpha

    return names


#: How files call the halves of a pair.
_KOHYA = ("lora_down.weight", "lora_up.weight")
_PEFT = ("lora_A.weight", "lora_B.weight")
_EARLY = ("lora.down.weight", "lora.up.weight")

CONVENTIONS: dict[str, tuple[str, Named, tuple[str, str], bool]] = {
    # name: (what it is, names, halves, whether alphas are tensors of the file)
    "diffusers": ("save_lora_weights", _plain("{part}."), _PEFT, False),
    "early": ("diffusers 0.2x", _plain("{part}."), _EARLY, False),
    "peft": ("PEFT with its configuration", _plain("base_model.model."), _PEFT, False),
    "kohya": ("flattened diffusers names", _plain("lora_unet_", flat=True), _KOHYA, True),
    "original": ("ComfyUI, ai-toolkit", _original("diffusion_model."), _PEFT, True),
    "kohya-original": ("flattened", _original("lora_unet_", flat=True), _KOHYA, True),
}


def conventions_of(family: str) -> tuple[str, ...]:
    """Return those that say something else for a family than the ones before."""
    has_own = bool(family_of(family).native) or family in {"sd1", "sd2", "sdxl", "kolors"}
    everywhere = ("diffusers", "early", "peft", "kohya", "original")
    return (*everywhere, "kohya-original") if has_own else everywhere


def written(
    path: Path, convention: str, pipeline: Any, updates: list[Update], *, is_bare: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Write the updates to a file; returns it with PEFT's configuration beside it.

    A bare one says no alphas where a format can do without: they are the ranks.
    """
    _, named, (down_key, up_key), has_alphas = CONVENTIONS[convention]
    part = updates[0].component
    tensors: dict[str, Tensor] = {}
    alphas: dict[str, float] = {}
    for name, down, up, alpha in named(pipeline, updates):
        key = name.replace("{part}", part)
        tensors[f"{key}.{down_key}"], tensors[f"{key}.{up_key}"] = down.clone(), up.clone()
        alphas[name.removeprefix("{part}.").removeprefix("base_model.model.")] = alpha
        if has_alphas and not (is_bare and down_key == _PEFT[0]):
            tensors[f"{key}.alpha"] = torch.tensor(alpha)
    config = {"lora_alpha": updates[0].alpha, "alpha_pattern": alphas}
    prefixed = {f"{part}.{key}": value for key, value in config.items()}
    metadata = {"lora_adapter_metadata": json.dumps(prefixed)}
    is_told = convention in {"diffusers", "early"} and not is_bare
    save_file(tensors, path, metadata if is_told else None)
    return path, config if convention == "peft" else {}
