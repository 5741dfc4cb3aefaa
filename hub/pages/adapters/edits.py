"""Edits of an adapter's card: on a separate page, and in place on the page of the adapter.

The form contains a digest of the values that it was filled with. If others changed the card
in the meantime, nothing is saved and the form says so.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from hub.pages.adapters.version_forms import LICENCES
from hub.pages.forms import AdapterForm, accept_faults
from registry.accounts.permissions import require_adapter
from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.cards import markdown
from registry.cards import services as cards
from registry.errors import Invalid, NameInvalid, NameTaken
from registry.models import Adapter, User
from registry.names import MAX_NAME


class EditForm(AdapterForm):
    """Card fields of a published adapter, and its address."""

    name = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=MAX_NAME,
        required=False,
        help_text=gettext_lazy("If you change it, the old address redirects."),
    )
    field_order = ("title", "name")


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Change card fields, or preview the card; ``part`` is for the form in place."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    data, is_part = request.POST, "part" in request.GET
    is_previewed = data.get("do") == "preview"
    preview = markdown.preview(data.get("card", "")) if is_previewed else None
    if is_previewed and is_part:
        return render(request, "adapter/card.html", {"card": preview})
    is_sent, initial = request.method == "POST", _initial(adapter)
    seen = data.get("seen", "") if is_sent else _digest(initial)
    form = EditForm(data if is_sent else None, initial=initial)
    is_wanted = is_sent and not is_previewed
    if is_wanted and form.is_valid() and _is_saved(user, adapter, form, seen):
        messages.success(request, _("The card is saved."))
        return _saved(request, adapter)
    context = {
        "adapter": adapter, "form": form, "seen": seen, "preview": preview, "is_part": is_part,
        "licences": [(value, label) for value, label in LICENCES if value],
    }  # fmt: skip
    template = "adapter/edit_form.html" if is_part else "adapter/edit.html"
    is_bad = bool(form.errors) and not is_previewed
    return render(request, template, context, status=400 if is_bad else 200)


def _is_saved(user: User, adapter: Adapter, form: EditForm, seen: str) -> bool:
    """Save the form, or add its errors to it."""
    card = {**form.cleaned_data}
    name, before = card.pop("name"), adapter.name
    try:
        with transaction.atomic():
            adapters.refresh(adapter)
            if seen and seen != _digest(_initial(adapter)):
                text = _(
                    "The card was changed since you opened this form. Copy your text, then reload."
                )
                form.add_error(None, text)
                return False
            cards.edit_adapter(actor=user, adapter=adapter, **card)
            if name and name != before:
                adapters.rename(actor=user, adapter=adapter, name=name)
    except (NameInvalid, NameTaken) as error:
        accept_faults(form, {"name": str(error.detail)}, "")
        return False
    except Invalid as error:
        accept_faults(form, error.facts.get("fields", {}), str(error.detail))
        return False
    return True


def _saved(request: HttpRequest, adapter: Adapter) -> HttpResponse:
    place = reverse("adapter", args=[adapter.owner, adapter.name])
    if "part" not in request.GET:
        return redirect(place)
    return HttpResponse(headers={"HX-Redirect": place})


def _initial(adapter: Adapter) -> dict[str, str]:
    fields = ("title", "name", "summary", "kind", "licence", "maturity", "visibility", "card")
    tags = ", ".join(adapter.tags.order_by("name").values_list("name", flat=True))
    return {"tags": tags, **{field: getattr(adapter, field) for field in fields}}


def _digest(initial: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(initial, sort_keys=True).encode()).hexdigest()
