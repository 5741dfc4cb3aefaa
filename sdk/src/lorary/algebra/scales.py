"""The scale of a module: what its alpha says, wherever it is stated."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from lorary.anatomy.claims.config import AdapterConfig
from lorary.anatomy.modules.alphas import alpha_of

_PEFT = frozenset({"peft", "peft-named"})

Configs = Sequence[AdapterConfig]


def configs_for(dialects: Collection[str | None], embedded: Configs, beside: Configs) -> Configs:
    """Return the configurations that apply to a module.

    Args:
        dialects: How the suffixes of its tensors are written. Loaders of other names than PEFT's do
            not read the configuration beside the file.
        embedded: Those in the metadata, which count alone.
        beside: That beside the file.
    """
    return embedded or (beside if _PEFT & set(dialects) else ())


def alpha_for(module: str, rank: int, stored: float | None, configs: Configs) -> float:
    """Return the alpha with which the scale of a module is alpha / rank; the rank if none is known.

    A stored alpha is always divided by the rank: LyCORIS stores alpha · √rank for rank-stabilised
    files. PEFT states alpha in its configuration, where it may be divided by √rank.
    """
    if stored is not None:
        return stored
    declared, is_stabilised = alpha_of(module, configs)
    if declared is None:
        return float(rank)
    return declared * math.sqrt(rank) if is_stabilised else float(declared)
