"""The owner's choice of a cover, from the gallery and from the panel of previews."""

from __future__ import annotations

from dataclasses import dataclass

from django import forms
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from previews.covers import services
from previews.covers.selectors import covers_of
from registry.accounts.permissions import require_adapter
from registry.adapters import selectors as adapter_selectors
from registry.errors import Invalid
from registry.models import Adapter, User

MAX_ID = 2**62


class CoverForm(forms.Form):
    """The chosen picture, or none for an automatic choice; ``back`` is the requesting page."""

    image = forms.IntegerField(required=False, min_value=1, max_value=MAX_ID)
    sample = forms.IntegerField(required=False, min_value=1, max_value=MAX_ID)
    version = forms.CharField(required=False, max_length=20)
    back = forms.ChoiceField(required=False, choices=[("gallery", "gallery")])


@dataclass(frozen=True, slots=True)
class CoverControls:
    """An owner's view of the cover."""

    url: str  # where a choice is sent
    image: int | None  # id of the rendered picture that is the cover, or None
    sample: int | None  # id of the uploaded picture that is the cover, or None
    is_chosen: bool  # whether the owner chose it


def controls_of(user: User | AnonymousUser, adapter: Adapter) -> CoverControls | None:
    """Return the controls of an adapter's cover; None for users who may not change it."""
    if not user.is_authenticated or not adapter.namespace.is_writable_by(user):
        return None
    cover = covers_of([adapter])[adapter.pk]
    number, is_uploaded = (cover.id, cover.is_uploaded) if cover else (None, False)
    return CoverControls(
        url=reverse("adapter-cover", args=[adapter.owner, adapter.name]),
        image=None if is_uploaded else number,
        sample=number if is_uploaded else None,
        is_chosen=cover is not None and cover.is_chosen,
    )


@require_POST
def choose(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Make a picture the cover; without one, let the hub choose again."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    form = CoverForm(request.POST)
    if not form.is_valid():
        raise Invalid(_("This is not a picture of the adapter."))
    image, sample = form.cleaned_data["image"], form.cleaned_data["sample"]
    if image is None and sample is None:
        services.choose_automatically(actor=user, adapter=adapter)
        messages.success(request, _("The cover is chosen automatically."))
    else:
        services.choose(actor=user, adapter=adapter, image=image, sample=sample)
        messages.success(request, _("The picture is the cover now."))
    page = form.cleaned_data["back"] or "adapter"
    query = {"v": form.cleaned_data["version"]} if form.cleaned_data["version"] else None
    return redirect(reverse(page, args=[adapter.owner, adapter.name], query=query))
