"""Packs and the mixer: a mix saved as a pack, and a variant of a pack as a mix."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from hub.pages.forms import OwnedForm, accept_faults
from hub.pages.mixer import mix as mixes
from hub.pages.mixer.form import Mixer, fault_of, mixer_of
from hub.pages.mixer.mix import Mix, MixRow
from hub.pages.publishing.header_preview import slug
from previews import worker_bases
from previews.render.recipe import with_triggers
from previews.tryouts.requests import trigger_words_of
from registry.accounts.permissions import require_user
from registry.errors import Invalid, LoraryError, NameInvalid, NameTaken
from registry.models import (
    Kind,
    LookKind,
    Maturity,
    Output,
    Pack,
    PackVariant,
    PartRole,
    User,
    Visibility,
)
from registry.names import MAX_NAME
from registry.packs import manifest as manifests
from registry.packs import publish
from registry.packs import services as packs
from registry.packs.parts import Part
from registry.versions.selectors import name_of

#: What a part contributes, and what a look is about, by the type of adapter; others are details.
_ROLES = {
    Kind.STYLE: PartRole.STYLE,
    Kind.LIGHTING: PartRole.LIGHTING,
    Kind.CHARACTER: PartRole.CHARACTER,
}
_SETTINGS = ("steps", "guidance", "width", "height")


class SaveForm(OwnedForm):
    """Title, owner and address of the new pack."""

    title = forms.CharField(label=gettext_lazy("Title"), max_length=packs.LIMITS["title"])
    name = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=MAX_NAME,
        required=False,
        help_text=gettext_lazy("If you leave it empty, it is made from the title."),
    )

    def clean(self) -> dict[str, Any]:
        """Return the fields; the address is made from the title if it is empty."""
        fields = {**self.cleaned_data}
        fields["name"] = fields.get("name") or slug(fields.get("title", ""))
        return fields


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def save(request: HttpRequest) -> HttpResponse:
    """Show the form that saves the mix of the URL; POST creates the pack with its first version."""
    user = require_user(request.user)
    found = mixer_of(user, mixes.parse(dict(request.GET.lists())), is_asked=True)
    is_sent = request.method == "POST"
    form = SaveForm(request.POST if is_sent else None)
    form.offer_owners(user)
    if is_sent and form.is_valid():
        pack = _saved(user, found, form)
        if pack is not None:
            text = _("Saved as a private pack. Edit its card to describe and share it.")
            messages.success(request, text)
            return redirect("pack", pack.owner, pack.name)
    context = {"mixer": found, "form": form, "back": f"{reverse('mixer')}?{found.mix.query}"}
    return render(request, "mixer/pack.html", context, status=400 if form.errors else 200)


def _saved(user: User, found: Mixer, form: SaveForm) -> Pack | None:
    """Create the pack and publish its first version; or add the faults to the form."""
    names: list[str] = []
    try:
        manifest, card = manifest_of(found), _card_of(found)
        names = [part["adapter"] for part in manifest["variants"][0]["parts"]]
        title, name = form.cleaned_data["title"], form.cleaned_data["name"]
        with transaction.atomic():  # a refused manifest leaves no pack without a version
            pack = packs.create(actor=user, owner=form.namespace, name=name, title=title, **card)
            publish.publish(actor=user, pack=pack, manifest=manifest)
    except (NameInvalid, NameTaken) as error:
        accept_faults(form, {"name": str(error.detail)}, "")
        return None
    except LoraryError as error:
        faults: dict[str, list[str]] = error.facts.get("fields", {})
        others = (_at_path(*one, names) for one in faults.items() if one[0] not in form.fields)
        accept_faults(form, faults, " ".join(others) or str(error.detail))
        return None
    return pack


def _at_path(path: str, texts: Sequence[str], names: Sequence[str]) -> str:
    """Return the faults at a JSON path, with the adapter or the field that has them."""
    part = re.search(r"parts\[(\d+)\]", path)
    place = names[int(part[1])] if part else path.rpartition(".")[2]
    return f"{place}: {' '.join(texts)}"


def manifest_of(found: Mixer) -> dict[str, Any]:
    """Return the manifest of a pack with one variant: the mix, of two the first.

    Raises:
        Invalid: the mix cannot be rendered, or a setting is not valid.
    """
    if not found.form.is_valid():
        texts = (
            f"{name}: {' '.join(map(str, faults))}" for name, faults in found.form.errors.items()
        )
        raise Invalid(" ".join(texts))
    fields = found.form.cleaned_data
    versions = {row.name: row.version for row in found.rows}
    parts = [
        {
            "adapter": versions[name].adapter.full_name,
            "version": versions[name].name,
            "strength": strength,
            "role": _ROLES.get(Kind(versions[name].adapter.kind), PartRole.DETAIL),
        }
        for name, strength in _main_stack(found)
    ]
    variant = {
        "name": found.family,
        "family": found.family,
        "output": Output.IMAGE,
        "prompt": fields["template"] or _template_of(found),
        "negative": fields["negative"],
        "parts": parts,
        **{name: fields[name] for name in _SETTINGS},
    }
    return {"variants": [variant]}


def _main_stack(found: Mixer) -> mixes.Stack:
    try:
        return replace(found.mix, mode="").stacks()[0]
    except mixes.MixInvalid as error:
        raise Invalid(fault_of(error)) from error


def _template_of(found: Mixer) -> str:
    """Return the template that adds the trigger words where a try-out adds them."""
    names = dict(_main_stack(found))
    used = [row.version for row in found.rows if row.name in names]
    words = [] if found.form.cleaned_data["plain"] else trigger_words_of(used)
    base = worker_bases.base_for(found.family)
    place = base.trigger if base is not None else "front"
    return with_triggers(manifests.PLACEHOLDER, words, place, limit=len(words))


def _card_of(found: Mixer) -> dict[str, str]:
    """Return kind, rating and visibility: by the strongest adapter, the highest, and private."""
    names = dict(_main_stack(found))
    used = [row for row in found.rows if row.name in names]
    lead = max(used, key=lambda row: abs(names[row.name])).version.adapter
    role = _ROLES.get(Kind(lead.kind), PartRole.DETAIL)
    ratings = [Maturity(row.version.adapter.maturity) for row in used]
    return {
        "kind": LookKind(role),
        "maturity": max(ratings, key=lambda one: one.rank),
        "visibility": Visibility.PRIVATE,
    }


def mixer_address(variant: PackVariant, written: Mapping[str, Any], parts: Sequence[Part]) -> str:
    """Return the URL of the mixer with a variant; "" if the mixer cannot render it.

    Args:
        variant: The variant.
        written: Its part of the manifest.
        parts: Its parts for the viewer; those that are gone are left out.
    """
    rows = [part.row for part in parts if part.is_at_hand]
    if variant.output != Output.IMAGE or not rows or not all(row.file.is_primary for row in rows):
        return ""
    layers = (MixRow(name_of(row.adapter_version), mixes.written(row.strength)) for row in rows)
    fields = {name: f"{written[name]:g}" for name in _SETTINGS if name in written}
    fields |= {"template": written["prompt"], "negative": written["negative"]}
    mix = Mix(tuple(layers), fields)
    return "" if mix.is_long else f"{reverse('mixer')}?{mix.query}"
