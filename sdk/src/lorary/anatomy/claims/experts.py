"""Returns which Wan 2.2 A14B model (high or low noise) an adapter is for.

The tensors don't show it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lorary.anatomy.claims.metadata import first_text, numbers_in

_HIGH = re.compile(r"high[ _.-]?noise|(?<![a-z0-9])(?:hn|highnoise)(?![a-z0-9])")
_LOW = re.compile(r"low[ _.-]?noise|(?<![a-z0-9])(?:ln|lownoise)(?![a-z0-9])")
_NAMED = ("ss_output_name", "name", "modelspec.title", "ss_sd_model_name")
_TOP, _BOUNDARY = 1_000.0, 950.0


def expert_of(metadata: Mapping[str, str], name: str = "") -> str | None:
    """Return `high_noise` or `low_noise`, or None if unknown or not an adapter for Wan 2.2 A14B.

    The boundary between the two is 0.875 (text to video) or 0.9 (image to video) of the timesteps.
    """
    label = " ".join(
        first_text(metadata, key, most=60) or ""
        for key in ("ss_base_model_version", "modelspec.architecture", "ss_network_module")
    ).lower()
    files = " ".join([name[-200:], *(first_text(metadata, key) or "" for key in _NAMED)]).lower()
    if "wan" not in label and "wan" not in files:
        return None
    text = first_text(metadata, "modelspec.timestep_range", most=40)
    ends = numbers_in(text or "")[:2]
    if len(ends) == 2:
        low, high = sorted(end * _TOP if max(ends) <= 1 else end for end in ends)
        if low >= _TOP * 0.8:
            return "high_noise"
        if high <= _BOUNDARY:
            return "low_noise"
    return noise_half(files)


def noise_half(name: str) -> str | None:
    """Return `high_noise` or `low_noise` by a name, or None if it contains neither or both."""
    text = name.lower()
    is_high, is_low = _HIGH.search(text) is not None, _LOW.search(text) is not None
    if is_high == is_low:
        return None
    return "high_noise" if is_high else "low_noise"
