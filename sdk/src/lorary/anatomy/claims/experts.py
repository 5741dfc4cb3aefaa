"""Which of the two models of Wan 2.2 A14B an adapter is for: no tensor tells it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lorary.anatomy.claims.metadata import decimals, present

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["expert_of", "half_of"]

_HIGH = re.compile(r"high[ _.-]?noise|(?<![a-z0-9])(?:hn|highnoise)(?![a-z0-9])")
_LOW = re.compile(r"low[ _.-]?noise|(?<![a-z0-9])(?:ln|lownoise)(?![a-z0-9])")
_NAMED = ("ss_output_name", "name", "modelspec.title", "ss_sd_model_name")
_TOP, _BOUNDARY = 1_000.0, 950.0


def expert_of(metadata: Mapping[str, str], name: str = "") -> str | None:
    """`high_noise` or `low_noise`; None when nothing tells, and for other models.

    The boundary between them is 0.875 (text to video) or 0.9 (image to video) of the timesteps.
    """
    label = " ".join(
        present(metadata, key, most=60) or ""
        for key in ("ss_base_model_version", "modelspec.architecture", "ss_network_module")
    ).lower()
    files = " ".join([name[-200:], *(present(metadata, key) or "" for key in _NAMED)]).lower()
    if "wan" not in label and "wan" not in files:
        return None
    text = present(metadata, "modelspec.timestep_range", most=40)
    ends = decimals(text or "")[:2]
    if len(ends) == 2:
        low, high = sorted(end * _TOP if max(ends) <= 1 else end for end in ends)
        if low >= _TOP * 0.8:
            return "high_noise"
        if high <= _BOUNDARY:
            return "low_noise"
    return half_of(files)


def half_of(name: str) -> str | None:
    """`high_noise` or `low_noise`, by a name alone; None when it says neither or both."""
    text = name.lower()
    is_high, is_low = _HIGH.search(text) is not None, _LOW.search(text) is not None
    if is_high == is_low:
        return None
    return "high_noise" if is_high else "low_noise"
