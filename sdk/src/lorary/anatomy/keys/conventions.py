"""File conventions: how a file spells its tensor names.

Each key has a convention; `file_convention` returns the leading one of a file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from lorary.anatomy.families import families, family_index

if TYPE_CHECKING:
    from lorary.anatomy.keys.tensor_names import Prefix
    from lorary.anatomy.modules.adapted import Scan

_SGM = re.compile(r"(?:input|middle|output)_blocks?[._]")
_UNET = re.compile(r"(?:down|up)_blocks[._]|mid_block[._]")
_DIFFUSERS = re.compile(
    r"^(?:(?:single_|joint_|text_|visual_)?transformer_blocks|down_blocks?|mid_block|up_blocks?)[._]"
    r"|(?:^|[._])(?:attn[12]?|attention)[._](?:to_[qkv]|to_out|add_[qkv]_proj)(?:[._]|$)"
)
# Only SDXL and its kin stack more than one transformer in a block of a UNet.
_DEEP = re.compile(r"transformer_blocks[._][1-9]")


def naming_style(path: str, naming: str | None) -> str:
    """Return the style of a module's path: `sgm`, `unet` (of diffusers), `diffusers` or `native`.

    Args:
        path: The path without the convention's prefix, dotted or flattened.
        naming: Naming of the table that has the path; None if no table has it.
    """
    if naming == "sgm" or (naming is None and _SGM.match(path)):
        return "sgm"
    if _UNET.match(path):
        return "unet"
    if naming == "native" and "transformer_blocks" not in path:
        return "native"
    if naming in {"diffusers", "transformers"} or _DIFFUSERS.search(path):
        return "diffusers"
    return "native"


_BY_GROUP: Mapping[str, str] = {
    "kohya": "kohya",
    "onetrainer": "onetrainer_legacy",
    "lycoris": "simpletuner_lycoris",
    "comfyui": "comfyui_diffusion_model",
    "omi": "omi",
    "peft": "peft",
    "diffusers": "diffusers_peft",
}
_BY_DIALECT: Mapping[tuple[str, str | None], str] = {
    ("bare", "attn-processor"): "diffusers_attn_processor",
    ("bare", "peft-named"): "bare_peft_default",
    ("bare", "peft-only"): "peft",
    ("bare", "xlabs"): "xlabs",
    ("comfyui", "xlabs"): "xlabs",
    ("diffusers", "attn-processor"): "diffusers_attn_processor",
    ("diffusers", "down-up"): "diffusers_down_up",
}


@lru_cache(maxsize=512)
def convention_name(prefix: Prefix, dialect: str | None, style: str) -> str:
    """Return the convention of a module.

    Args:
        style: The `naming_style` of its path.
    """
    group = prefix.convention
    known = _BY_DIALECT.get((group, dialect))
    if known is not None:
        return known
    if group == "kohya" and style == "sgm":
        return "kohya_sgm_blocks"
    if group == "diffusers" and dialect == "kohya" and prefix.part == "denoiser":
        return "omi" if style in {"native", "sgm"} else "diffusers_down_up"
    if group != "bare":
        return _BY_GROUP[group]
    if style in {"native", "sgm"}:
        return "bare_native"
    return "bare_diffusers_down_up" if dialect in {"kohya", "down-up"} else "bare_diffusers"


def file_convention(scan: Scan, kind: str, candidates: Sequence[str] = ()) -> str | None:
    """Return the leading convention of a file, or None.

    Text encoders have the same names in several conventions, so they count only in files without a
    denoiser.
    """
    if kind != "adapter":
        return foreign_convention(kind, scan)
    denoiser = scan.modules.groups.parts.get("denoiser")
    columns = (scan.modules.at(denoiser) if denoiser else scan.modules).columns
    counts = Counter(columns.conventions)
    if not counts:
        return "peft" if scan.shared else None
    leading = max(counts, key=counts.__getitem__)
    if leading == "kohya" and _has_diffusers_blocks(columns.names, candidates):
        return "kohya_diffusers_blocks"
    return leading


def _has_diffusers_blocks(names: Sequence[str], candidates: Sequence[str]) -> bool:
    """Return whether a kohya file has diffusers' block names where kohya trains with SGM's.

    The first candidate counts: Kolors' trainers flatten diffusers' names, but SDXL has far more
    files.
    """
    paths = [name.removeprefix("lora_unet_") for name in names]
    if not any(map(_UNET.match, paths)):
        return False
    tables = families()
    usual = [tables[name].kohya for name in candidates if name in tables]
    return any(map(_DEEP.search, paths)) if not usual else usual[0] == "sgm"


_LDM = re.compile(
    r"(?:model\.diffusion_model|first_stage_model|cond_stage_model|conditioner|control_model)\."
    r"|(?:en|de)coder\.(?:down|up|mid)\.\d"
)
_OF_TRANSFORMERS = re.compile(
    r"(?:model\.)?(?:layers\.\d{1,9}\.(?:self_attn|mlp|input_layernorm)|embed_tokens)\.|lm_head\."
    r"|(?:transformer\.)?h\.\d{1,9}\.|(?:text|vision)_model\.|embeddings\.|shared\.|gpt_neox\."
    r"|(?:model\.)?(?:encoder|decoder)\.(?:layers|block)\.\d{1,9}\.(?:self_attn|layer)"
    r"|(?:\w{1,512}\.)?(?:encoder|transformer)\.layer\.\d|model\.(?:encoder|decoder)\.layers\."
)
_OF_DIFFUSERS = re.compile(
    r"^(?:(?:single_|joint_)?transformer_blocks|(?:down|up)_blocks|mid_block|adapter\.body"
    r"|adapter\.conv_in|time_text_embed|condition_embedder|caption_projection"
    r"|(?:en|de)coder\.(?:down|up|mid)_blocks?)\.|^controlnet_"
    r"|^(?:en|de)coder\.(?:layers\.\d{1,9}\.(?:conv\.\d|weight$)|block\.\d{1,9}\.(?:res_unit|conv|snake)\d)"
    r"|(?:^|\.)(?:(?:attn[12]?|attention)\.to_[qkv]|to_(?:query|key|value|out)|motion_modules)\."
)
_MAX_NAMES = 50


def foreign_convention(kind: str, scan: Scan) -> str | None:
    """Return the convention of a file that isn't an adapter, or None."""
    names = scan.others
    if kind == "ip_adapter":
        return "ip_adapter"
    if "lora_controlnet" in names:
        return "control_lora_sai"
    if kind == "embedding":
        is_a1111 = any(name.startswith(("emb_params", "string_to_param")) for name in names)
        return "a1111_ti" if is_a1111 else "textual_inversion"
    if any(map(_LDM.match, names)):
        return "ldm"
    if any(map(_OF_DIFFUSERS.search, names)):
        return "diffusers"
    naming = _naming(names) if kind == "checkpoint" else None
    if naming is not None:
        return "diffusers" if naming == "diffusers" else None
    return "transformers" if any(map(_OF_TRANSFORMERS.match, names)) else None


def _naming(names: Iterable[str]) -> str | None:
    """Return the naming of the tables that most weights of a whole model follow, or None.

    Only the first weights are looked up. Language models share some names with denoisers, but not
    most.
    """
    weights = (name for name in names if name.endswith(".weight"))
    sample = list(islice(weights, _MAX_NAMES))
    index = family_index()
    found: Counter[str] = Counter()
    for name in sample:
        place = index.find(name.removesuffix(".weight"), is_flat=False)
        if place is not None:
            found[place.naming] += 1
    is_most = 2 * found.total() >= len(sample)
    return max(found, key=found.__getitem__) if found and is_most else None
