"""Adapters on a pipeline: load, verify, dial, take off again.

Everything goes through diffusers' public verbs, which also look after offloaded models. What
diffusers would only warn about is an error here: after loading, every module of the file must be
in the pipeline, with its numbers and at scale 1, or no picture is made.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from previews.render.errors import CannotRender, Why
from previews.render.normalise import normalise, read
from previews.render.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from previews.render.modules import Table
    from previews.render.normalise import Normal
    from previews.render.recipe import Layer

__all__ = ["Rack", "mounted", "remains"]


class Rack:
    """The adapters of one stack on one pipeline, dialled together."""

    def __init__(self, pipeline: Any, names: Sequence[str], weights: Sequence[float]) -> None:  # noqa: ANN401
        self.pipeline = pipeline
        self.names = list(names)
        self.weights = list(weights)

    def dial(self, strength: float) -> None:
        """Set every adapter to its own weight times ``strength``; at 0 they are switched off."""
        if not self.names:
            return
        if strength == 0 or not any(self.weights):
            self.pipeline.disable_lora()
            return
        self.pipeline.enable_lora()
        self.pipeline.set_adapters(self.names, [weight * strength for weight in self.weights])


@contextmanager
def mounted(pipeline: Any, table: Table, stack: Sequence[Layer]) -> Iterator[Rack]:  # noqa: ANN401
    """Load a stack for the time of the block; the pipeline is the plain base afterwards.

    Raises:
        CannotRender: a file cannot be read, does not fit, or was not taken over whole.
    """
    convert = None if hasattr(pipeline, "unet") else _converter(pipeline)
    normals = [
        normalise(read(layer.path, layer.config), table.into(layer.part), convert)
        for layer in stack
    ]
    names = [f"layer_{number}" for number in range(len(stack))]
    try:
        with quiet():
            for name, normal in zip(names, normals, strict=True):
                _load(pipeline, name, normal)
        yield Rack(pipeline, names, [layer.weight for layer in stack])
    finally:
        if stack:
            pipeline.unload_lora_weights()


def remains(pipeline: Any) -> bool:  # noqa: ANN401
    """Whether adapter layers are still in a pipeline, so that it is no plain base."""
    return any(
        isinstance(module, BaseTunerLayer)
        for model in _models(pipeline).values()
        for module in model.modules()
    )


def _converter(pipeline: Any) -> Any:  # noqa: ANN401
    def convert(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        with quiet():
            result = pipeline.lora_state_dict(tensors)
        return dict(result[0] if isinstance(result, tuple) else result)

    return convert


def _models(pipeline: Any) -> dict[str, torch.nn.Module]:  # noqa: ANN401
    parts = pipeline._lora_loadable_modules  # noqa: SLF001 - diffusers' only list of them
    return {part: model for part in parts if (model := getattr(pipeline, part, None)) is not None}


def _load(pipeline: Any, name: str, normal: Normal) -> None:  # noqa: ANN401
    try:
        pipeline.load_lora_weights(dict(normal.state), adapter_name=name)
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        msg = f"The base model did not take this file: {str(error)[:300]}"
        raise CannotRender(Why.REJECTED, msg) from error
    loaded = _loaded(pipeline, name)
    paths = [slot.path for slot in normal.slots]
    wrong = [path for path in paths if not _is_whole(loaded.get(path), name, normal, path)]
    if wrong or len(loaded) != normal.modules:
        msg = (
            f"{normal.modules - len(wrong)} of {normal.modules} modules were taken over as they "
            f"are in the file; a picture would be wrong. First one missing: {(wrong or ['?'])[0]}"
        )
        raise CannotRender(Why.INCOMPLETE, msg)


def _loaded(pipeline: Any, name: str) -> dict[str, BaseTunerLayer]:  # noqa: ANN401
    return {
        f"{part}.{path}": module
        for part, model in _models(pipeline).items()
        for path, module in model.named_modules()
        if isinstance(module, BaseTunerLayer) and name in getattr(module, "lora_A", {})
    }


def _is_whole(layer: Any, name: str, normal: Normal, path: str) -> bool:  # noqa: ANN401
    if layer is None or layer.scaling[name] != 1.0:
        return False
    pairs = [
        (layer.lora_A[name].weight, normal.state[f"{path}.lora_A.weight"]),
        (layer.lora_B[name].weight, normal.state[f"{path}.lora_B.weight"]),
    ]
    magnitude = normal.state.get(f"{path}.lora_magnitude_vector")
    if magnitude is not None:
        pairs.append((layer.lora_magnitude_vector[name].weight, magnitude))
    return all(_is_same(held, said) for held, said in pairs)


def _is_same(held: torch.Tensor, said: torch.Tensor) -> bool:
    expected = said.to(device=held.device, dtype=held.dtype)
    return held.shape == expected.shape and torch.equal(held.detach(), expected)
