"""Adapters for the queries of ``judgements``.

``KNOWN`` and the demo adapters hide among ``noise``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from previews.demo import OWNER, catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

NOISE = 2_000

_LOOKS = [
    "watercolor",
    "ink",
    "noir",
    "film",
    "anime",
    "vintage",
    "retro",
    "neon",
    "pastel",
    "gothic",
    "baroque",
    "cinematic",
    "minimal",
    "dreamy",
    "gritty",
    "glossy",
    "matte",
    "faded",
    "vivid",
    "grainy",
    "soft",
    "hard",
    "painted",
    "drawn",
    "sketchy",
    "printed",
]
_THINGS = [
    "portrait",
    "landscape",
    "city",
    "forest",
    "castle",
    "robot",
    "dragon",
    "knight",
    "dress",
    "poster",
    "logo",
    "icon",
    "kitchen",
    "train",
    "street",
    "mountain",
    "ocean",
    "garden",
    "flower",
    "cat",
    "wolf",
    "horse",
    "ship",
    "temple",
    "market",
    "library",
    "bridge",
    "tower",
]
_MEDIA = [
    "photo",
    "painting",
    "drawing",
    "render",
    "collage",
    "comic",
    "sticker",
    "print",
    "mosaic",
    "fresco",
    "sculpture",
    "tapestry",
    "engraving",
    "storyboard",
    "concept",
    "sheet",
    "study",
    "scene",
    "look",
    "mood",
    "world",
    "pack",
    "set",
    "series",
    "mix",
]
_FAMILIES = ("sdxl", "flux1", "sd1", "qwen_image", "wan_14b")


@dataclass(frozen=True, slots=True)
class Listed:
    """An adapter of the set."""

    name: str
    title: str
    owner: str = "noise"
    kind: str = "style"
    summary: str = ""
    card: str = ""
    tags: tuple[str, ...] = ()
    trigger_words: tuple[str, ...] = ()
    family: str = "sdxl"
    lineage: str = ""
    rank: int = 16
    size_bytes: int = 50_000_000
    downloads: int = 10

    @property
    def described(self) -> dict[str, Any]:
        """The fields of its search document."""
        fields = [
            "name",
            "title",
            "owner",
            "kind",
            "summary",
            "card",
            "tags",
            "trigger_words",
            "family",
            "lineage",
            "rank",
            "size_bytes",
        ]
        return {field: getattr(self, field) for field in fields}


def noise() -> Iterator[Listed]:
    """Yield adapters with frequent words, the same ones every time."""
    chance = random.Random(1)
    for number in range(NOISE):
        title = f"{chance.choice(_LOOKS)} {chance.choice(_THINGS)} {chance.choice(_MEDIA)}".title()
        yield Listed(
            name=f"{title.lower().replace(' ', '-')}-{number}",
            title=title,
            summary=" ".join(chance.sample(_LOOKS + _THINGS + _MEDIA, 8)),
            card=" ".join(chance.choices(_LOOKS + _THINGS + _MEDIA, k=40)),
            tags=tuple(chance.sample(_LOOKS + _THINGS, 3)),
            trigger_words=(f"tok{number}x",),
            family=chance.choice(_FAMILIES),
            rank=chance.choice((8, 16, 32, 64)),
            size_bytes=chance.randrange(10_000_000, 900_000_000),
            downloads=int(chance.paretovariate(0.7)),
        )


def demo() -> Iterator[Listed]:
    """Yield the adapters that ``manage.py demo`` publishes."""
    for one in catalogue():
        yield Listed(
            name=one.name,
            title=one.card["title"],
            owner=OWNER,
            kind=one.card["kind"],
            summary=one.card["summary"],
            card=one.card["card"],
            tags=tuple(one.card["tags"]),
            trigger_words=tuple(one.details.trigger_words or ()),
            family=one.details.declared_family or "",
        )


KNOWN = (
    Listed(
        "film-noir-xl",
        "Film Noir XL",
        tags=("shadow", "detective"),
        trigger_words=("flmnr",),
        summary="Hard light, venetian blinds and cigarette smoke",
    ),
    Listed(
        "ghibli-meadows",
        "Ghibli Meadows",
        "miya",
        tags=("studio ghibli", "anime background"),
        trigger_words=("ghbl meadow",),
        summary="Lush painted backgrounds",
    ),
    Listed(
        "ukiyo-e",
        "Ukiyo-e woodblock",
        "hokusai",
        tags=("japan", "woodblock"),
        trigger_words=("ukyo style",),
        summary="Great waves and actors",
        family="flux1",
    ),
    Listed(
        "semi-realistic-faces",
        "Semi-realistic faces",
        tags=("face", "skin detail"),
        trigger_words=("smrl face",),
        lineage="Pony Diffusion V6 XL",
    ),
    Listed(
        "CyberpunkAlley",
        "Cyberpunk Alley",
        tags=("night", "rain", "neon lights"),
        trigger_words=("cbrpnk",),
        summary="Wet asphalt and holograms",
        family="flux1",
        lineage="FLUX.1 dev",
    ),
    Listed(
        "watercolour-botanicals",
        "Watercolour Botanicals",
        "flora",
        tags=("plants", "herbarium"),
        trigger_words=("wtrbot",),
        summary="Delicate ferns and mushrooms",
    ),
    Listed(
        "grey-armour",
        "Grey Armour",
        kind="clothing",
        tags=("mediaeval", "plate armour"),
        trigger_words=("gryarmr",),
        summary="Burnished cuirass and gauntlets",
    ),
    Listed(
        "pixel-dungeon",
        "Pixel Dungeon",
        tags=("pixel art", "game asset"),
        family="sd1",
        trigger_words=("pxdngn",),
        summary="16-bit tiles and torches",
    ),
    Listed(
        "kodachrome-64",
        "Kodachrome 64",
        "analogue",
        tags=("film stock", "photography"),
        trigger_words=("kdchrm",),
        summary="Slide film with deep reds",
        rank=128,
        size_bytes=800_000_000,
    ),
    Listed(
        "steampunk-airships",
        "Steampunk Airships",
        tags=("brass", "zeppelin"),
        trigger_words=("stmpnk ship",),
        family="sd1",
    ),
    Listed(
        "art-nouveau-posters",
        "Art Nouveau Posters",
        tags=("mucha", "ornament"),
        trigger_words=("artnvo",),
        summary="Flowing lines and lilies",
    ),
    Listed(
        "isometric-rooms",
        "Isometric Rooms",
        kind="concept",
        tags=("isometric", "diorama"),
        trigger_words=("isorm",),
        family="qwen_image",
    ),
    Listed(
        "claymation",
        "Claymation",
        tags=("stop motion", "plasticine"),
        family="wan_14b",
        lineage="Wan 2.2",
        trigger_words=("clymtn",),
        kind="style",
    ),
    Listed(
        "low-poly-animals",
        "Low Poly Animals",
        tags=("lowpoly", "geometry"),
        trigger_words=("lwply",),
        summary="Faceted foxes and deer",
    ),
    Listed(
        "risograph-print",
        "Risograph Print",
        tags=("halftone", "spot colour"),
        trigger_words=("rsgrph",),
        summary="Misregistered inks on rough stock",
    ),
    Listed(
        "photorealistic-skin",
        "Photorealistic Skin",
        kind="tool",
        tags=("pores", "macro"),
        trigger_words=("phskn",),
        family="flux1",
        lineage="FLUX.1 dev",
    ),
    Listed(
        "cafe-interiors",
        "Café Interiors",
        "brûlée",
        kind="object",
        tags=("cosy", "interior"),
        trigger_words=("cfint",),
        summary="Espresso machines and bentwood chairs",
    ),
    Listed(
        "dark-souls-knights",
        "Souls-like Knights",
        kind="character",
        tags=("grimdark",),
        trigger_words=("slsknght",),
        summary="Weathered surcoats, ashen ruins",
    ),
    Listed(
        "vaporwave-malls",
        "Vaporwave Malls",
        tags=("vaporwave", "liminal"),
        trigger_words=("vprmll",),
        summary="Palm trees, marble busts and escalators",
    ),
    Listed(
        "manga-screentone",
        "Manga Screentone",
        "tezuka",
        tags=("manga", "screentone"),
        trigger_words=("mngscr",),
        lineage="Illustrious",
    ),
    Listed(
        "lighting-rembrandt",
        "Rembrandt Lighting",
        kind="lighting",
        tags=("chiaroscuro",),
        trigger_words=("rmbrndt",),
        summary="One key light from above",
    ),
    Listed(
        "zbrush-sculpts",
        "ZBrush Sculpts",
        kind="character",
        tags=("digital clay", "bust"),
        trigger_words=("zbsclpt",),
        summary="Grey-shaded models on a turntable",
    ),
    Listed(
        "kimono-patterns",
        "Kimono Patterns",
        kind="clothing",
        tags=("textile", "furisode"),
        trigger_words=("kmnptrn",),
        summary="Cranes, maple leaves and seigaiha",
    ),
    Listed(
        "tilt-shift",
        "Tilt-Shift Miniatures",
        tags=("miniature", "tilt shift"),
        trigger_words=("tltshft",),
        summary="Tiny towns with blurred edges",
    ),
    Listed(
        "oil-impasto",
        "Impasto Oils",
        tags=("oil painting", "palette knife"),
        trigger_words=("impst",),
        summary="Thick ridges of pigment",
    ),
)
