"""An owner's choice of the cover."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import transaction
from django.utils.translation import gettext as _

from previews.covers.selectors import covering_images, covering_samples
from previews.models import Cover, Image, Sample
from registry import events
from registry.accounts import permissions
from registry.errors import Invalid
from registry.models import Adapter, User, Version


def choose(
    *, actor: User, adapter: Adapter, image: int | None = None, sample: int | None = None
) -> Cover:
    """Make a rendered (``image``) or an uploaded picture (``sample``) the cover.

    Raises:
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
        Invalid: not exactly one id was given, the adapter has no such picture, or it cannot be a
            cover.
    """
    user = permissions.require_adapter(actor, adapter)
    with transaction.atomic():
        if image is not None and sample is None:
            version = _version_of_image(adapter, image)
        elif sample is not None and image is None:
            version = _version_of_sample(adapter, sample)
        else:
            _refuse(image=_("Choose either a rendered picture or an uploaded one."))
        chosen: dict[str, Any] = {"image_id": image, "sample_id": sample}
        cover, _made = Cover.objects.update_or_create(adapter=adapter, defaults=chosen)
        events.record(
            actor=user, verb="cover_chosen", about=adapter, subject=version.name, **chosen
        )
    return cover


def choose_automatically(*, actor: User, adapter: Adapter) -> None:
    """Remove the choice, so that the cover is selected automatically again.

    Raises:
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, adapter)
    with transaction.atomic():
        forgotten, _by_model = Cover.objects.filter(adapter=adapter).delete()
        if forgotten:
            events.record(
                actor=user, verb="cover_automatic", about=adapter, subject=adapter.full_name
            )


def _version_of_image(adapter: Adapter, image: int) -> Version:
    rows = Image.objects.filter(render__version__adapter=adapter, pk=image)
    found = rows.select_related("render__version").first()
    version = found.render.version if found is not None else None
    if found is None or version is None:
        _refuse(image=_("This adapter has no such picture."))
    if not found.strength:
        _refuse(
            image=_("This picture shows the base model without the adapter. Choose another one.")
        )
    if not covering_images().filter(pk=image).exists():
        _refuse(image=_unfinished())
    return version


def _version_of_sample(adapter: Adapter, sample: int) -> Version:
    rows = Sample.objects.filter(version__adapter=adapter, pk=sample)
    found = rows.select_related("version").first()
    if found is None:
        _refuse(sample=_("This adapter has no such picture."))
    if not covering_samples().filter(pk=sample).exists():
        _refuse(sample=_unfinished())
    return found.version


def _unfinished() -> str:
    return _("Only a finished picture of a published version can be the cover.")


def _refuse(**fields: str) -> NoReturn:
    [sentence] = fields.values()
    raise Invalid(sentence, fields={name: [text] for name, text in fields.items()})
