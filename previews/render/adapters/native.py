"""Names of the original authors' code for the modules of a loaded transformer.

A family's description says how they correspond (``[native]`` in ``families/*.toml``); how many
blocks there are, and how wide, is the loaded model's to say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["native_names"]


def native_names(
    native: Mapping[str, tuple[str, ...]], modules: Collection[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield original names, each with the modules it stands for, as far as the model has them.

    Args:
        native: Patterns of original names with those of diffusers' modules; “*” is a number.
        modules: Names of the model's modules.
    """
    have = set(modules)
    for pattern, targets in native.items():
        expression = re.compile(re.escape(targets[0]).replace(r"\*", r"(\d+)"))
        for module in modules:
            found = expression.fullmatch(module)
            if found is None:
                continue
            names = tuple(_filled(target, found.groups()) for target in targets)
            if have.issuperset(names):
                yield _filled(pattern, found.groups()), names


def _filled(pattern: str, numbers: tuple[str, ...]) -> str:
    for number in numbers:
        pattern = pattern.replace("*", number, 1)
    return pattern
