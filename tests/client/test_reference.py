"""The reference of the package in ``docs/reference``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from types import ModuleType

import pytest

from tests.documents import ROOT

#: A block of mkdocstrings, and the members that it shows; all without them.
BLOCK = re.compile(
    r"^::: (\S+)\n(?:    options:\n(?:      .*\n)*?      members: \[(.+)\]\n)?", re.MULTILINE
)


def documented() -> dict[str, object]:
    """Return name → object of what the reference shows."""
    found: dict[str, object] = {}
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        for path, members in BLOCK.findall(page.read_text("utf-8")):
            owner = pkgutil.resolve_name(path)
            if not isinstance(owner, ModuleType):
                found[path] = owner
            names = members.split(", ") if members else own(owner)
            found |= {f"{path}.{name}": getattr(owner, name) for name in names}
    return found


def own(owner: object) -> list[str]:
    """Return the public names that a module defines; none of a class."""
    if not isinstance(owner, ModuleType):
        return []
    return [
        name
        for name, one in vars(owner).items()
        if not name.startswith("_") and getattr(one, "__module__", "") == owner.__name__
    ]


@pytest.mark.parametrize("package", ["lorary", "lorary.algebra", "lorary.library"])
def test_every_public_name_is_in_the_reference(package: str) -> None:
    module = importlib.import_module(package)
    shown = list(documented().values())
    public = {name: getattr(module, name) for name in module.__all__ if name != "__version__"}
    missing = [name for name, one in public.items() if not any(one is other for other in shown)]
    assert missing == []


def test_pydoc_shows_each_thing_in_the_module_that_the_reference_names() -> None:
    for path, one in documented().items():
        if not (inspect.isclass(one) or inspect.isfunction(one)):
            continue
        if path != f"{one.__module__}.{one.__qualname__}":
            module, _, name = path.rpartition(".")
            assert name in importlib.import_module(module).__all__, path
