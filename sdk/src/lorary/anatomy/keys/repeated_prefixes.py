"""Prefixes that a converter wrote twice, or that name a wrapper of the model.

    lora_unet_unet_down_blocks_0_…    a converter added the prefix to a name that had one
    lora_unet__orig_mod_blocks_0_…    the trainer flattened the name of a compiled model

Such names are readable, but programs that compare whole names load nothing from the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lorary.anatomy.keys.tensor_names import Prefix, split_prefix

_DENOISER = (
    "lora_unet", "unet", "lora_transformer", "transformer(?!.(?:blocks|layers))", "diffusion_model",
    "base_model.model", "_?orig_mod", "dit", "model", "module",
)  # fmt: skip
_ENCODER = ("lora_te[123]?", "te[123]?", "text_encoders?(?:_[123])?", "_?orig_mod")


def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?:(?:{'|'.join(words)})[._]){{1,4}}")


_REPEATED = {True: _pattern(_DENOISER), False: _pattern(_ENCODER)}
# Up to the third digit, so that few beginnings are left: `lora_te1_te1_…` has two.
_HEAD = re.compile(r"[^0-9]{0,200}(?:[0-9][^0-9]{0,200}){0,2}")


def repeated_prefixes(names: Iterable[str]) -> dict[str, str]:
    """Return the beginning of names that repeat their prefix, with its repetition.

    Args:
        names: Names of modules that a table has.
    """
    repeated = {}
    heads = {found[0] for name in names if (found := _HEAD.match(name))}
    for head in heads:
        prefix, path = split_prefix(head)
        rest = without_repeated_prefix(prefix, path)
        if rest is not None:
            repeated[head] = head.removesuffix(rest)
    return repeated


def without_repeated_prefix(prefix: Prefix, path: str) -> str | None:
    """Return a path without what repeats its prefix, or None if nothing does.

    Args:
        prefix: The prefix that was already split off.
        path: The rest of the name, which no table has.
    """
    if prefix.convention == "bare":
        return None
    found = _REPEATED[prefix.part == "denoiser"].match(path)
    return None if found is None else path[found.end() :]
