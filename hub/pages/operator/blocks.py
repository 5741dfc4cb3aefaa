"""Blocking adapters and packs: the list of those that are blocked, and the page that does it."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from hub.pages.forms import accept_faults
from registry.accounts import permissions
from registry.adapters.selectors import unrestricted
from registry.errors import Invalid
from registry.models import Adapter, Pack, User
from registry.versions import blocking
from registry.versions.latest import MAX_REASON

#: Number of adapters, and of packs, in the list.
MOST = 500


class BlockForm(forms.Form):
    """Why something is blocked."""

    reason = forms.CharField(
        label=gettext_lazy("Reason (required)"),
        max_length=MAX_REASON,
        help_text=gettext_lazy("Users who open the page will see this reason."),
    )


@never_cache
@require_http_methods(["GET", "HEAD"])
def index(request: HttpRequest) -> HttpResponse:
    """List what is blocked."""
    permissions.require_operator(request.user)
    adapters, packs = blocking.blocked()
    context = {
        "adapters": adapters.order_by("-pk")[:MOST],
        "packs": packs.order_by("-pk")[:MOST],
        "most": MOST,
    }
    return render(request, "operator/blocked.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def adapter(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Block an adapter, or lift its block."""
    user = permissions.require_operator(request.user)
    return _block(request, user, unrestricted(Adapter.objects.all(), owner, name))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def pack(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Block a pack, or lift its block."""
    user = permissions.require_operator(request.user)
    return _block(request, user, unrestricted(Pack.objects.all(), owner, name))


def _block(request: HttpRequest, user: User, thing: Adapter | Pack) -> HttpResponse:
    permissions.require_standing(thing)
    facts = {"name": thing.full_name}
    if "lift" in request.POST:
        blocking.lift(actor=user, thing=thing)
        messages.success(request, _("The block of %(name)s is lifted.") % facts)
        return redirect("operator-blocked")
    form = BlockForm(
        request.POST if request.method == "POST" else None,
        initial={"reason": thing.blocked_reason},
    )
    if form.is_bound and form.is_valid():
        try:
            blocking.block(actor=user, thing=thing, reason=form.cleaned_data["reason"])
            messages.success(request, _("%(name)s is blocked.") % facts)
            return redirect("operator-blocked")
        except Invalid as error:
            accept_faults(form, error.facts.get("fields", {}), str(error.detail))
    context = {"thing": thing, "form": form, "is_pack": isinstance(thing, Pack)}
    return render(request, "operator/block.html", context, status=400 if form.errors else 200)
