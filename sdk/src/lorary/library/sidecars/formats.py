"""The sidecars of each tool, from what a hub knows about a version.

```
civitai        noir.civitai.info    the hub's own answer in the shape of Civitai's API
a1111          noir.json            A1111, Forge: the card of the model
lora-manager   noir.metadata.json   LoRA Manager
swarmui        noir.swarm.json      SwarmUI: a header in the form of modelspec
```

Numbers of models, versions and pictures are left out: tools would look them up at Civitai, where
they belong to others. Only addresses of the hub have them, such as ``downloadUrl``.

Source: A1111 ``ui_edit_user_metadata.py`` of its extension Lora; Civitai Helper ``civitai.py``;
LoRA Manager ``py/utils/models.py``; SwarmUI ``T2IModelHandler.cs``.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lorary.client.cards import card_text
from lorary.client.http.json_answers import Record

if TYPE_CHECKING:
    from lorary.client.models import Adapter, Version

#: Base models that A1111's card knows; all others are “Unknown”.
_A1111_VERSIONS = MappingProxyType({"sd1": "SD1", "sd2": "SD2", "sdxl": "SDXL"})
#: What changes although nobody edits the version: it does not make a sidecar outdated.
_COUNTS = "stats"
_NUMBERS = frozenset({"id", "modelId", "modelVersionId", "modelVersionIds", "air"})
_GENERAL = "general"
#: Characters of a card; tools show the description in a small field.
_MOST_CARD = 2000


@dataclass(frozen=True, slots=True)
class Facts:
    """What a hub knows about a version.

    Attributes:
        adapter: The adapter.
        version: The version.
        civitai: The version in the shape of Civitai's API.
    """

    adapter: Adapter
    version: Version
    civitai: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The title of the adapter."""
        return self.adapter.title or self.adapter.full_name

    @property
    def base_model(self) -> str:
        """Civitai's name of the base model."""
        return str(self.civitai.get("baseModel") or "Other")

    @property
    def images(self) -> list[Record]:
        """The pictures of the version, without videos."""
        rows = (Record(row, "image") for row in Record(self.civitai, "version").items("images"))
        return [row for row in rows if row.text("type") == "image"]

    @property
    def about(self) -> str:
        """Lines for a person: summary or else the card, rating, optional words and the page."""
        return "\n".join(self._about())

    def _about(self) -> Iterator[str]:
        if about := self.adapter.summary or card_text(self.adapter.card, _MOST_CARD):
            yield about
        if self.adapter.maturity not in {"", _GENERAL}:
            yield f"Rating: {self.adapter.maturity}"
        if self.version.optional_trigger_words:
            yield f"Optional words: {', '.join(self.version.optional_trigger_words)}"
        yield self.version.url


@dataclass(frozen=True, slots=True)
class Target:
    """The weights that a sidecar stands beside.

    Attributes:
        place: Their path.
        sha256: Their digest.
        preview: The preview picture beside them; None if there is none.
    """

    place: Path
    sha256: str
    preview: Path | None


def _civitai(facts: Facts, target: Target) -> dict[str, object]:
    """Return the answer of Civitai's API, with this file alone."""
    document: dict[str, object] = _without_numbers(facts.civitai)
    rows = Record(facts.civitai, "version").items("files")
    files = [row for row in rows if isinstance(row, dict)]
    own = [row for row in files if _sha256_of(row) == target.sha256] or files
    return {**document, "files": _without_numbers(own), "url": facts.version.url}


def _without_numbers(value: object) -> Any:  # noqa: ANN401 - of the same kind
    """Return JSON values without those that are numbers of models, versions and pictures."""
    if isinstance(value, dict):
        return {key: _without_numbers(one) for key, one in value.items() if key not in _NUMBERS}
    return [_without_numbers(one) for one in value] if isinstance(value, list) else value


def _sha256_of(file: Mapping[str, Any]) -> str:
    hashes = file.get("hashes")
    return str(hashes.get("SHA256", "")).lower() if isinstance(hashes, dict) else ""


def _a1111(facts: Facts, target: Target) -> dict[str, object]:
    version = facts.version
    notes = f"{version.adapter} {version.name}\nsha256 {target.sha256}\n{version.url}"
    return {
        "description": facts.about,
        "sd version": _A1111_VERSIONS.get(version.family, "Unknown"),
        "activation text": ", ".join(version.trigger_words),
        "preferred weight": version.strength("recommended") or 0,
        "negative text": "",
        "notes": notes,
    }


def _lora_manager(facts: Facts, target: Target) -> dict[str, object]:
    version = facts.version
    found = target.place.stat()
    levels = [row.whole("nsfwLevel") for row in facts.images[:1]] if target.preview else []
    tips = {
        name: value
        for name, key in (
            ("strength", "recommended"), ("strength_min", "min"), ("strength_max", "max"),
        )
        if (value := version.strength(key)) is not None
    }  # fmt: skip
    return {
        "file_name": target.place.stem,
        "model_name": facts.title,
        "file_path": target.place.as_posix(),
        "size": found.st_size,
        "modified": found.st_mtime,
        "sha256": target.sha256,
        "base_model": facts.base_model,
        "preview_url": target.preview.as_posix() if target.preview else "",
        "preview_nsfw_level": levels[0] if levels else 0,
        "notes": f"{version.adapter} {version.name}\n{version.url}",
        "from_civitai": False,
        "civitai": {
            "name": version.name,
            "baseModel": facts.base_model,
            "trainedWords": [*version.trigger_words, *version.optional_trigger_words],
        },
        "tags": list(facts.adapter.tags),
        "modelDescription": "".join(
            f"<p>{html.escape(line)}</p>" for line in facts.about.splitlines()
        ),
        "usage_tips": json.dumps(tips),
    }


def _swarmui(facts: Facts, target: Target) -> dict[str, object]:
    version, adapter = facts.version, facts.adapter
    strength = version.strength("recommended")
    document = {
        "title": facts.title,
        "author": adapter.full_name.partition("/")[0],
        "description": facts.about,
        "trigger_phrase": ", ".join(version.trigger_words),
        "usage_hint": "" if strength is None else f"Strength {strength:g}",
        "lora_default_weight": "" if strength is None else f"{strength:g}",
        "tags": ",".join(adapter.tags),
        "license": adapter.licence,
        "date": version.published_at,
        "hash_sha256": f"0x{target.sha256}",
    }
    return {f"modelspec.{key}": value for key, value in document.items() if value}


#: Tool to the ending of its sidecar, which takes the place of ``.safetensors``.
ENDINGS: Mapping[str, str] = MappingProxyType(
    {
        "civitai": ".civitai.info",
        "a1111": ".json",
        "lora-manager": ".metadata.json",
        "swarmui": ".swarm.json",
    }
)
_FORMATS: Mapping[str, Callable[[Facts, Target], dict[str, object]]] = {
    "civitai": _civitai,
    "a1111": _a1111,
    "lora-manager": _lora_manager,
    "swarmui": _swarmui,
}
#: First bytes of a picture to the ending of a preview.
_PICTURES: Sequence[tuple[bytes, str]] = (
    (b"\x89PNG\r\n\x1a\n", ".preview.png"),
    (b"\xff\xd8\xff", ".preview.jpg"),
    (b"RIFF", ".preview.webp"),
)
PREVIEWS = tuple(ending for _, ending in _PICTURES)


def checked_tools(tools: Sequence[str]) -> tuple[str, ...]:
    """Return the names of tools, each once. Raises ValueError: one of them is unknown."""
    unknown = [tool for tool in tools if tool not in ENDINGS]
    if unknown:
        msg = f"no sidecars are known for “{unknown[0][:100]}”; use {', '.join(ENDINGS)}"
        raise ValueError(msg)
    return tuple(dict.fromkeys(tools))


def sidecar(tool: str, facts: Facts, target: Target) -> bytes:
    """Return the bytes of the sidecar of a tool."""
    document = _FORMATS[tool](facts, target)
    return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n".encode()


def is_current(content: bytes, newest: bytes) -> bool:
    """Return whether a sidecar has the facts of the newest one; counts of downloads may differ."""
    try:
        documents = [json.loads(one) for one in (content, newest)]
    except ValueError:
        return False
    former, latest = ({**one, _COUNTS: None} for one in documents)
    return bool(former == latest)


def preview_ending(picture: bytes) -> str:
    """Return the ending of a preview; empty if tools do not show such pictures."""
    return next((ending for head, ending in _PICTURES if picture.startswith(head)), "")
