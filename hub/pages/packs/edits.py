"""Edits of a pack's card by its owner."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from hub.pages.packs.views import pack_of
from hub.pages.versioned import edits
from registry.accounts.permissions import require_pack
from registry.models import LookKind
from registry.packs import services as packs


class PackForm(edits.EditForm):
    """Card fields of a pack, and its address."""

    licence = None  # type: ignore[assignment]  # Django's way to leave out a field
    kind = forms.ChoiceField(label=gettext_lazy("Kind of look"), choices=LookKind.choices)
    card = forms.CharField(
        label=gettext_lazy("Card"),
        max_length=packs.LIMITS["card"],
        required=False,
        help_text=gettext_lazy("Markdown. Also describe what it is not suited to."),
        widget=forms.Textarea(attrs={"rows": 14}),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Change card fields of a pack."""
    pack = pack_of(request, owner, name)
    user = require_pack(request.user, pack)
    is_sent = request.method == "POST"
    form = PackForm(request.POST if is_sent else None, initial=edits.initial_of(pack))
    is_saved = (
        is_sent
        and form.is_valid()
        and edits.save(
            form,
            pack,
            describe=lambda **card: packs.describe(actor=user, pack=pack, **card),
            rename=lambda new: packs.rename(actor=user, pack=pack, name=new),
        )
    )
    if is_saved:
        messages.success(request, _("The card is saved."))
        return redirect("pack", pack.owner, pack.name)
    context = {"pack": pack, "form": form}
    return render(request, "packs/edit.html", context, status=400 if form.errors else 200)
