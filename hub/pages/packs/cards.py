"""Packs and their variants as pages show them, with a fixed number of queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from django.utils.translation import gettext as _

from hub.pages.adapters.content_rating import asked_level, is_blurred
from hub.pages.catalogue.cards import Card, cards_of
from hub.pages.labels import family_label
from hub.pages.packs.exports import ToolLine, tool_lines
from hub.pages.pictures.mixer_packs import mixer_address
from previews.packs.selectors import covers_of as pack_covers_of
from registry.models import LookKind, Output, PartRole, Visibility
from registry.packs import parts as pack_parts
from registry.packs.parts import Part, PartState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.http import HttpRequest

    from previews.pictures.selectors import Picture
    from registry.models import Adapter, Pack, PackVariant, PackVersion


@dataclass(frozen=True, slots=True)
class PackCover:
    """A picture that was made with a pack; the fields are those of ``Card``."""

    picture: Picture
    picture_alt: str
    blur: str
    reveal: str
    is_drawn: bool = False


@dataclass(frozen=True, slots=True)
class PackCard:
    """A pack in a list.

    Attributes:
        cover: A picture with the pack, else the card of the first part that the viewer sees, for
            its picture; None without any.
        variants: Name and base model of each variant.
        rating: Label of a rating that is not for all viewers, empty for others.
        visibility: Label of a visibility other than public.
        is_incomplete: Whether parts are gone.
    """

    number: str
    pack: Pack
    url: str
    kind: str
    cover: Card | PackCover | None
    variants: tuple[tuple[str, str], ...]
    rating: str
    visibility: str
    is_incomplete: bool


@dataclass(frozen=True, slots=True)
class ShownPart:
    """A part on the page of a pack; ``url`` is empty if the viewer does not see the adapter."""

    name: str
    version: str
    url: str
    strength: float
    role: str
    trigger_words: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShownVariant:
    """A variant on the page of a pack.

    Attributes:
        before, after: The prompt template around the place of the subject.
        settings: What it sets, as label and value; the base model's own settings are left out.
        missing: Number of parts that are gone.
        pull: The command that fetches the files.
        tools: Tools that it can be exported for; none if all parts are gone.
        mixer: URL of the mixer with it; empty if the mixer cannot render it.
    """

    name: str
    family: str
    output: str
    before: str
    after: str
    negative: str
    settings: tuple[tuple[str, str], ...]
    parts: tuple[ShownPart, ...]
    missing: int
    pull: str
    tools: tuple[ToolLine, ...]
    mixer: str


def pack_cards(request: HttpRequest, packs: Sequence[Pack], *, after: int = 0) -> list[PackCard]:
    """Return cards in the order of the packs, as ``selectors.with_lists`` reads them.

    Args:
        request: Of the viewer.
        packs: The packs.
        after: Number of packs on the pages before.
    """
    variants = {pack.pk: pack_parts.variants_of(pack.latest_version) for pack in packs}
    every = [variant for found in variants.values() for variant in found]
    parts = pack_parts.parts_for(request.user, every)
    covers = _covers(request, packs, variants, parts)
    return [
        _card(f"{place:03d}", pack, variants[pack.pk], parts, covers.get(pack.pk))
        for place, pack in enumerate(packs, start=after + 1)
    ]


def _covers(
    request: HttpRequest,
    packs: Sequence[Pack],
    variants: Mapping[int, Sequence[PackVariant]],
    parts: Mapping[int, Sequence[Part]],
) -> dict[int, Card | PackCover]:
    """Return pack id → cover: a picture with the pack, else the card of its first part."""
    rendered = pack_covers_of(request.user, packs)
    asked = asked_level(request)
    found: dict[int, Card | PackCover] = {}
    for pack in packs:
        if picture := rendered.get(pack.pk):
            own = [part for variant in variants[pack.pk] for part in parts[variant.pk]]
            level = pack_parts.rating_of(pack, own)
            is_veiled = is_blurred(request.user, pack, level, asked)
            if is_veiled and not picture.placeholder:
                continue
            alt = _("Picture with %(title)s") % {"title": pack.display_title}
            blur, reveal = (picture.placeholder, level.value) if is_veiled else ("", "")
            found[pack.pk] = PackCover(picture, alt, blur, reveal)
    lead = {
        pack.pk: pack_parts.first_adapter(pack.latest_version, parts)
        for pack in packs
        if pack.pk not in rendered
    }
    cards = covers_of(request, (adapter for adapter in lead.values() if adapter is not None))
    return found | {pk: cards[one.pk] for pk, one in lead.items() if one is not None}


def covers_of(request: HttpRequest, adapters: Iterable[Adapter]) -> dict[int, Card]:
    """Return adapter id → card."""
    unique = list({adapter.pk: adapter for adapter in adapters}.values())
    return dict(zip((one.pk for one in unique), cards_of(request, unique), strict=True))


def _card(
    number: str,
    pack: Pack,
    variants: Sequence[PackVariant],
    parts: Mapping[int, Sequence[Part]],
    cover: Card | PackCover | None,
) -> PackCard:
    own = [part for variant in variants for part in parts[variant.pk]]
    rating = pack_parts.rating_of(pack, own)
    is_public = pack.visibility == Visibility.PUBLIC
    return PackCard(
        number=number,
        pack=pack,
        url=reverse("pack", args=[pack.owner, pack.name]),
        kind=str(LookKind(pack.kind).label),
        cover=cover,
        variants=tuple((one.name, _made_for(one)) for one in variants),
        rating="" if rating.is_for_all else str(rating.label),
        visibility="" if is_public else str(Visibility(pack.visibility).label),
        is_incomplete=any(not part.is_at_hand for part in own),
    )


def _made_for(variant: PackVariant) -> str:
    """Return the base model, and the output if it is not a picture."""
    family = family_label(variant.family)
    if variant.output == Output.VIDEO:
        return _("%(family)s, video") % {"family": family}
    return family


def shown_variants(version: PackVersion, parts: Mapping[int, Sequence[Part]]) -> list[ShownVariant]:
    """Return the variants of a version with their parts for the viewer.

    Args:
        version: As ``selectors.version`` reads it.
        parts: Of ``parts.parts_for``.
    """
    return [_variant(version, variant, parts[variant.pk]) for variant in version.variants.all()]


def _variant(version: PackVersion, variant: PackVariant, parts: Sequence[Part]) -> ShownVariant:
    written: Mapping[str, Any] = version.manifest["variants"][variant.position]
    missing = sum(not part.is_at_hand for part in parts)
    pull = f"lorary pull pack:{version.pack.full_name}@{version.name} --variant {variant.name}"
    before, _placeholder, after = written["prompt"].partition("{prompt}")
    return ShownVariant(
        name=variant.name,
        family=family_label(variant.family),
        output=str(Output(variant.output).label),
        before=before,
        after=after,
        negative=written["negative"],
        settings=tuple(_settings(written)),
        parts=tuple(
            _part(part, fields) for part, fields in zip(parts, written["parts"], strict=True)
        ),
        missing=missing,
        pull=f"{pull} --partial --to loras" if missing else f"{pull} --to loras",
        tools=tuple(tool_lines(version, variant)) if missing < len(parts) else (),
        mixer=mixer_address(variant, written, parts),
    )


def _settings(written: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    labels = {
        "steps": _("Steps"), "guidance": _("Guidance"), "frames": _("Frames"),
        "fps": _("Frames per second"),
    }  # fmt: skip
    for name, label in labels.items():
        if name in written:
            yield label, f"{written[name]:g}"
    if "width" in written:
        yield _("Size"), f"{written['width']} × {written['height']}"


def _part(part: Part, written: Mapping[str, Any]) -> ShownPart:
    version = part.row.adapter_version
    is_seen = part.state is not PartState.PRIVATE
    place = [version.adapter.owner, version.adapter.name]
    states = {
        PartState.AVAILABLE: "",
        PartState.YANKED: _("Yanked"),
        PartState.WITHDRAWN: _("Withdrawn"),
        PartState.PRIVATE: _("Not available"),
    }
    return ShownPart(
        name=written["adapter"],
        version=written["version"],
        url=f"{reverse('adapter', args=place)}?v={version.name}" if is_seen else "",
        strength=part.row.strength,
        role=str(PartRole(part.row.role).label),
        trigger_words=", ".join(version.trigger_words) if is_seen else "",
        state=states[part.state],
        reason=part.reason,
    )
