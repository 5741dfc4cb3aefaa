"""Edits of a pack's card by its owner."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from hub.pages.forms import AdapterForm, accept_faults
from hub.pages.packs.views import pack_of
from registry.accounts.permissions import require_pack
from registry.adapters import services as adapters
from registry.errors import Invalid, NameInvalid, NameTaken
from registry.models import LookKind, Pack, User
from registry.names import MAX_NAME
from registry.packs import services as packs

_FIELDS = ("title", "name", "summary", "kind", "maturity", "visibility", "card")


class PackForm(AdapterForm):
    """Card fields of a pack, and its address."""

    licence = None  # type: ignore[assignment]  # Django's way to leave out a field
    kind = forms.ChoiceField(label=gettext_lazy("Kind of look"), choices=LookKind.choices)
    name = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=MAX_NAME,
        required=False,
        help_text=gettext_lazy("If you change it, the old address redirects."),
    )
    card = forms.CharField(
        label=gettext_lazy("Card"),
        max_length=packs.LIMITS["card"],
        required=False,
        help_text=gettext_lazy("Markdown. Also describe what it does not suit."),
        widget=forms.Textarea(attrs={"rows": 14}),
    )
    #: When the pack was last changed as the form was filled.
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=40)
    field_order = ("title", "name", "summary", "kind", "tags")


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Change card fields of a pack."""
    pack = pack_of(request, owner, name)
    user = require_pack(request.user, pack)
    is_sent = request.method == "POST"
    form = PackForm(request.POST if is_sent else None, initial=_initial(pack))
    if is_sent and form.is_valid() and _is_saved(user, pack, form):
        messages.success(request, _("The card is saved."))
        return redirect("pack", pack.owner, pack.name)
    context = {"pack": pack, "form": form}
    return render(request, "packs/edit.html", context, status=400 if form.errors else 200)


def _initial(pack: Pack) -> dict[str, str]:
    tags = ", ".join(pack.tags.order_by("name").values_list("name", flat=True))
    fields = {field: getattr(pack, field) for field in _FIELDS}
    return {"tags": tags, "seen": pack.updated_at.isoformat(), **fields}


def _is_saved(user: User, pack: Pack, form: PackForm) -> bool:
    """Save the form, or add its faults to it."""
    card = {**form.cleaned_data}
    name, seen, before = card.pop("name"), card.pop("seen"), pack.name
    try:
        with transaction.atomic():
            adapters.refresh(pack)
            if seen and seen != pack.updated_at.isoformat():
                text = _(
                    "The pack was changed since you opened this form. Copy your text, then reload."
                )
                form.add_error(None, text)
                return False
            packs.describe(actor=user, pack=pack, **card)
            if name and name != before:
                packs.rename(actor=user, pack=pack, name=name)
    except (NameInvalid, NameTaken) as error:
        accept_faults(form, {"name": str(error.detail)}, "")
        return False
    except Invalid as error:
        accept_faults(form, error.facts.get("fields", {}), str(error.detail))
        return False
    return True
