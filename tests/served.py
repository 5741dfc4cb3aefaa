"""A bases file that names a base for a family; nobody opens it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django import Settings


def serve(settings: Settings, folder: Path, family: str) -> None:
    """Have the hub know a base for a family, in a folder that has the look of one."""
    (folder / "base").mkdir()
    (folder / "base" / "model_index.json").write_text("{}")
    file = folder / "bases.toml"
    file.write_text(
        f'[bases.{family}-base]\ntitle = "A base"\nfamily = "{family}"\npath = "base"\n'
        'trigger = "end"\n'
    )
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=file)
