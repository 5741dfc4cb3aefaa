"""The recipe of an adapter's previews, for its owner: default prompts, own ones, history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from hub.pages.forms import accept_faults, dress
from lorary.anatomy import family_title
from previews.selectors import recipes
from previews.services import prompts
from registry.accounts.permissions import require_adapter
from registry.adapters import selectors as adapter_selectors
from registry.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest, HttpResponse, QueryDict

    from previews.models import PromptSet
    from previews.selectors.recipes import AdapterRecipe, Plan

__all__ = ["PromptsForm", "recipe"]


#: Fields that an owner without prompts finds, and empty ones beside prompts.
FIELDS, SPARE = 3, 2


class PromptsForm(forms.Form):
    """A field for each prompt and a few more, under the names that the service's faults have."""

    def __init__(self, data: QueryDict | None, own: list[str]) -> None:
        count = max(FIELDS, len(own) + SPARE) if data is None else prompts.MAX_PROMPTS
        names = [f"prompts.{index}" for index in range(min(count, prompts.MAX_PROMPTS))]
        super().__init__(data, initial=dict(zip(names, own, strict=False)))
        for number, name in enumerate(names, start=1):
            self.fields[name] = forms.CharField(
                label=_("Prompt %(n)d") % {"n": number},
                required=False,
                strip=False,
                widget=forms.Textarea(attrs={"rows": 2}),
            )
        dress(self)

    def prompts(self) -> list[str]:
        """Return what was typed, empty ones too, so that faults find their place."""
        return list(self.cleaned_data.values())


@require_http_methods(["GET", "HEAD", "POST"])
def recipe(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show the recipe; POST changes the owner's prompts, and none are the way back."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    shown = recipes.of_adapter(adapter)
    form = PromptsForm(request.POST if request.method == "POST" else None, shown.prompts)
    if request.method == "POST" and form.is_valid():
        try:
            kept = prompts.change(actor=user, adapter=adapter, prompts=form.prompts())
            messages.success(request, _said(shown, kept))
            return redirect("adapter", adapter.owner, adapter.name)
        except Invalid as error:
            accept_faults(form, error.facts.get("fields", {}), str(error.detail))
    context = {"adapter": adapter, "form": form, "recipe": shown, "plans": _told(shown.plans)}
    return render(request, "adapter/recipe.html", context, status=400 if form.errors else 200)


def _said(before: AdapterRecipe, kept: PromptSet | None) -> str:
    if kept is None or kept.number == before.number:
        return _("These are the prompts that were there: nothing has changed.")
    if not before.versions:
        return _("The prompts are saved for future versions.")
    if not kept.prompts:
        return _("Back at the default prompts. Pictures of before stay until theirs are there.")
    return _("The prompts are saved. Pictures of before stay until the new ones are there.")


def _told(plans: Iterable[Plan]) -> list[dict[str, Any]]:
    return [
        {
            "plan": plan,
            "title": family_title(plan.family) if plan.family else _("Base model not known"),
            "defaults": [plan.shown(prompt) for prompt in plan.defaults],
        }
        for plan in plans
    ]
