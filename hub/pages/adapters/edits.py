"""Edits of an adapter's card: on a separate page, and in place on the page of the adapter."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from hub.pages.adapters.version_forms import LICENCES
from hub.pages.versioned import edits
from registry.accounts.permissions import require_adapter
from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.cards import markdown
from registry.cards import services as cards
from registry.models import Adapter, User


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
    is_sent = request.method == "POST"
    form = edits.EditForm(data if is_sent else None, initial=edits.initial_of(adapter))
    is_wanted = is_sent and not is_previewed
    if is_wanted and form.is_valid() and _is_saved(user, adapter, form):
        messages.success(request, _("The card is saved."))
        return _saved(request, adapter)
    context = {
        "adapter": adapter, "form": form, "preview": preview, "is_part": is_part,
        "licences": [(value, label) for value, label in LICENCES if value],
    }  # fmt: skip
    template = "adapter/edit_form.html" if is_part else "adapter/edit.html"
    is_bad = bool(form.errors) and not is_previewed
    return render(request, template, context, status=400 if is_bad else 200)


def _is_saved(user: User, adapter: Adapter, form: edits.EditForm) -> bool:
    return edits.save(
        form,
        adapter,
        describe=lambda **card: cards.edit_adapter(actor=user, adapter=adapter, **card),
        rename=lambda name: adapters.rename(actor=user, adapter=adapter, name=name),
    )


def _saved(request: HttpRequest, adapter: Adapter) -> HttpResponse:
    place = reverse("adapter", args=[adapter.owner, adapter.name])
    if "part" not in request.GET:
        return redirect(place)
    return HttpResponse(headers={"HX-Redirect": place})
