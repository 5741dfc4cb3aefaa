"""A folder with a lorary.toml, for tests."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Folder:
    """A folder that has a lorary.toml."""

    path: Path

    def want(
        self, adapters: dict[str, str], packs: dict[str, str] | None = None, **top: str
    ) -> None:
        """Write lorary.toml."""
        self.path.mkdir(parents=True, exist_ok=True)
        lines = [f'{key} = "{value}"' for key, value in top.items()]
        for table, wanted in (("adapters", adapters), ("packs", packs or {})):
            lines += [f"[{table}]", *(f'"{name}" = "{text}"' for name, text in wanted.items())]
        (self.path / "lorary.toml").write_text("\n".join(lines), encoding="utf-8")

    @property
    def lock_path(self) -> Path:
        return self.path / "lorary.lock"

    @property
    def lock(self) -> dict[str, Any]:
        """The content of lorary.lock."""
        return tomllib.loads(self.lock_path.read_text("utf-8"))

    @property
    def versions(self) -> dict[str, str]:
        """The locked versions of adapters."""
        return {row["name"]: row["version"] for row in self.lock["file"]}

    @property
    def files(self) -> dict[str, bytes]:
        """All files but those of Lorary itself."""
        return {
            place.relative_to(self.path).as_posix(): place.read_bytes()
            for place in sorted(self.path.rglob("*"))
            if place.is_file() and not place.name.startswith((".lorary", "lorary."))
        }
