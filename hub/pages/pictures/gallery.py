"""The gallery: its images, their files, and their owner's forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from hub.pages.adapters.content_rating import (
    asked_level,
    is_blurred,
    level_of,
    rating_of,
    show_url,
)
from hub.pages.forms import PICTURE_RATINGS, SampleForm, accept_faults
from hub.pages.pictures import recipe_links
from hub.pages.pictures.copied_recipe import infotext
from hub.pages.pictures.covers import CoverControls, controls_of
from hub.pages.pictures.media import is_public, send_picture, send_thumbnail, viewer_of
from previews.derived import offered
from previews.models import Sample, SampleKind, SampleState
from previews.models.render import MAX_STRENGTH
from previews.samples import selectors
from previews.samples import services as samples
from previews.samples.selectors import ShownSample
from previews.samples.services import MAX_OF_VERSION
from registry.accounts.permissions import require_adapter
from registry.adapters import selectors as adapter_selectors
from registry.errors import Invalid, LoraryError, NotFound
from registry.models import Adapter, Blob, Maturity, User, Version
from registry.versions import selectors as version_selectors

#: Number of images on the page of an adapter; the gallery's own page has all.
FIRST = 10
#: Seconds between refreshes while an image is being checked.
POLL_S = 2


@dataclass(frozen=True, slots=True)
class Used:
    """A file named in the metadata.

    Attributes:
        url: URL of an adapter that contains it; "" for none.
        is_absent: Whether no file here has its hash; without a hash, nothing is known.
    """

    name: str
    strength: str
    url: str
    is_absent: bool = False


@dataclass(frozen=True, slots=True)
class GalleryImage:
    """A gallery image with its texts.

    Attributes:
        rating: Label of its content rating; empty for “general”.
        show_url: URL of the page with the image unblurred; empty if it is not blurred.
        level: Level to request to see the blurred image.
        mixer_url: URL of the mixer with its settings, "" if they are unknown or nothing renders
            them.
        recipe: The settings as other tools read them.
    """

    sample: ShownSample
    alt: str
    settings: str
    used: list[Used]
    rating: str = ""
    show_url: str = ""
    level: str = ""
    mixer_url: str = ""
    recipe: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether it can be shown."""
        return bool(self.sample.row.state == SampleState.READY)

    @property
    def is_refused(self) -> bool:
        """Whether it was refused."""
        return bool(self.sample.row.state == SampleState.REFUSED)


@dataclass(frozen=True, slots=True)
class Gallery:
    """The gallery of a version.

    Attributes:
        images: The newest images, or all, in the order in which they were added.
        total: Number of images.
        others: Other versions with images: name and number.
        can_upload: Whether the viewer may add and remove images.
        url: URL of the gallery's page.
        api: URL for uploads.
        covering: The owner's controls of the cover; None for other users.
        poll_s: Seconds until the next refresh; 0 if no image is being checked.
    """

    images: list[GalleryImage]
    total: int
    others: list[tuple[str, int]]
    can_upload: bool
    url: str
    api: str
    covering: CoverControls | None
    poll_s: int

    @property
    def limit(self) -> int:
        """Return the maximum number of images of a version."""
        return MAX_OF_VERSION

    @property
    def ratings(self) -> list[tuple[str, str]]:
        """Return the content ratings that an image can have, with their labels."""
        return [(level, str(label)) for level, label in PICTURE_RATINGS]


def gallery_of(
    request: HttpRequest,
    adapter: Adapter,
    version: Version,
    covering: CoverControls | None,
    *,
    first: int | None = None,
) -> Gallery:
    """Return a version's gallery as the user may see it, with four queries.

    Owners also see images that are being checked or were refused.

    Args:
        covering: The owner's controls of the cover.
        first: Maximum number of images, for the page of the adapter; default: all.
    """
    user = request.user
    page = _page(version, is_first=bool(first))
    rows = list(selectors.listing(user, version).order_by("pk"))
    shown = selectors.shown(user, rows[-(first or len(rows)) :])
    is_waiting = any(row.state == SampleState.QUEUED for row in rows)
    is_rendered = any("prompt" in one.facts for one in shown) and recipe_links.can_render(version)
    return Gallery(
        images=[
            _rated(request, gallery_image_of(one, can_render=is_rendered), page) for one in shown
        ],
        total=len(rows),
        others=selectors.others(user, version),
        can_upload=bool(user.is_authenticated and adapter.namespace.is_writable_by(user)),
        url=gallery_url(version),
        api=reverse("api-samples", args=[adapter.owner, adapter.name, version.name]),
        covering=covering,
        poll_s=POLL_S if is_waiting else 0,
    )


def _rated(request: HttpRequest, image: GalleryImage, page: str) -> GalleryImage:
    """Return an image with its content rating, as the viewer sees it."""
    row = image.sample.row
    adapter = row.version.adapter
    level = level_of(adapter, row.maturity)
    if image.is_ready and is_blurred(request.user, adapter, level, asked_level(request)):
        address = show_url(request, level, page=page)
        return replace(image, rating=str(level.label), show_url=address, level=level.value)
    return image if level == Maturity.GENERAL else replace(image, rating=str(level.label))


def gallery_url(version: Version) -> str:
    """Return the URL of a version's gallery."""
    adapter = version.adapter
    return f"{reverse('gallery', args=[adapter.owner, adapter.name])}?v={version.name}"


def gallery_image_of(sample: ShownSample, *, can_render: bool = False) -> GalleryImage:
    """Return a gallery image with its texts.

    Args:
        can_render: Whether the try page can render the version.
    """
    facts = sample.facts
    title = _("Picture uploaded by %(name)s") % {"name": sample.row.author.username}
    words = sample.row.caption or facts.get("prompt", "")
    return GalleryImage(
        sample=sample,
        alt=f"{title}: {words[:160]}" if words else title,
        settings=", ".join(_settings(facts)),
        used=[_used(item) for item in facts.get("resources", []) if item["kind"] != "checkpoint"],
        mixer_url=_mixer_url(sample) if can_render and "prompt" in facts else "",
        recipe=infotext(facts),
    )


def _mixer_url(sample: ShownSample) -> str:
    """Return the try page with the settings of an image, at the strength it claims to have."""
    version = sample.row.version
    own = f"{version.adapter.full_name}@"
    claimed = (
        float(item["strength"])
        for item in sample.facts.get("resources", [])
        if "strength" in item and (item["matched"] or "").startswith(own)
    )
    strength = next((one for one in claimed if abs(one) <= MAX_STRENGTH), version.dial)
    return recipe_links.mixer_url(version, sample.facts, strength=strength, is_plain=True)


def _settings(facts: dict[str, Any]) -> Iterator[str]:
    if facts.get("model"):
        yield str(facts["model"])
    if "steps" in facts:
        yield ngettext("%(n)d step", "%(n)d steps", facts["steps"]) % {"n": facts["steps"]}
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
    return Used(shown, strength, url, is_absent=not name and bool(item["hashes"]))


TYPES = {"webp": "image/webp", "mp4": "video/mp4"}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def gallery(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show all gallery images of a version; POST uploads more, for browsers without JavaScript."""
    adapter = adapter_selectors.get(request.user, owner, name)
    version = version_selectors.get(
        request.user, adapter, request.GET.get("v") or version_selectors.LATEST
    )
    if request.method == "POST":
        return _upload(request, adapter, version)
    first = FIRST if "first" in request.GET else None
    covering = controls_of(request.user, adapter)
    shown = gallery_of(request, adapter, version, covering, first=first)
    template = "gallery/images.html" if "part" in request.GET else "gallery/page.html"
    context = {"adapter": adapter, "version": version, "gallery": shown, "is_first": bool(first)}
    context["rating"] = rating_of(request, adapter)
    return render(request, template, context)


def _page(version: Version, *, is_first: bool) -> str:
    """Return the path of the page that contains a part of the gallery."""
    name = "adapter" if is_first else "gallery"
    return reverse(name, args=[version.adapter.owner, version.adapter.name])


def _upload(request: HttpRequest, adapter: Adapter, version: Version) -> HttpResponse:
    """Upload all files of the form, with a message for each refused one."""
    user = require_adapter(request.user, adapter)
    files = request.FILES.getlist("files")
    if files:
        add_files(request, user, version, files, rating=request.POST.get("maturity", ""))
    else:
        messages.error(request, _("Choose a file first."))
    return redirect(gallery_url(version))


def add_files(
    request: HttpRequest,
    user: User,
    version: Version,
    files: Sequence[UploadedFile[Any]],
    *,
    rating: str = "",
) -> None:
    """Add files of a form to a gallery, in their order, with a message for each refused one."""
    taken = 0
    for file in files:
        try:
            samples.add(
                actor=user, version=version, stream=file, name=file.name or "", maturity=rating
            )
            taken += 1
        except LoraryError as error:
            messages.error(request, f"{file.name}: {error.detail}")
    if taken:
        text = ngettext(
            "%(n)d picture is being checked.", "%(n)d pictures are being checked.", taken
        )
        messages.success(request, text % {"n": taken})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def item(request: HttpRequest, owner: str, name: str, sample_id: int) -> HttpResponse:
    """Change caption and content rating of a gallery image, or delete it."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    sample = selectors.get(user, sample_id)
    if sample.version.adapter_id != adapter.pk:
        raise NotFound(_("There is no such picture."))
    initial = {"caption": sample.caption, "maturity": sample.maturity}
    form = SampleForm(request.POST or None, initial=initial)
    if request.method == "POST" and _is_done(request, form, sample):
        return redirect(gallery_url(sample.version))
    [shown] = selectors.shown(user, [sample])
    context = {"adapter": adapter, "image": gallery_image_of(shown), "form": form}
    return render(request, "gallery/item.html", context, status=400 if form.errors else 200)


def _is_done(request: HttpRequest, form: SampleForm, sample: Sample) -> bool:
    user = require_adapter(request.user, sample.version.adapter)
    if request.POST.get("do") == "remove":
        samples.remove(actor=user, sample=sample)
        messages.success(request, _("The picture was removed."))
        return True
    if not form.is_valid():
        return False
    try:
        samples.edit(actor=user, sample=sample, **form.cleaned_data)
    except Invalid as error:
        accept_faults(form, error.facts.get("fields", {}), str(error.detail))
        return False
    messages.success(request, _("Caption and content rating are saved."))
    return True


@require_safe
def media(request: HttpRequest, sample_id: int, suffix: str) -> HttpResponseBase:
    """Send an image, a video or its poster, if the viewer may see the version."""
    sample = selectors.get(viewer_of(request), sample_id)
    return _sent(request, sample, _blob(sample, suffix), suffix)


@require_safe
def thumbnail(request: HttpRequest, sample_id: int, width: int, kind: str) -> HttpResponseBase:
    """Send a thumbnail of a picture or poster."""
    sample = selectors.get(viewer_of(request), sample_id)
    still = _blob(sample, "webp")
    if (kind, width) not in offered(sample.width, is_webp=True):
        raise NotFound(_("There is no such picture."))
    whole = reverse("sample", args=[sample_id, "webp"])
    is_open = is_public(sample.version)
    return send_thumbnail(request, still, (kind, width), whole, is_open=is_open)


def _sent(request: HttpRequest, sample: Sample, blob: Blob, suffix: str) -> HttpResponseBase:
    return send_picture(request, blob, TYPES[suffix], is_open=is_public(sample.version))


def _blob(sample: Sample, suffix: str) -> Blob:
    """Return the file for a suffix: for a video, ``mp4`` is itself and ``webp`` its poster."""
    film, picture = None, sample.blob
    if sample.kind == SampleKind.VIDEO:
        film, picture = sample.blob, sample.poster
    found = {"mp4": film, "webp": picture}.get(suffix)
    if found is None:
        raise NotFound(_("There is no such picture."))
    return found
