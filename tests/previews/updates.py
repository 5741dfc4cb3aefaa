"""Random adapters for the tiny base, written in every spelling, and the arithmetic they mean."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from previews.render import Base, Bases, Layer, Recipe
from previews.render.pictures import Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
FEED = ("ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
CONVS = ("conv1", "conv2", "downsamplers.0.conv")


class ControlsInMemory(dict[str, Picture]):
    """A store of pictures at strength 0."""

    def find(self, keys: Iterable[str]) -> dict[str, Picture]:
        return {key: self[key] for key in keys if key in self}

    def add(self, pictures: Mapping[str, Picture]) -> None:
        self.update(pictures)


@dataclass(frozen=True)
class Update:
    """W + alpha / rank * B A of one module."""

    component: str
    name: str
    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        return int(self.down.shape[0])

    @property
    def delta(self) -> Tensor:
        flat = self.up.flatten(1) @ self.down.flatten(1)
        return self.alpha / self.rank * flat.reshape(self.up.shape[0], *self.down.shape[1:])


def some_updates(
    pipeline: Any,
    names: Iterable[str] = (*ATTENTION, *FEED),
    text: Iterable[str] = TEXT,
    ranks: Sequence[int] = (4,),
    alphas: Sequence[float] = (4.0,),
    seed: int = 0,
    main: str = "unet",
    spread: float = 0.08,
) -> list[Update]:
    """Random updates of the modules whose names end so; ranks and alphas take turns.

    What is scaled up wants less ``spread``: a base that is torn apart blows up the last bits, too.
    """
    random = torch.Generator().manual_seed(seed)
    endings = {main: tuple(names), "text_encoder": tuple(text)}
    found = [
        (component, name, module.weight)
        for component, ends in endings.items()
        for name, module in getattr(pipeline, component).named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
        and any(name.endswith(f".{end}") for end in ends)
    ]
    updates = []
    for index, (component, name, weight) in enumerate(found):
        rank, alpha = ranks[index % len(ranks)], alphas[index % len(alphas)]
        tail = [1] * (weight.ndim - 2)
        down = torch.randn(rank, *weight.shape[1:], generator=random)
        up = torch.randn(weight.shape[0], rank, *tail, generator=random) * spread
        updates.append(Update(component, name, down, up, alpha))
    return updates


def patch(pipeline: Any, updates: Iterable[Update], strength: float = 1.0) -> None:
    """The oracle: add the updates to the weights themselves."""
    with torch.no_grad():
        for update in updates:
            module = getattr(pipeline, update.component).get_submodule(update.name)
            module.weight += strength * update.delta


def write_kohya(path: Path, updates: Iterable[Update], *, has_alpha: bool = True) -> Path:
    tensors: dict[str, Tensor] = {}
    for update in updates:
        is_text = update.component == "text_encoder"
        prefix = "lora_te_text_model_" if is_text else "lora_unet_"
        name = prefix + update.name.replace(".", "_")
        tensors[f"{name}.lora_down.weight"] = update.down
        tensors[f"{name}.lora_up.weight"] = update.up
        if has_alpha:
            tensors[f"{name}.alpha"] = torch.tensor(update.alpha)
    return _save(path, tensors)


def write_diffusers(path: Path, updates: Sequence[Update]) -> Path:
    """lora_A / lora_B with alphas in the header, as ``save_lora_weights`` leaves them."""
    tensors: dict[str, Tensor] = {}
    config: dict[str, Any] = {}
    for update in updates:
        text = "text_model." if update.component == "text_encoder" else ""
        name = f"{update.component}.{text}{update.name}"
        tensors[f"{name}.lora_A.weight"] = update.down
        tensors[f"{name}.lora_B.weight"] = update.up
        config[f"{update.component}.lora_alpha"] = update.alpha
    for update in updates:
        if update.alpha != config[f"{update.component}.lora_alpha"]:
            pattern = config.setdefault(f"{update.component}.alpha_pattern", {})
            pattern[update.name] = update.alpha
    return _save(path, tensors, {"lora_adapter_metadata": json.dumps(config)})


def write_mixed(path: Path, updates: Iterable[Update]) -> Path:
    """What diffusers' own helper writes: attention in one spelling, the rest in another."""
    tensors = {}
    for update in updates:
        is_attention = update.name.endswith(ATTENTION)
        down, up = ("lora.down", "lora.up") if is_attention else ("lora_A", "lora_B")
        tensors[f"{update.component}.{update.name}.{down}.weight"] = update.down
        tensors[f"{update.component}.{update.name}.{up}.weight"] = update.up
    return _save(path, tensors)


def write_old_diffusers(path: Path, updates: Iterable[Update]) -> Path:
    """Attention processors of 2023: ``attn1.processor.to_out_lora.up.weight``."""
    tensors = {}
    for update in updates:
        parent, _, leaf = update.name.removesuffix(".0").rpartition(".")
        for part, tensor in (("down", update.down), ("up", update.up)):
            tensors[f"unet.{parent}.processor.{leaf}_lora.{part}.weight"] = tensor
    return _save(path, tensors)


def write_peft(path: Path, updates: Iterable[Update]) -> Path:
    """A UNet trained with PEFT alone; the alpha is in adapter_config.json beside it."""
    tensors = {}
    for update in updates:
        tensors[f"base_model.model.{update.name}.lora_A.weight"] = update.down
        tensors[f"base_model.model.{update.name}.lora_B.weight"] = update.up
    return _save(path, tensors)


def _save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return path


def pixels(png: bytes) -> np.ndarray[Any, Any]:
    """Colour values, 0 to 255, as whole numbers with a sign."""
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


def bases_at(folder: Path, **changes: Any) -> Bases:
    settings: dict[str, Any] = {
        "family": "miniature", "device": "cpu", "steps": 2, "guidance": 2.5, "width": 64,
        "height": 64, "batch": 8, "trigger": "end",
    }  # fmt: skip
    base = Base(id="tiny", location=str(folder), is_local=True, **(settings | changes))
    return Bases({"tiny": base})


def recipe(**changes: Any) -> Recipe:
    settings: dict[str, Any] = {
        "base": "tiny", "prompts": ("a red house", "a cat in the snow"), "seeds": (1,),
        "strengths": (0.0, 1.0), "steps": 2, "guidance": 2.5, "width": 64, "height": 64,
        "trigger": "end",
    }  # fmt: skip
    return Recipe(**(settings | changes))


def layer(path: Path, weight: float = 1.0, **config: Any) -> Layer:
    return Layer(path, weight, name=path.stem, sha256="ab" * 32, config=config)
