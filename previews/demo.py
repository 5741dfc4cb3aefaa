"""Publishes the demo adapters for the miniature, and packs of them, through the usual services."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from previews import demo_packs
from registry.accounts import users
from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.models import Adapter, File, Upload, UploadState, User, VersionState
from registry.names import DEMO_OWNER
from registry.publication import services as publication
from registry.uploads import check
from registry.uploads import services as uploads
from registry.versions.details import Details

OWNER = DEMO_OWNER

_MINIATURE = Path(__file__).parent / "miniature"
#: Headings of a card.
_USE, _STACKS, _MADE = "## How to use it", "## Stacks with", "## How it was made"
_TEXTS = ("title", "summary", "card")


@dataclass(frozen=True, slots=True)
class DemoAdapter:
    """One demo adapter: its file and the contents of its page."""

    path: Path
    entry: dict[str, Any]
    # Lines of text, one for each stack that includes it.
    stacks: tuple[str, ...]

    @property
    def name(self) -> str:
        """Adapter name and file stem."""
        return self.path.stem

    @property
    def card(self) -> dict[str, Any]:
        """Fields of the adapter's card."""
        return {
            "title": self.entry["title"],
            "kind": self.entry["kind"],
            "summary": self.entry["summary"],
            "tags": self.entry["tags"],
            "licence": "apache-2.0",
            "card": self._text(),
        }

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @property
    def details(self) -> Details:
        """Details of the version."""
        low, high = self.entry["range"]
        return Details(
            notes="Trained with the miniature's recipe.",
            declared_family="miniature",
            trigger_words=self.entry["trigger_words"],
            strength=self.entry["strength"],
            strength_min=low,
            strength_max=high,
        )

    def _text(self) -> str:
        words = ", ".join(f"`{word}`" for word in self.entry["trigger_words"])
        lines = [
            f"# {self.entry['title']}",
            self.entry["summary"],
            _USE,
            f"Write {words} into the prompt and set the strength to {self.entry['strength']}.",
            *(f"- {prompt}" for prompt in self.entry["prompts"]),
        ]
        if self.stacks:
            lines += [_STACKS, *self.stacks]
        lines += [
            _MADE,
            (
                "Trained on generated pictures for the miniature, the small base model that this "
                "hub includes. It does nothing with other base models."
            ),
        ]
        return "\n\n".join(lines) + "\n"


def catalogue() -> list[DemoAdapter]:
    """Return the demo adapters in the order of publication."""
    index = tomllib.loads((_MINIATURE / "index.toml").read_text(encoding="utf-8"))
    folder = _MINIATURE / "adapters"
    return [
        DemoAdapter(folder / f"{name}.safetensors", entry, tuple(_stacks(name, index["stacks"])))
        for name, entry in index["adapters"].items()
    ]


def _stacks(name: str, stacks: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each stack that includes the adapter."""
    for stack in stacks:
        strengths = dict(zip(stack["adapters"], stack["strengths"], strict=True))
        own = strengths.pop(name, None)
        for other, strength in strengths.items() if own is not None else ():
            yield f"- [{OWNER}/{other}](/{OWNER}/{other}) at {strength}, with this at {own}"


def publish(*, say: Callable[[str], None] = lambda _text: None) -> tuple[int, int]:
    """Publish what is new since the last call; return the number of versions of adapters and packs.

    An adapter whose file this release replaces gets another version, and then its packs. Texts of
    an earlier release are replaced. Nothing is published again that was yanked, withdrawn or edited
    by others, and texts that were edited stay.
    """
    user = _owner()
    new = 0
    for one in catalogue():
        adapter = Adapter.objects.filter(namespace=user.namespace, key=one.name).first()
        if adapter is None:
            adapter = adapters.create(actor=user, name=one.name, **one.card)
        elif _has_earlier_texts(adapter, one):
            texts = {field: one.card[field] for field in _TEXTS}
            adapter = cards.edit_adapter(actor=user, adapter=adapter, **texts)
        if _is_wanted(adapter, one, user):
            sent = [_send(user, one.path)]
            version = publication.release(
                actor=user, adapter=adapter, uploads=sent, details=one.details
            )
            say(f"published {adapter.full_name}@{version.name}")
            new += 1
    return new, demo_packs.publish(user, say=say)


def _has_earlier_texts(adapter: Adapter, one: DemoAdapter) -> bool:
    """Whether title, summary and card are the demo's, and not those of this release."""
    if adapter.withdrawn_reason or adapter.card.strip() == one.card["card"].strip():
        return False
    lines = adapter.card.strip().split("\n\n")
    examples = all(line.startswith("- ") or line == _STACKS for line in lines[4:-2])
    is_whole = len(lines) > 5 and lines[3].startswith("Write ") and lines[-2] == _MADE
    return is_whole and examples and lines[:3] == [f"# {adapter.title}", adapter.summary, _USE]


def _is_wanted(adapter: Adapter, one: DemoAdapter, owner: User) -> bool:
    """Whether the adapter has no version, or the newest is the demo's and none has this file."""
    if adapter.withdrawn_reason:
        return False
    newest = adapter.versions.filter(published_at__isnull=False).order_by("-number").first()
    if newest is None:
        return True
    had = File.objects.filter(revision__versions__adapter=adapter, blob__sha256=one.sha256)
    is_demo = newest.state == VersionState.PUBLISHED and newest.author_id == owner.pk
    return is_demo and not had.exists()


def _owner() -> User:
    user = User.objects.filter(namespace__key=OWNER).first()
    return user or users.create_user(name=OWNER)


def _send(user: User, path: Path) -> Upload:
    """Upload a file and run its checks in this process."""
    upload = uploads.create(actor=user, path=path.name, size_bytes=path.stat().st_size)
    with path.open("rb") as stream:
        upload = uploads.receive(actor=user, upload=upload, stream=stream)
    upload = check.run_checks(upload=upload)
    if upload.state != UploadState.ACCEPTED:
        msg = f"{path.name} was refused: {[finding.message for finding in upload.findings.all()]}"
        raise RuntimeError(msg)
    return upload
