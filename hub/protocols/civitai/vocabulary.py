"""Civitai's types, levels, licences and orders, and how they map to Lorary's.

Source: Civitai's API v1 (``/enums``) and its schema of a model.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from django.db.models import Q

from lorary.anatomy import FAMILIES
from registry.adapters.licences import CONDITIONS, LICENCES, NO, YES, Licence
from registry.models import FileRole, Maturity

# Mapping of family and lineage to Civitai's ``baseModel``, and of its names to conditions.
#
# The table is ``basemodels.toml``. The first lineage of a family whose words are in the version's
# lineage gives the name, so a condition excludes the lineages before it.

OTHER = "Other"
_UNKNOWN = "unknown"

#: Valid names that no adapter of a hub can have, besides those of the table.
_ELSEWHERE = (
    "ACE Audio", "Boogu", "Flux.1 Krea", "Grok", "HappyHorse", "HiDream-O1", "Imagen4", "Kling",
    "Lens", "MageFlow", "MiniMax H3", "Nano Banana", "ODOR", "OpenAI", "Qwen 2", "Qwen 3",
    "SD 2.0 768", "SD 2.1 Unclip", "SD 3.5", "SVD", "SVD XT", "Seedance", "Seedream", "Sora 2",
    "Stable Cascade", "Upscaler", "Veo 3", "Vidu Q1", "Wan Image 2.7", "Wan Video", "Wan Video 2.7",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """Names of a family: (words, name) of its lineages, and its own name."""

    name: str
    lineages: tuple[tuple[str, str], ...] = ()

    def of(self, lineage: str) -> str:
        """Return the name of a lineage."""
        folded = lineage.casefold()
        return next(
            (name for words, name in self.lineages if words.casefold() in folded), self.name
        )

    @property
    def names(self) -> frozenset[str]:
        """Return all names of its adapters."""
        return frozenset({self.name, *(name for _words, name in self.lineages)})

    def ways_to(self, wanted: frozenset[str], lineage: str) -> Q:
        """Return the condition on the lineage column for some names."""
        found, before = Q(pk__in=[]), Q()
        for words, name in self.lineages:
            has = Q(**{f"{lineage}__icontains": words})
            if name in wanted:
                found |= has & before
            before &= ~has
        if self.name not in wanted:
            return found
        return found | before if self.lineages else before


@cache
def _table() -> Mapping[str, Family]:
    text = resources.files(__package__).joinpath("basemodels.toml").read_text(encoding="utf-8")
    return {
        family: Family(row["name"], tuple((words, name) for words, name in row.get("lineages", ())))
        for family, row in tomllib.loads(text).items()
    }


def _names() -> Iterable[str]:
    for family in _table().values():
        yield from family.names


#: All valid names.
NAMES: tuple[str, ...] = tuple(sorted({*_names(), *_ELSEWHERE}, key=str.casefold))


def name_of(family: str, lineage: str) -> str:
    """Return Civitai's name of a base model; “Other” if it has none."""
    table = _table()
    if family in table and family != _UNKNOWN:
        return table[family].of(lineage)
    return OTHER if family in FAMILIES else table[_UNKNOWN].of(lineage)


def of_base_models(names: Iterable[str], *, family: str = "family", lineage: str = "lineage") -> Q:
    """Return the condition for rows whose base model has one of the names.

    Args:
        names: Some of ``NAMES``.
    """
    wanted, table = frozenset(names), _table()
    known = [one for one in table if one != _UNKNOWN]
    found = Q(pk__in=[])
    for one in (one for one in known if table[one].names & wanted):
        found |= Q(**{family: one}) & table[one].ways_to(wanted, lineage)
    nameless = sorted(set(FAMILIES) - set(known))
    if OTHER in wanted:
        found |= Q(**{f"{family}__in": nameless})
    rest = ~Q(**{f"{family}__in": [*known, *nameless]})
    return found | (rest & table[_UNKNOWN].ways_to(wanted, lineage))


MODEL_TYPES = (
    "Checkpoint", "TextualInversion", "Hypernetwork", "AestheticGradient", "LORA", "LoCon", "DoRA",
    "Controlnet", "Upscaler", "MotionModule", "VAE", "TextEncoder", "UNet", "CLIPVision", "Poses",
    "Wildcards", "Workflows", "ComfyWorkflows", "Detection", "VisionLanguage", "CLIP", "LLM",
    "Other",
)  # fmt: skip
FILE_TYPES = (
    "Model", "Text Encoder", "Vision Encoder", "Pruned Model", "Negative", "Training Data", "VAE",
    "Config", "Archive", "UNet", "Diffusion Model", "CLIPVision", "ControlNet", "Workflow",
    "Upscaler", "Enhancement LoRA", "Other",
)  # fmt: skip
FORMATS = ("SafeTensor", "PickleTensor", "GGUF", "Diffusers", "Core ML", "ONNX", "Other")
SIZES = ("full", "pruned")
PRECISIONS = (
    "fp32", "fp16", "bf16", "mxfp8", "fp8_mixed", "fp8_scaled", "fp8", "int8", "nf4", "nvfp4",
    "int4",
)  # fmt: skip
COMMERCIAL_USES = ("None", "Image", "RentCivit", "Rent", "Sell")

ENUMS = {
    "ModelType": MODEL_TYPES,
    "ModelFileType": FILE_TYPES,
    "ActiveBaseModel": NAMES,
    "BaseModel": NAMES,
    "BaseModelType": ("Standard", "Inpainting", "Refiner", "Pix2Pix"),
}

#: Sort → order of ``registry.adapters.listings_by_column``. There are no ratings, likes or
#: discussions, so these sort by downloads.
SORTS = {
    "Highest Rated": "downloads",
    "Most Downloaded": "downloads",
    "Most Liked": "downloads",
    "Most Discussed": "downloads",
    "Most Commented": "downloads",
    "Most Collected": "downloads",
    "Most Images": "downloads",
    "Newest": "newest",
    "Oldest": "oldest",
}
#: Sort → whether the oldest pictures come first; without reactions, the others are newest first.
IMAGE_SORTS = {
    "Most Reactions": False,
    "Most Comments": False,
    "Most Collected": False,
    "Newest": False,
    "Oldest": True,
    "Random": False,
}

#: Bits of a browsing level: PG, PG-13, R, X.
LEVELS: Mapping[str, int] = {
    Maturity.GENERAL: 1, Maturity.SUGGESTIVE: 2, Maturity.MATURE: 4, Maturity.EXPLICIT: 8,
}  # fmt: skip
#: The bit of XXX, which finds what is explicit, as X does.
_XXX = 16
#: Name → bits that it includes.
LEVEL_NAMES: Mapping[str, int] = {"None": 1, "Soft": 3, "Mature": 7, "X": 31}

_ROLES = {
    FileRole.WEIGHTS: "Model",
    FileRole.CONFIG: "Config",
    FileRole.TRAINING: "Training Data",
}

#: Methods of Civitai's type “LORA”; LyCORIS methods are “LoCon”.
_PLAIN = ("lora", "adalora", "rslora", "dylora", "lora_pattern", "lora_bias")
_LYCORIS = ("locon", "loha", "lokr", "glora", "ia3", "oft", "boft", "full", "norm")

_ALL_USES = ["Image", "RentCivit", "Rent", "Sell"]
_ALLOWED = (YES, CONDITIONS)


def _terms(licence: Licence) -> tuple[bool, Sequence[str], bool, bool]:
    """Return: no credit needed, commercial uses, derivatives, another licence for them."""
    of_pictures = ["Image"] if licence.pictures in _ALLOWED else []
    uses = _ALL_USES if licence.commercial in _ALLOWED else of_pictures
    has_derivatives = licence.changes in _ALLOWED
    return licence.credit == NO, uses, has_derivatives, has_derivatives and not licence.same_terms


#: Licence → its terms.
_LICENCES = {key: _terms(licence) for key, licence in LICENCES.items()}
#: Terms of an unknown licence.
_SILENT: tuple[bool, Sequence[str], bool, bool] = (False, [], False, False)
_FLAGS = ("allowNoCredit", "allowCommercialUse", "allowDerivatives", "allowDifferentLicense")


def ratings_in(mask: int) -> list[Maturity]:
    """Return the content ratings that a browsing level includes."""
    bits = {**LEVELS, Maturity.EXPLICIT: LEVELS[Maturity.EXPLICIT] | _XXX}
    return [rating for rating in Maturity if bits[rating] & mask]


def model_type(algorithm: str) -> str:
    """Return the type of model for an algorithm."""
    first, *more = algorithm.split("+")
    if first == "dora" or "dora" in more:
        return "DoRA"
    if first in _LYCORIS:
        return "LoCon"
    return "LORA" if not first or first in _PLAIN else "Other"


def of_types(types: Sequence[str], column: str = "algorithm") -> Q:
    """Return the condition on the column of the algorithm for some types."""
    is_dora = _one(column, ["dora"]) | Q(**{f"{column}__contains": "+dora"})
    is_locon = _one(column, _LYCORIS) & ~is_dora
    is_lora = (Q(**{column: ""}) | _one(column, _PLAIN)) & ~is_dora
    ways = {"DoRA": is_dora, "LoCon": is_locon, "LORA": is_lora,
            "Other": ~(is_dora | is_locon | is_lora)}  # fmt: skip
    found = Q(pk__in=[])
    for one in types:
        found |= ways.get(one, Q(pk__in=[]))
    return found


def _one(column: str, algorithms: Sequence[str]) -> Q:
    """Return the condition for some algorithms, alone or with additions (``loha+norm``)."""
    found = Q(**{f"{column}__in": list(algorithms)})
    for one in algorithms:
        found |= Q(**{f"{column}__startswith": f"{one}+"})
    return found


def file_type(role: str) -> str:
    """Return the type of a file in a manifest."""
    return _ROLES.get(FileRole(role), "Other")


def flags_of(licence: str) -> dict[str, bool | list[str]]:
    """Return what a licence allows, if it is known."""
    credit, uses, derivatives, other = _LICENCES.get(licence.casefold(), _SILENT)
    return dict(zip(_FLAGS, (credit, list(uses), derivatives, other), strict=True))


def allowing(flag: str, value: bool | str) -> Q:  # noqa: FBT001 - a value of the query
    """Return the condition for adapters whose licence has a value of a flag.

    Args:
        flag: A name in ``flags_of``.
        value: Whether it allows that; for ``allowCommercialUse`` one of ``COMMERCIAL_USES``.
    """
    place = _FLAGS.index(flag)
    if isinstance(value, bool):
        return _licensed(place) if value else ~_licensed(place)
    return ~_licensed(place) if value == "None" else _licensed(place, value)


def _licensed(place: int, use: str = "") -> Q:
    found = Q(pk__in=[])
    for licence, terms in _LICENCES.items():
        allowed = terms[place]
        if allowed and (not use or (not isinstance(allowed, bool) and use in allowed)):
            found |= Q(licence__iexact=licence)
    return found
