"""Warnings about stacks whose adapters conflict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from django.utils.translation import gettext as _

from hub.pages.mixer import mix as mixes
from hub.pages.mixer.mix import AB, GRID, Mix, MixInvalid
from registry.models import Kind, Version
from registry.versions.selectors import name_of

#: Two adapters of one of these kinds conflict if both are stronger than this.
_CONFLICTING, HIGH = (Kind.STYLE, Kind.CHARACTER), 0.6
#: Above this sum of strengths, pictures often lose their subject.
MUDDY = 1.5


def warnings_of(mix: Mix, versions: Sequence[Version]) -> list[str]:
    """Return what to change in a mix, or in each side of A and B; nothing for a grid.

    Args:
        mix: The mix, with the full names of its versions.
        versions: The versions of its rows.
    """
    if mix.mode == GRID:
        return []
    try:
        stacks = mix.sides()
    except MixInvalid:
        return []
    prefixes = ("A: ", "B: ") if mix.mode == AB else ("",)
    return [
        f"{prefix}{text}"
        for prefix, stack in zip(prefixes, stacks, strict=True)
        for text in _conflicts(dict(stack), versions)
    ]


def _conflicts(strengths: Mapping[str, float], versions: Sequence[Version]) -> Iterable[str]:
    used = [(one, strengths[name]) for one in versions if (name := name_of(one)) in strengths]
    for kind in _CONFLICTING:
        alike = [
            one.adapter.display_title
            for one, strength in used
            if one.adapter.kind == kind and abs(strength) > HIGH
        ]
        if len(alike) > 1:
            facts = {"one": alike[0], "other": alike[1], "kind": str(kind.label).lower()}
            text = _(
                "“%(one)s” and “%(other)s” conflict: both have the kind “%(kind)s” and a high "
                "strength. Lower one to 0.6 or less, or mute it."
            )
            yield text % facts
    total = sum(map(abs, strengths.values()))
    if len(used) > 1 and total > MUDDY:
        text = _(
            "The strengths add up to %(total)s. Above 1.5, pictures often lose their subject: "
            "lower some, or mute an adapter."
        )
        yield text % {"total": mixes.written(total)}
