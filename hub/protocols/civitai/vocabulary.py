"""Civitai's types, levels, licences and orders, and how they map to Lorary's.

Source: Civitai's API v1 (``/enums``) and its schema of a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db.models import Q

from hub.protocols.civitai.basemodels import NAMES
from registry.adapters.licences import CONDITIONS, LICENCES, NO, YES, Licence
from registry.models import FileRole, Maturity

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
