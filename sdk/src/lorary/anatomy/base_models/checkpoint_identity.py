"""Determines the family and lineage of a whole model (checkpoint) from its header.

The tensors prove the family. Nothing in them shows the lineage, so it is taken from a hash, the
metadata or the file's name, if it fits the family.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from lorary.anatomy.base_models.survey import survey
from lorary.anatomy.claims.lineages import lineages
from lorary.anatomy.claims.metadata import first_text
from lorary.anatomy.claims.vocabulary import covers, lineage_of_label
from lorary.anatomy.families import block_name, family_index
from lorary.anatomy.modules.adapted import Module
from lorary.anatomy.modules.shapes import Dims
from lorary.safetensors import Header, TensorInfo

# Families of base models that a whole model (checkpoint) can belong to.
#
# Used for the base models that a hub renders with. Uploads must be adapters; for checkpoints they
# only get an error that says so.
#
#     model.diffusion_model.input_blocks.1.0.in_layers.2.weight
#     └outer names──┘└──────────path────────────────┘
#
# The path is looked up in the same tables as the modules of an adapter.


_WEIGHT = ".weight"
_OUTER = re.compile(r"(?:(?:model|module|diffusion_model|unet|transformer|net|dit)\.){1,256}")
_OTHER_PARTS = re.compile(
    r"(?:first_stage_model|vae|cond_stage_model|conditioner|text_encoders?(?:_\d)?|image_encoder"
    r"|clip_vision|model_ema|denoiser)\."
)
# Layers that no table has: those of animation models between the layers of the base model, parts
# that adapters leave alone (OmniGen's words, the encoder of faces of Wan Animate), and bare
# parameters under the name of a layer, such as HiDream's router.
_BETWEEN = re.compile(r"(?:^|\.)motion_modules\.|\.ff_i\.gate$|^embed_tokens$|^motion_encoder\.")
# The first and the last layer follow the number of channels: inpainting, depth, control.
_EDGES = re.compile(
    r"(?:conv_(?:in|out)|input_blocks\.0\.0|out\.2|(?:all_)?x_embedder|img_in|patch(?:ify)?_(?:embed"
    r"(?:ding)?|proj)|pos_embed\.proj|proj_(?:in|out)(?:_conv)?|visual_embeddings|(?:all_)?final_layer"
    r"|head\.head|out_layer)(?:\.|$)"
)
# Two or more numbers in one byte: the tensor does not have the shape of the weight.
_PACKED = frozenset({"U8", "F4"})


def checkpoint_families(tensors: Mapping[str, TensorInfo]) -> dict[str, int]:
    """Find the families whose tables have every layer of a checkpoint.

    The first and the last layers are not compared.

    Returns:
        Family id to the number of its layers that the checkpoint lacks; empty if none fits.
    """
    seen = survey(list(_layers(tensors)))
    total = len(seen.denoiser)
    fitting = [name for name, count in seen.fitting.items() if count == total]
    return {name: sum(not _EDGES.match(path) for path in seen.missing(name)) for name in fitting}


def _layers(tensors: Mapping[str, TensorInfo]) -> Iterator[Module]:
    for name, tensor in tensors.items():
        module = name.removesuffix(_WEIGHT)
        if module == name or len(tensor.shape) < 2 or _OTHER_PARTS.match(name):
            continue
        outer = _OUTER.match(module)
        path = module if outer is None else module[outer.end() :]
        place = family_index().find(path, is_flat=False)
        if _BETWEEN.search(path) or _EDGES.match(path if place is None else place.path):
            continue
        block = block_name(path) if place is None else place.block
        roles = {"base": tensor}
        yield Module(module, "denoiser", block, "", (), _sizes(tensor), roles, place)


def _sizes(tensor: TensorInfo) -> Dims:
    if tensor.dtype in _PACKED:
        return Dims(None, None, None)
    shape = tensor.shape
    return Dims(shape[0], math.prod(shape[1:]), None, math.prod(shape[2:]) > 1)


_TITLES = ("modelspec.title", "general.name", "ss_output_name", "ss_sd_model_name")
_MOST_VALUE = 200


class Checkpoint(NamedTuple):
    """What is known about a checkpoint.

    Attributes:
        families: Families that the tensors allow; () if it is not a checkpoint of a known family.
        lineage: The lineage that a hash or a name claims; None if unknown.
    """

    families: tuple[str, ...]
    lineage: str | None

    @property
    def family(self) -> str | None:
        """Return the only possible family; None if there are several or none."""
        return self.families[0] if len(self.families) == 1 else None


def identify_checkpoint(header: Header, *, name: str = "", autov1: str = "") -> Checkpoint:
    """Return family and lineage of a checkpoint.

    Args:
        header: Its header.
        name: The file's name.
        autov1: Its old short hash: 8 digits of the SHA-256 of the 64 KiB after the first MiB.
    """
    found = checkpoint_families(header.tensors) if header.tensors else {}
    least = min(found.values(), default=0)
    families = tuple(family for family, lacking in found.items() if lacking == least)
    table = lineages()
    for lineage in _claimed(header, name, autov1):
        claimed = table.family_of(lineage)
        fitting = tuple(one for one in families if claimed is None or covers(claimed, one))
        if fitting:
            return Checkpoint(fitting, lineage)
    return Checkpoint(families, None)


def _claimed(header: Header, name: str, autov1: str) -> Iterator[str]:
    """Yield the claimed lineages, the most trusted first."""
    table = lineages()
    known = table.by_hash(autov1) if autov1 else None
    if known is not None:
        yield known
    for key in _TITLES:
        yield from table.by_name(first_text(header.metadata, key, most=_MOST_VALUE) or "")
    yield from table.by_name(name[:_MOST_VALUE])
    label = first_text(header.metadata, "modelspec.architecture", most=_MOST_VALUE) or ""
    variant = lineage_of_label(label)
    if variant is not None:
        yield variant
