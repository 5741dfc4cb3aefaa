"""The aliases of an adapter, their history, and the form to move them."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from hub.pages.forms import accept_faults
from registry.accounts.permissions import require_adapter
from registry.adapters import selectors as adapter_selectors
from registry.aliases import selectors as alias_selectors
from registry.aliases import services as aliases
from registry.errors import LoraryError
from registry.models import OUT_STATES, Adapter, User, Version
from registry.names import MAX_NAME
from registry.versions import revisions

#: Number of moves on the page; the API lists all.
MOVES = 100


class AliasForm(forms.Form):
    """Name and target of an alias."""

    name = forms.CharField(
        label=gettext_lazy("Alias"),
        max_length=MAX_NAME,
        help_text=gettext_lazy("For example “stable”. Use letters, digits, “-”, “_” and “.”."),
    )
    to = forms.ChoiceField(label=gettext_lazy("Points to"))
    #: Target when the page was rendered; empty if there was no alias.
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=MAX_NAME)

    def __init__(self, data: QueryDict | None, adapter: Adapter) -> None:
        super().__init__(data)
        field = self.fields["to"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        rows = adapter.versions.filter(state__in=OUT_STATES).order_by("-number")
        field.choices = [(row.name, _called(row)) for row in rows]


def _called(version: Version) -> str:
    return f"{version.name} · {version.label}" if version.label else version.name


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """List aliases and their moves; create or move one."""
    adapter = adapter_selectors.get(request.user, owner, name)
    if adapter.withdrawn_reason:
        raise adapter_selectors.gone(adapter)
    form = AliasForm(request.POST if request.method == "POST" else None, adapter)
    status = 200
    if request.method == "POST":
        user = require_adapter(request.user, adapter)
        status = 400
        if form.is_valid() and _move(user, adapter, form):
            values = {"name": form.cleaned_data["name"], "version": form.cleaned_data["to"]}
            messages.success(request, _("“%(name)s” now points to %(version)s.") % values)
            return redirect("aliases", adapter.owner, adapter.name)
    context = {"form": form, **_shown(request, adapter)}
    return render(request, "adapter/aliases.html", context, status=status)


def _move(user: User, adapter: Adapter, form: AliasForm) -> bool:
    """Move an alias; errors are added to the form."""
    data = form.cleaned_data
    try:
        seen = revisions.revision_named(adapter, data["seen"]) if data["seen"] else None
        to = revisions.revision_named(adapter, data["to"])
        aliases.point(actor=user, adapter=adapter, name=data["name"], to=to, expected=seen)
    except LoraryError as error:
        accept_faults(form, {}, str(error.detail))
        return False
    return True


def _shown(request: HttpRequest, adapter: Adapter) -> dict[str, object]:
    user = request.user
    pointers = alias_selectors.pointers(alias_selectors.listing(adapter))
    served, _version = revisions.default_revisions([adapter])[adapter.pk]
    is_skipped = any(
        pointer.alias.name == revisions.MAIN and pointer.alias.revision != served
        for pointer in pointers
    )
    return {
        "adapter": adapter,
        "pointers": pointers,
        "instead": adapter.latest_version if is_skipped else None,
        "moves": alias_selectors.moves(adapter)[:MOVES],
        "is_writable": user.is_authenticated and adapter.namespace.is_writable_by(user),
    }


@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, owner: str, name: str, alias: str) -> HttpResponse:
    """Confirm, then remove an alias."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    found = alias_selectors.get(adapter, alias)
    if request.method == "POST":
        aliases.remove(actor=user, adapter=adapter, name=alias)
        messages.success(request, _("“%(name)s” was removed.") % {"name": alias})
        return redirect("aliases", adapter.owner, adapter.name)
    (pointer,) = alias_selectors.pointers([found])
    context = {"adapter": adapter, "pointer": pointer}
    return render(request, "adapter/alias_remove.html", context)
