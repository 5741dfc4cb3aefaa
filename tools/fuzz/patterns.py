"""Every regular expression of the project, and what makes one dangerous over hostile text.

    python -m tools.fuzz.patterns

prints them as JSON. They are collected in a process of their own, which sees each one compiled.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How ``re`` itself reads a pattern; typeshed does not know these modules.
ops: Any = importlib.import_module("re._constants")
parser: Any = importlib.import_module("re._parser")

ROOT = Path(__file__).resolve().parents[2]
#: Longest repetition that may have to be taken back.
MOST = 1024
#: Files whose patterns see no text of a stranger, or only a short one.
EXEMPT = {
    "hub/config.py": "settings of whoever runs the hub",
    "hub/pages/help/guides.py": "pages of our own documentation",
    "hub/pages/help/styleguide.py": "our own style sheets and icons",
    "hub/http/delivery.py": "one header of a request, matched from its beginning",
    "hub/wsgi.py": "one header of a request",
    "previews/sample_files/sandbox.py": "a placeholder of at most 2,000 characters",
    "previews/render/bases/bases_file.py": "settings of whoever runs the hub",
    "sdk/src/lorary/anatomy/modules/duplicate_targets.py": "names of at most 512 characters",
    "sdk/src/lorary/anatomy/families.py": "names of at most 512 characters",
    "sdk/src/lorary/cli/input_files.py": "arguments of one's own command line",
    "sdk/src/lorary/library/sidecars/reading.py": "at most 80,000 characters",
    "sdk/src/lorary/client/names.py": "names that were typed, or that a hub accepted",
}
_PACKAGES = ("lorary", "registry", "previews", "hub")
#: Parts that need packages which a hub without a renderer does not have.
_LEFT_OUT = (".migrations", ".settings", "previews.miniature", "previews.render")
_REPEATS = (ops.MAX_REPEAT, ops.MIN_REPEAT)
_SINGLE = (ops.LITERAL, ops.NOT_LITERAL, ops.IN, ops.ANY)


@dataclass(frozen=True, slots=True)
class Found:
    """A pattern, and the line that compiles it."""

    place: str
    text: str
    flags: int
    is_bytes: bool

    @property
    def pattern(self) -> re.Pattern[Any]:
        """The pattern, compiled."""
        return re.compile(self.text.encode("latin-1") if self.is_bytes else self.text, self.flags)

    @property
    def tree(self) -> Any:
        """What the pattern was parsed to."""
        return parser.parse(self.text.encode("latin-1") if self.is_bytes else self.text, self.flags)


@cache
def compiled() -> tuple[Found, ...]:
    """Return every pattern that our packages compile, those of exempt files left out."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "sdk" / "src")))
    done = subprocess.run(
        [sys.executable, "-m", "tools.fuzz.patterns"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "hub.settings.test"},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = (Found(*row) for row in json.loads(done.stdout))
    return tuple(row for row in rows if row.place.rpartition(":")[0] not in EXEMPT)


def risks(tree: Any) -> list[str]:
    """Return the repetitions that may take memory or time out of proportion.

    A repeated group keeps a record of every round. A repetition that something follows is taken
    back step by step when that does not fit, at every place where the pattern could begin. A single
    character may be repeated without limit only at the very end, where nothing is taken back; so
    may what is possessive.
    """
    return list(_risks(tree, is_last=True))


def _risks(tree: Any, *, is_last: bool) -> Iterator[str]:
    items = list(tree)
    for number, (kind, value) in enumerate(items):
        is_end = is_last and number == len(items) - 1
        if kind in _REPEATS:
            _least, most, inner = value
            is_single = len(inner) == 1 and inner[0][0] in _SINGLE
            if most > MOST and not (is_single and is_end and kind is ops.MAX_REPEAT):
                yield f"{kind} of {inner} up to {most}"
            yield from _risks(inner, is_last=False)
        else:
            for inner, ends in _inside(kind, value):
                yield from _risks(inner, is_last=is_end and ends)


def _inside(kind: Any, value: Any) -> Iterator[tuple[Any, bool]]:
    """Yield the parts of a group, and whether one that ends the group ends the pattern."""
    if kind is ops.SUBPATTERN:
        yield value[-1], True
    elif kind is ops.BRANCH:
        yield from ((branch, True) for branch in value[1])
    elif kind in {ops.ASSERT, ops.ASSERT_NOT}:
        yield value[1], True
    elif kind is ops.GROUPREF_EXISTS:
        yield from ((branch, True) for branch in value[1:] if branch)


def _collect() -> list[tuple[str, str, int, bool]]:
    """Import everything, and return what was compiled by a file of ours."""
    seen: dict[tuple[str, int, bool], str] = {}
    compile_ = re._compile  # type: ignore[attr-defined]

    def spy(pattern: Any, flags: int) -> Any:
        made = compile_(pattern, flags)
        place = _place()
        if isinstance(pattern, str | bytes) and place:
            is_bytes = isinstance(pattern, bytes)
            text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
            seen.setdefault((text, int(flags), is_bytes), place)
        return made

    re._compile = spy  # type: ignore[attr-defined]
    _import_all()
    return [(place, *key) for key, place in seen.items()]


def _place() -> str:
    """Return the nearest caller's file and line if it is ours, else an empty text."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename in {re.__file__, __file__}:
        frame = frame.f_back
    path = Path(frame.f_code.co_filename)
    if not path.is_relative_to(ROOT) or "site-packages" in path.parts:
        return ""
    return f"{path.relative_to(ROOT)}:{frame.f_lineno}"


def _import_all() -> None:
    import django  # noqa: PLC0415 - after the spy

    django.setup()
    for package in map(importlib.import_module, _PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part in module.name for part in _LEFT_OUT):
                importlib.import_module(module.name)
    from lorary.anatomy.claims.vocabulary import family_of_label  # noqa: PLC0415 - after the spy
    from lorary.anatomy.families import families  # noqa: PLC0415 - after the spy

    families()
    family_of_label("")


if __name__ == "__main__":
    json.dump(_collect(), sys.stdout)
