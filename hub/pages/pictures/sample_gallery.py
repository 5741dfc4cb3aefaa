"""Pictures that people brought, as pages show them: always apart from what is rendered here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from django.utils.translation import gettext as _

from previews.models import SampleState
from previews.selectors import samples as selectors
from previews.services.samples import MAX_OF_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.auth.models import AnonymousUser

    from previews.selectors.samples import Brought
    from registry.models import Adapter, User, Version

__all__ = ["FIRST", "Gallery", "Print", "Used", "gallery_of", "place_of", "print_of"]

#: Pictures on the page of an adapter; the gallery's own page has all.
FIRST = 10
#: Seconds between looks while something is read.
POLL_S = 2


@dataclass(frozen=True, slots=True)
class Used:
    """A file that the metadata name; ``url`` is that of an adapter which has it, "" for none."""

    name: str
    strength: str
    url: str


@dataclass(frozen=True, slots=True)
class Print:
    """One picture with what is written under it."""

    brought: Brought
    alt: str
    settings: str
    used: list[Used]

    @property
    def is_ready(self) -> bool:
        """Whether there is something to see."""
        return bool(self.brought.row.state == SampleState.READY)

    @property
    def is_refused(self) -> bool:
        """Whether it was refused."""
        return bool(self.brought.row.state == SampleState.REFUSED)


@dataclass(frozen=True, slots=True)
class Gallery:
    """The pictures of a version.

    Attributes:
        prints: The newest, or all.
        total: How many there are.
        others: Other versions that have some: name and how many.
        can_bring: Whether the viewer may add and remove.
        url: Page of all.
        api: Address that takes one more.
        poll_s: Seconds until the next look, 0 when nothing is under way.
    """

    prints: list[Print]
    total: int
    others: list[tuple[str, int]]
    can_bring: bool
    url: str
    api: str
    poll_s: int

    @property
    def limit(self) -> int:
        """Most pictures of a version."""
        return MAX_OF_VERSION


def gallery_of(
    user: User | AnonymousUser, adapter: Adapter, version: Version, *, first: int | None = None
) -> Gallery:
    """Return what the user sees of a version's gallery; four queries.

    Args:
        user: Owners also see what is being read or was refused.
        adapter: Of the version.
        version: Whose pictures.
        first: How many of them, all when left out.
    """
    rows = list(selectors.listing(user, version))
    shown = selectors.shown(user, rows[:first])
    is_waiting = any(row.state == SampleState.QUEUED for row in rows)
    return Gallery(
        prints=[print_of(one) for one in shown],
        total=len(rows),
        others=selectors.others(user, version),
        can_bring=bool(user.is_authenticated and adapter.namespace.is_writable_by(user)),
        url=place_of(version),
        api=reverse("api-samples", args=[adapter.owner, adapter.name, version.name]),
        poll_s=POLL_S if is_waiting else 0,
    )


def place_of(version: Version) -> str:
    """Return the address of a version's gallery."""
    adapter = version.adapter
    return f"{reverse('gallery', args=[adapter.owner, adapter.name])}?v={version.name}"


def print_of(brought: Brought) -> Print:
    """Return one picture with its words."""
    facts = brought.facts
    title = _("Picture uploaded by %(name)s") % {"name": brought.row.author.username}
    words = brought.row.caption or facts.get("prompt", "")
    return Print(
        brought=brought,
        alt=f"{title}: {words[:160]}" if words else title,
        settings=", ".join(_settings(facts)),
        used=[_used(item) for item in facts.get("resources", []) if item["kind"] != "checkpoint"],
    )


def _settings(facts: dict[str, Any]) -> Iterator[str]:
    if facts.get("model"):
        yield str(facts["model"])
    if "steps" in facts:
        yield _("%(n)d steps") % {"n": facts["steps"]}
    if facts.get("sampler"):
        yield str(facts["sampler"])
    if "guidance" in facts:
        yield _("guidance %(n)s") % {"n": f"{facts['guidance']:g}"}
    if "seed" in facts:
        yield _("seed %(n)s") % {"n": facts["seed"]}
    if facts.get("size"):
        yield str(facts["size"]).replace("x", " × ")


def _used(item: dict[str, Any]) -> Used:
    full_name, _at, version = (item["matched"] or "").partition("@")
    owner, _slash, name = full_name.partition("/")
    url = f"{reverse('adapter', args=[owner, name])}?v={version}" if name else ""
    strength = f"{item['strength']:g}" if "strength" in item else ""
    shown = f"{full_name} {version}" if name else item["name"] or item["hashes"][0]
    return Used(shown, strength, url)
