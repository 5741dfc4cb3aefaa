"""Base models of files that repeat none of a model's layers but fasten to it.

IP-Adapters, motion modules, T2I-Adapters, embeddings, and the text encoders of a checkpoint that
was taken apart. Widths and places are the only signs; `attachments.json` has what they mean.

Sources: the layouts of IP-Adapter, AnimateDiff, T2I-Adapter (pixels folded 8 x 8 for Stable
Diffusion 1.x, 16 x 16 for XL; like motion modules made for these alone), LDM and SGM checkpoints,
and the embeddings of AUTOMATIC1111, kohya and diffusers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from lorary.anatomy.base_models.narrowing import Evidence, listed
from lorary.anatomy.families import families

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lorary.safetensors import TensorInfo

    Tensors = Mapping[str, TensorInfo]

__all__ = ["Fit", "attached", "twin_of"]


class Fit(NamedTuple):
    """Families that a file fastens to.

    Attributes:
        families: The families, in display order.
        is_proven: Names and sizes leave no other.
        evidence: Why.
    """

    families: tuple[str, ...]
    is_proven: bool
    evidence: Evidence


def attached(kind: str, tensors: Tensors) -> Fit | None:
    """Find the families that a file fastens to.

    Args:
        kind: What the file is.
        tensors: Its tensors.

    Returns:
        The families with the reason; None when nothing in the file tells one.
    """
    finder = _FINDERS.get(kind)
    return None if finder is None else finder(tensors)


def twin_of(family: str, shapes: Mapping[str, Sequence[int]]) -> Fit | None:
    """Find the family whose denoiser is equal once a part of it lies in a file of its own.

    Args:
        family: A family that has all layers of a checkpoint.
        shapes: Shapes of the checkpoint's weights by their names in the base model.

    Returns:
        Both; None where there is no such family, or a width is the first one's alone.
    """
    row = _facts()["apart"].get(family)
    if row is None or any(list(shapes.get(path, ())) == own for path, own in row["only"].items()):
        return None
    text = f"{listed([row['family']])} has the same layers when {row['part']} lies in another file."
    return _fit([family, row["family"]], "apart", text, ())


@cache
def _facts() -> Mapping[str, Any]:
    text = (resources.files("lorary.anatomy.base_models") / "attachments.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _fit(
    names: Sequence[str], rule: str, text: str, keys: Sequence[str], *, is_proven: bool = False
) -> Fit | None:
    found = tuple(name for name in families() if name in names)
    evidence = Evidence(rule, text.format(listed(found, "or")), tuple(keys[:5]))
    return Fit(found, is_proven, evidence) if found else None


_IMAGE_KEYS = re.compile(r"to_k_ip(?:\.0)?\.weight$|ip_adapter_\w{1,512}_k_proj\.weight$")
_TEXT_KEYS = "attn2.to_k"


def _of_ip_adapter(tensors: Tensors) -> Fit | None:
    """An IP-Adapter has keys for the image where the base model has keys for the text."""
    found = {
        name: tensor.shape
        for name, tensor in tensors.items()
        if len(tensor.shape) == 2 and _IMAGE_KEYS.search(name)
    }
    sizes: _Sizes = Counter(found.values())
    text = (
        f"It has {len(found)} layers for the image, as many and as wide as {{}} has for the text."
    )
    for measure in (_whole, _inputs):
        fits = [name for name, own in _cross_attention().items() if measure(own) == measure(sizes)]
        if sizes and fits:
            is_proven = measure is _whole and len(fits) == 1
            return _fit(fits, "widths", text, list(found), is_proven=is_proven)
    outs = {shape[0] for shape in found.values()}
    for row in _facts()["ip_adapter"]:
        if outs == {row["out"]} and len(found) == row["layers"]:
            text = f"It has {len(found)} layers for the image, one for each block of {{}}."
            return _fit(row["families"], "widths", text, list(found))
    return None


_Sizes = Counter[tuple[int, ...]]


def _whole(sizes: _Sizes) -> _Sizes:
    return sizes


def _inputs(sizes: _Sizes) -> _Sizes:
    """How many layers read how many numbers."""
    found: _Sizes = Counter()
    for shape, count in sizes.items():
        found[shape[1:]] += count
    return found


@cache
def _cross_attention() -> Mapping[str, _Sizes]:
    """Family to the sizes of its cross-attention's keys."""
    found = {}
    for name, family in families().items():
        modules = family.namings.get("diffusers", {})
        sizes = Counter(shape for path, shape in modules.items() if path.endswith(_TEXT_KEYS))
        if sizes:
            found[name] = sizes
    return found


_MOTION = re.compile(
    r"(?:^|\.)down_blocks\.(\d{1,2})\.motion_modules\.\d{1,9}\.(?:\w{1,512}\.)?proj_in\.weight$"
)


def _of_motion_module(tensors: Tensors) -> Fit | None:
    levels: dict[int, int] = {}
    keys = []
    for name, tensor in tensors.items():
        found = _MOTION.search(name)
        if found and tensor.shape:
            levels[int(found[1])] = tensor.shape[0]
            keys.append(name)
    widths = [levels[level] for level in sorted(levels)]
    for row in _facts()["motion_module"]:
        if widths == row["widths"] and max(levels) + 1 == len(levels):
            text = (
                f"Its levels are {', '.join(map(str, widths))} wide, as in {{}}, and motion "
                "modules are made for Stable Diffusion 1.x and XL alone."
            )
            return _fit(row["families"], "widths", text, keys)
    return None


_T2I = re.compile(r"^(?:adapter\.)?(?:conv_in|body\.0\.in_conv)\.weight$")
_T2I_BODY = re.compile(r"^(?:adapter\.)?body\.\d{1,9}\.(?:resnets\.\d{1,9}\.)?block1\.weight$")
_COLOURS = (1, 3)


def _of_t2i_adapter(tensors: Tensors) -> Fit | None:
    first = next((name for name in tensors if _T2I.match(name)), None)
    body = [name for name in tensors if _T2I_BODY.match(name)]
    if first is None or not body or len(tensors[first].shape) < 2:
        return None
    width = tensors[first].shape[1]
    for row in _facts()["t2i_adapter"]:
        if width in {colours * row["pixels"] for colours in _COLOURS}:
            text = (
                f"It is a T2I-Adapter that reads {width} numbers for each place of the picture, as "
                "those for {} do, and they are made for Stable Diffusion 1.x and XL alone."
            )
            return _fit(row["families"], "widths", text, [first])
    return None


def _of_checkpoint(tensors: Tensors) -> Fit | None:
    """The text encoders' places in a checkpoint of the original layout."""
    for row in _facts()["ldm_encoders"]:
        keys = [next((key for key in tensors if key.startswith(name)), "") for name in row["names"]]
        if all(keys):
            text = "The text encoders stand where checkpoints of {} have them."
            return _fit(row["families"], "layout", text, keys)
    return None


def _of_embedding(tensors: Tensors) -> Fit | None:
    facts = _facts()["embedding"]
    parts = {facts["widths"].get(str(tensor.shape[-1])) for tensor in tensors.values()}
    keys = list(tensors)
    if None in parts:
        return None
    if parts == {"clip_l", "clip_g"}:
        text = (
            "It has vectors for CLIP-L and CLIP-G and no other encoder, as embeddings of {} have."
        )
        return _fit(facts["pair"], "widths", text, keys)
    width = next(iter(tensors.values())).shape[-1]
    text = f"Its vectors are {width} wide, as those of embeddings for {{}} are."
    if len(parts) == 1 and not _names_its_encoder(keys):
        table = facts["sole" if _is_webui(keys) else "token"]
        part = next(iter(parts))
        if part in table:
            return _fit(table[part], "widths", text, keys)
    with_all = [
        name
        for name, family in families().items()
        if parts <= {one for ids in family.text_encoders.values() for one in ids}
    ]
    return _fit(with_all, "widths", "Its vectors are for text encoders that {} have.", keys)


def _is_webui(keys: Sequence[str]) -> bool:
    """AUTOMATIC1111's form names no encoder, because its models have one."""
    return all(key == "emb_params" or key.startswith("string_to_param") for key in keys)


def _names_its_encoder(keys: Sequence[str]) -> bool:
    return any(
        key in {"clip_l", "clip_g", "t5xxl"} or key.startswith("text_encoders_") for key in keys
    )


_FINDERS: Mapping[str, Callable[[Tensors], Fit | None]] = {
    "checkpoint": _of_checkpoint,
    "embedding": _of_embedding,
    "ip_adapter": _of_ip_adapter,
    "motion_module": _of_motion_module,
    "other": _of_t2i_adapter,
}
