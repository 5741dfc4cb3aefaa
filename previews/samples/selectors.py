"""Reads samples, limited to those that the viewer can see, and adapters used together in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from previews.models import Layer, Sample, SampleKind, SampleState
from previews.pictures.selectors import Source, rating, uploaded_sources
from registry.errors import NotFound
from registry.models import (
    OUT_STATES,
    Adapter,
    Blob,
    File,
    FileRole,
    Maturity,
    Namespace,
    User,
    Version,
    VersionState,
)
from registry.versions import selectors as version_selectors

#: Maximum number of newest pictures and try-outs that are examined.
NEWEST = 100


def companions(user: User | AnonymousUser | None, adapter: Adapter, limit: int) -> list[Adapter]:
    """Return listed adapters that are used together with this one, most frequent first."""
    uses = Counter[int](_of_tryouts(adapter))
    uses.update(_of_pictures(adapter))
    known = [pk for pk, _count in uses.most_common(NEWEST)]
    rows = Adapter.objects.listed_for(user).filter(pk__in=known, published_at__isnull=False)
    found = {one.pk: one for one in rows.select_related("namespace", "latest_version")}
    return [found[pk] for pk in known if pk in found][:limit]


def _of_tryouts(adapter: Adapter) -> list[int]:
    """Return the adapter of each other layer in shared try-outs that include this adapter."""
    mine = Layer.objects.filter(
        version__adapter=adapter, render__tryout__is_shared=True, render__tryout__first=None
    )
    renders = list(mine.order_by("-id").values_list("render", flat=True)[:NEWEST])
    layers = Layer.objects.filter(render__in=renders).exclude(version__adapter=adapter)
    return list(layers.values_list("version__adapter", flat=True))


def _of_pictures(adapter: Adapter) -> Counter[int]:
    """Return how many pictures name weights of each other adapter."""
    rows = Sample.objects.filter(version__adapter=adapter, state=SampleState.READY)
    pictures = Counter[str]()
    for facts in rows.order_by("-id").values_list("facts", flat=True)[:NEWEST]:
        pictures.update({item["sha256"] for item in _named_resources(facts) if "sha256" in item})
    holders = File.objects.filter(
        blob__sha256__in=list(pictures), revision__versions__state__in=OUT_STATES
    )
    pairs = set(holders.values_list("revision__adapter", "blob__sha256"))
    own = {sha256 for pk, sha256 in pairs if pk == adapter.pk}
    uses = Counter[int]()
    for pk, sha256 in pairs:
        if sha256 not in own:  # other adapters may have the same file
            uses[pk] += pictures[sha256]
    return uses


def _named_resources(facts: dict[str, Any]) -> list[dict[str, Any]]:
    found = facts.get("resources", [])
    return found if isinstance(found, list) else []


#: Minimum width of a picture for lists.
LISTED = 512
#: Condition that the bytes of the picture, or of the poster of a video, are stored.
HAS_BYTES = Q(poster__isnull=True, blob__is_stored=True) | Q(poster__is_stored=True)


@dataclass(frozen=True, slots=True)
class ShownSample:
    """A sample and what its metadata claims (``facts``).

    Each of the ``resources`` in ``facts`` has ``matched``: the ``owner/name@v1`` that has the file,
    or None if there is none that the viewer can see.
    """

    row: Sample
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> int:
        """Id of the sample."""
        return self.row.pk

    @property
    def is_film(self) -> bool:
        """Whether it is a video."""
        return bool(self.row.kind == SampleKind.VIDEO)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.row.width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.row.height

    @property
    def maturity(self) -> str:
        """Content rating: its own, or that of its adapter."""
        return self.row.maturity or str(self.row.version.adapter.maturity)

    @property
    def placeholder(self) -> str:
        """``data:`` URL of a picture of a few pixels."""
        return self.row.placeholder

    @property
    def url(self) -> str:
        """Path of the picture or video; empty until it is ready."""
        return _url(self.row, "mp4" if self.is_film else "webp")

    @property
    def sources(self) -> tuple[Source, ...]:
        """Thumbnails of the picture or poster, and the file itself."""
        is_ready = self.row.state == SampleState.READY
        return uploaded_sources(self.id, self.row.width) if is_ready else ()

    @property
    def small_url(self) -> str:
        """Path of a WebP for lists: a thumbnail, or the picture or poster itself."""
        small = [one.url for one in self.sources if one.kind == "webp" and one.width >= LISTED]
        return small[0] if small else _url(self.row, "webp")

    @property
    def poster_url(self) -> str:
        """Path of the first frame of a video."""
        return _url(self.row, "webp") if self.is_film else ""


def _url(row: Sample, suffix: str) -> str:
    return f"/media/samples/{row.pk}.{suffix}" if row.state == SampleState.READY else ""


def shown_samples() -> QuerySet[Sample]:
    """Return the samples that are shown to everyone who can see their version."""
    return Sample.objects.filter(state=SampleState.READY)


def listing(user: User | AnonymousUser | None, version: Version) -> QuerySet[Sample]:
    """Return the samples of a visible version, newest first.

    Only users who can publish the adapter see samples that are queued or refused.
    """
    rows = version.samples.select_related("author", "version__adapter__namespace")
    if version.state == VersionState.WITHDRAWN:
        return rows.none()
    return rows if _is_owner(user, version) else rows.filter(state=SampleState.READY)


def up_to(rows: QuerySet[Sample], highest: str) -> QuerySet[Sample]:
    """Return the samples whose content rating is at or below a level."""
    return rows.alias(rating=rating("version")).filter(rating__in=Maturity(highest).up_to)


def others(user: User | AnonymousUser | None, version: Version) -> list[tuple[str, int]]:
    """Return the adapter's other versions with samples: name and count, newest first."""
    rows = version_selectors.listing(user, version.adapter).exclude(pk=version.pk)
    ready = Count("samples", filter=Q(samples__state=SampleState.READY))
    counted = rows.exclude(state=VersionState.WITHDRAWN).annotate(n=ready).filter(n__gt=0)
    return [
        (f"v{number}", n) for number, n in counted.order_by("-number").values_list("number", "n")
    ]


def get(user: User | AnonymousUser | None, sample_id: int) -> Sample:
    """Return a sample that the user can see.

    Raises:
        NotFound: it does not exist, is private, of a draft, or another user's and not ready.
    """
    is_visible = Adapter.objects.visible_to(user).among("version__adapter")
    rows = Sample.objects.select_related("blob", "poster", "author", "version__adapter__namespace")
    found = rows.filter(is_visible, pk=sample_id).first()
    if found is None or not _is_open(user, found):
        raise NotFound(_("There is no such picture."))
    return found


def _is_open(user: User | AnonymousUser | None, sample: Sample) -> bool:
    if sample.version.state in OUT_STATES and sample.state == SampleState.READY:
        return True
    return sample.version.state != VersionState.WITHDRAWN and _is_owner(user, sample.version)


def _is_owner(user: User | AnonymousUser | None, version: Version) -> bool:
    if user is None or not user.is_authenticated:
        return False
    return version.adapter.is_writable_by(user)


def shown(user: User | AnonymousUser | None, samples: Sequence[Sample]) -> list[ShownSample]:
    """Return samples with the adapters that their metadata name; at most two queries."""
    wanted = {item["sha256"] for row in samples for item in _resources(row) if "sha256" in item}
    own = {row.version.adapter_id for row in samples}
    names = _names_of(user, wanted, own) if wanted else {}
    return [ShownSample(row, _facts(row, names)) for row in samples]


def _resources(sample: Sample) -> list[dict[str, Any]]:
    found = sample.facts.get("resources", [])
    return found if isinstance(found, list) else []


def _facts(sample: Sample, names: dict[str, dict[int, str]]) -> dict[str, Any]:
    """Return facts with names of adapters instead of digests, the sample's own adapter first."""
    resources = []
    for item in _resources(sample):
        places = names.get(item.get("sha256", ""), {})
        name = places.get(sample.version.adapter_id) or next(iter(places.values()), None)
        resources.append({k: v for k, v in item.items() if k != "sha256"} | {"matched": name})
    return {**sample.facts, "resources": resources} if resources else dict(sample.facts)


def _names_of(
    user: User | AnonymousUser | None, digests: Iterable[str], own: Iterable[int]
) -> dict[str, dict[int, str]]:
    """Return digest → adapter id → ``owner/name@v1``, the oldest version of each adapter.

    They are adapters that a search finds, and those whose samples are shown (``own``). Unlisted
    adapters are left out, because a sample would give their address to everyone.
    """
    is_listed = Adapter.objects.listed_for(user).among("revision__adapter")
    rows = File.objects.filter(
        is_listed | Q(revision__adapter__in=list(own)),
        blob__sha256__in=list(digests),
        revision__versions__state__in=OUT_STATES,
    )
    names: dict[str, dict[int, str]] = {}
    for digest, adapter_id, owner, name, number in rows.order_by(
        "revision__versions__published_at", "revision__versions__number"
    ).values_list(
        "blob__sha256",
        "revision__adapter_id",
        "revision__adapter__namespace__name",
        "revision__adapter__name",
        "revision__versions__number",
    ):
        names.setdefault(digest, {}).setdefault(adapter_id, f"{owner}/{name}@v{number}")
    return names


def digests_of(hashes: Iterable[str]) -> dict[str, str]:
    """Return the sha256 of the stored weights for each hash; ambiguous hashes are omitted.

    Args:
        hashes: Lower-case hex digits, 10 to 64 of them: a sha256, the digest of everything after
            the header (AutoV3), or a prefix of either.
    """
    wanted = sorted(set(hashes))
    condition = Q(pk__in=[])
    for text in wanted:
        condition |= Q(sha256__gte=text, sha256__lt=f"{text}g")  # "g" follows every hex digit
        condition |= Q(hashes__data_sha256__startswith=text)
    rows = Blob.objects.filter(condition, files__role=FileRole.WEIGHTS).distinct()
    known = [(row.sha256, str(row.hashes.get("data_sha256", ""))) for row in rows]
    found = {
        text: {sha256 for sha256, data in known if sha256.startswith(text) or data.startswith(text)}
        for text in wanted
    }
    return {text: digests.pop() for text, digests in found.items() if len(digests) == 1}


def stored_bytes(namespace: Namespace) -> int:
    """Return the stored bytes of samples in a namespace, queued ones included."""
    rows = Sample.objects.filter(version__adapter__namespace=namespace)
    fields = ("source", "blob", "poster")
    sizes = rows.aggregate(**{name: Sum(f"{name}__size_bytes") for name in fields})
    return sum(size or 0 for size in sizes.values())
