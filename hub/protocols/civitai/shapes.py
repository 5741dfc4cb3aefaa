"""Models, versions and images as Civitai's clients read them.

Source: Civitai's API v1, and what its clients rely on: no null instead of a text or a list, newest
version first, dates that end in Z.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.html import format_html

from hub.protocols.civitai import files as manifest
from hub.protocols.civitai.vocabulary import LEVELS, flags_of, model_type, name_of
from previews.covers.selectors import choices_of
from previews.models import Sample
from previews.pictures import showcase
from previews.pictures.showcase import RenderedImage
from previews.samples import showcase as samples
from registry.adapters.listings_by_column import tags_of
from registry.blobs.by_hash import Match
from registry.cards import markdown
from registry.derived.selectors import wanted_of
from registry.models import Adapter, File, FileRole, Maturity, Version, VersionState, Visibility
from registry.versions import by_id

#: Length to which lists cut texts, the maximum length of a summary.
BRIEF = 280
#: Civitai's words for who can find a model.
_AVAILABILITY: Mapping[str, str] = {
    Visibility.PUBLIC: "Public",
    Visibility.UNLISTED: "Unsearchable",
    Visibility.PRIVATE: "Private",
}
#: Characters that show that notes are formatted.
NOTES_MARKS = 2_000


@dataclass(frozen=True, slots=True)
class VersionBundle:
    """Weights and pictures of versions, fetched in few queries.

    Attributes:
        origin: Origin of this hub's URLs.
        manifests: Revision id → weights, primary file first.
        pictures: Version id → pictures.
    """

    origin: str
    manifests: dict[int, list[File]] = field(default_factory=dict)
    pictures: dict[int, list[RenderedImage | Sample]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, rows: Iterable[Version], origin: str, ratings: Collection[str] = tuple(Maturity)
    ) -> VersionBundle:
        """Fetch weights and pictures of versions in five queries.

        Args:
            rows: Versions with their adapters.
            origin: Origin of this hub's URLs.
            ratings: Content ratings of the pictures to show.
        """
        listed = list(rows)
        weights = by_id.manifests_of(listed, [FileRole.WEIGHTS])
        return cls(origin, weights, _pictures(listed, ratings))

    def files(self, version: Version) -> list[File]:
        """Return the fetched files of a version."""
        return self.manifests.get(version.revision_id, [])


def _pictures(
    rows: Sequence[Version], ratings: Collection[str]
) -> dict[int, list[RenderedImage | Sample]]:
    """Return version id → rendered and then uploaded pictures; a chosen cover is the first.

    Args:
        rows: Versions with their adapters.
        ratings: Content ratings of the pictures to return.
    """
    rendered, uploaded = showcase.of_versions(rows), samples.of_versions(rows)
    choices = choices_of({one.adapter_id for one in rows})
    chosen_images, chosen_samples = (
        {one.image_id for one in choices},
        {one.sample_id for one in choices},
    )

    def is_later(one: RenderedImage | Sample) -> bool:
        return (
            one.pk not in chosen_samples
            if isinstance(one, Sample)
            else one.image.pk not in chosen_images
        )

    found: dict[int, list[RenderedImage | Sample]] = {}
    for row in rows:
        both = [*rendered.get(row.pk, ()), *uploaded.get(row.pk, ())]
        shown = [one for one in both if _rating(row.adapter, one) in ratings]
        found[row.pk] = sorted(shown, key=is_later)
    return found


def date(moment: datetime | None) -> str | None:
    """Return a time in the format that clients parse."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def level_of(adapter: Adapter, own: str = "") -> int:
    """Return the bit of an adapter's level, or that of a picture with a rating of its own."""
    return LEVELS[own or adapter.maturity]


def _rating(adapter: Adapter, picture: RenderedImage | Sample) -> str:
    own = picture if isinstance(picture, Sample) else picture.image
    return own.maturity or adapter.maturity


def models(
    rows: Sequence[Adapter],
    origin: str,
    *,
    is_main_only: bool = False,
    has_card: bool = False,
    ratings: Collection[str] = tuple(Maturity),
) -> list[dict[str, Any]]:
    """Return adapters as models, in eight queries at most.

    Args:
        is_main_only: Whether to leave out files that are not primary.
        has_card: Whether the description is the whole card instead of the summary.
        ratings: Content ratings of the pictures to show.
    """
    offered = by_id.versions_of(rows)
    every = (one for several in offered.values() for one in several)
    bundle = VersionBundle.of(every, origin, ratings)
    tags = tags_of(rows)
    return [
        {
            **_model(row, offered[row.pk], bundle, is_main_only=is_main_only, has_card=has_card),
            "tags": tags[row.pk],
        }
        for row in rows
    ]


def _model(
    adapter: Adapter,
    offered: Sequence[Version],
    bundle: VersionBundle,
    *,
    is_main_only: bool,
    has_card: bool,
) -> dict[str, Any]:
    return {
        "id": adapter.pk,
        "name": adapter.display_title,
        "description": _description(adapter, has_card=has_card),
        **_kind(adapter),
        "nsfwLevel": level_of(adapter),
        "availability": _AVAILABILITY[adapter.visibility],
        "supportsGeneration": False,
        **flags_of(adapter.licence),
        "stats": _stats(adapter.downloads),
        "creator": {"username": adapter.owner, "image": None},
        "modelVersions": [
            {"index": index, **_version(one, bundle, is_main_only=is_main_only)}
            for index, one in enumerate(offered)
        ],
    }


def _kind(adapter: Adapter) -> dict[str, Any]:
    return {
        "type": model_type(adapter.algorithm),
        "nsfw": not Maturity(adapter.maturity).is_for_all,
        "poi": False,
    }


def _description(adapter: Adapter, *, has_card: bool) -> str:
    card = markdown.card_of(adapter) if has_card else None
    if card is not None and card.text:
        return str(card.html or _plain(card.text))
    return _paragraph(adapter.summary)


def _notes(text: str) -> str:
    """Return the notes of a version as HTML."""
    try:
        return str(markdown.render(text, max_marks=NOTES_MARKS))
    except markdown.Unrenderable:
        return _plain(text)


def _plain(text: str) -> str:
    return format_html("<pre>{}</pre>", text)


def _paragraph(text: str) -> str:
    """Return the beginning of a text as HTML; full ones would be slow for many versions."""
    brief = " ".join(text[: 2 * BRIEF].split())[:BRIEF]
    return format_html("<p>{}</p>", brief) if brief else ""


def _stats(downloads: int) -> dict[str, int]:
    return {
        "downloadCount": downloads, "thumbsUpCount": 0, "thumbsDownCount": 0, "commentCount": 0,
        "favoriteCount": 0, "ratingCount": 0, "rating": 0, "tippedAmountCount": 0,
    }  # fmt: skip


def _version(
    version: Version, bundle: VersionBundle, *, is_main_only: bool = False
) -> dict[str, Any]:
    files = bundle.files(version)
    return {
        "id": version.pk,
        "name": f"{version.name} {version.label}".strip(),
        "description": _paragraph(version.notes),
        "baseModel": name_of(version.family, version.lineage),
        "baseModelType": "Standard",
        "createdAt": date(version.created_at),
        "publishedAt": date(version.published_at),
        "status": "Published",
        "availability": _AVAILABILITY[version.adapter.visibility],
        "nsfwLevel": level_of(version.adapter),
        "trainedWords": [*version.trigger_words, *version.optional_trigger_words],
        "stats": _stats(version.downloads),
        "supportsGeneration": False,
        "files": manifest.shapes(version, files, bundle.origin, is_main_only=is_main_only),
        "images": [picture(one, version, bundle) for one in bundle.pictures.get(version.pk, ())],
        "downloadUrl": manifest.download_url(version, bundle.origin),
    }


def versions(
    rows: Sequence[Version], origin: str, *, has_notes: bool = False
) -> list[dict[str, Any]]:
    """Return versions with their models, in five queries.

    Args:
        has_notes: Whether several versions have their full notes, as a single one has, instead of
            only the beginning.
    """
    bundle = VersionBundle.of(rows, origin)
    found = [full_version(row, bundle) for row in rows]
    if has_notes or len(rows) == 1:
        for row, document in zip(rows, found, strict=True):
            document["description"] = _notes(row.notes) if row.notes else ""
    return found


def full_version(version: Version, bundle: VersionBundle) -> dict[str, Any]:
    """Return a single version."""
    adapter = version.adapter
    document = _version(version, bundle)
    if version.state == VersionState.YANKED:
        document["status"] = "Unpublished"
    return {
        **document,
        "modelId": adapter.pk,
        "updatedAt": date(version.published_at),
        "model": {"name": adapter.display_title, **_kind(adapter)},
        "air": air(version),
        "earlyAccessEndsAt": None,
        "usageControl": "Download",
        "uploadType": "Created",
    }


def derived_from(match: Match) -> dict[str, Any]:
    """Return how a file with a hash was made of a file of its version; {} if it is that file."""
    if match.derived is None:
        return {}
    form = wanted_of(match.derived)
    return {
        "derivedFrom": {
            "sha256": match.file.sha256.upper(),
            "variant": form.variant,
            "naming": form.naming,
            "maxRank": form.max_rank,
            "isStripped": form.is_stripped,
        }
    }


def air(version: Version) -> str:
    """Return the AIR identifier with base, type, hub, model and version."""
    base = version.family or "other"
    kind = model_type(version.algorithm).casefold()
    return f"urn:air:{base}:{kind}:lorary:{version.adapter_id}@{version.pk}"


def mini(version: Version, file: File, bundle: VersionBundle) -> dict[str, Any]:
    """Return the fields of a version that a download needs."""
    shown = manifest.shape(
        version, file, bundle.files(version), bundle.origin, is_main=file.is_primary
    )
    return {
        "air": air(version),
        "versionName": f"{version.name} {version.label}".strip(),
        "modelName": version.adapter.display_title,
        "baseModel": name_of(version.family, version.lineage),
        "availability": _AVAILABILITY[version.adapter.visibility],
        "publishedAt": date(version.published_at),
        "size": shown["sizeKB"],
        "fileType": shown["type"],
        "fileName": shown["name"],
        "hashes": shown["hashes"],
        "downloadUrls": [shown["downloadUrl"]],
        "format": shown["metadata"]["format"],
        "canGenerate": False,
        "requireAuth": version.adapter.visibility != "public",
        "checkPermission": False,
        "earlyAccessEndsAt": None,
    }


def picture(
    exhibit: RenderedImage | Sample, version: Version, bundle: VersionBundle
) -> dict[str, Any]:
    """Return a picture of a version, without a BlurHash."""
    if isinstance(exhibit, Sample):
        return _uploaded(exhibit, version, bundle)
    image = exhibit.image
    return {
        "id": image.pk,
        "url": bundle.origin + exhibit.url,
        "nsfwLevel": level_of(version.adapter, image.maturity),
        "width": image.width,
        "height": image.height,
        "hash": "",
        "type": type_of(exhibit),
        "hasMeta": True,
        "meta": meta(exhibit, version, manifest.main_of(bundle.files(version))),
    }


def type_of(exhibit: RenderedImage) -> str:
    """Return the type of a rendered picture or video."""
    return "video" if exhibit.is_film else "image"


def _uploaded(sample: Sample, version: Version, bundle: VersionBundle) -> dict[str, Any]:
    """Return an uploaded picture, or the first frame of a video.

    It has no ``id``, because ids are those of ``/images``, which lists rendered pictures only.
    """
    facts = claims(sample)
    return {
        "url": f"{bundle.origin}/media/samples/{sample.pk}.webp",
        "nsfwLevel": level_of(version.adapter, sample.maturity),
        "width": sample.width,
        "height": sample.height,
        "hash": "",
        "type": "image",
        "hasMeta": bool(facts),
        "meta": facts or None,
    }


#: Name of a fact of an uploaded picture → the name that A1111 uses.
_CLAIMS = {
    "prompt": "prompt", "negative": "negativePrompt", "seed": "seed", "steps": "steps",
    "sampler": "sampler", "guidance": "cfgScale", "size": "Size", "model": "Model",
}  # fmt: skip


def claims(sample: Sample) -> dict[str, Any]:
    """Return the settings that the metadata of an uploaded picture claims."""
    return {name: sample.facts[fact] for fact, name in _CLAIMS.items() if fact in sample.facts}


def meta(exhibit: RenderedImage, version: Version, main: File | None) -> dict[str, Any]:
    """Return the settings of a preview under the names that A1111 uses."""
    image, recipe = exhibit.image, exhibit.recipe
    weight = image.strength
    named = {"name": version.adapter.display_title, "type": "lora", "weight": weight}
    facts = {
        "prompt": image.prompt,
        "negativePrompt": recipe.get("negative") or "",
        "seed": image.seed,
        "steps": recipe.get("steps"),
        "sampler": recipe.get("sampler"),
        "cfgScale": recipe.get("guidance"),
        "Size": f"{image.width}x{image.height}",
        "Model": recipe.get("base"),
        "resources": [named | ({"hash": main.sha256[:10].upper()} if main else {})],
        "civitaiResources": [{"type": "lora", "modelVersionId": version.pk, "weight": weight}],
    }
    return {name: value for name, value in facts.items() if value is not None}
