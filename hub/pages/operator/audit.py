"""The operator's page of the audit log, and its export. Only staff can see it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from hub.pages.forms import accept_faults
from registry.accounts import permissions
from registry.audit import export as exports
from registry.audit import selectors, services
from registry.audit.selectors import Entry, Filters
from registry.errors import Invalid, NotFound
from registry.events import VERBS

#: Events on a page.
LIMIT = 50
#: Lines of an export that are sent at once.
LINES = 500
_DAY = timedelta(days=1)
#: Titles of the groups of ``VERBS``.
TITLES = {
    "account": gettext_lazy("Accounts"),
    "token": gettext_lazy("Tokens"),
    "adapter": gettext_lazy("Adapters"),
    "version": gettext_lazy("Versions"),
    "pack": gettext_lazy("Packs"),
    "try-out": gettext_lazy("Try-outs"),
    "upload": gettext_lazy("Uploads"),
    "operation": gettext_lazy("Operation"),
    "audit log": gettext_lazy("Audit log"),
}


class AuditForm(forms.Form):
    """Filters of events."""

    actor = forms.CharField(
        label=gettext_lazy("Who"),
        max_length=96,
        required=False,
        help_text=gettext_lazy("Name of an account, or # and the id of a deleted one."),
    )
    verb = forms.ChoiceField(
        label=gettext_lazy("What"),
        required=False,
        choices=[
            ("", gettext_lazy("Everything")),
            *((TITLES[kind], [(verb, verb) for verb in verbs]) for kind, verbs in VERBS.items()),
        ],
    )
    object = forms.CharField(
        label=gettext_lazy("Object"),
        max_length=210,
        required=False,
        help_text=gettext_lazy(
            "owner/name, packs/owner/name, user:name, or the subject of an event."
        ),
    )
    address = forms.CharField(label=gettext_lazy("Address"), max_length=64, required=False)
    since = forms.DateField(
        label=gettext_lazy("First day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    until = forms.DateField(
        label=gettext_lazy("Last day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def filters(self) -> Filters:
        """Return the filters of the valid fields."""
        values = dict(self.cleaned_data)
        since, until = values.pop("since"), values.pop("until")
        after = None if until is None else min(until, date.max - _DAY) + _DAY
        return Filters(**values, since=_midnight(since), until=_midnight(after))


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else timezone.make_aware(datetime.combine(day, time.min))


@never_cache
@require_http_methods(["GET", "HEAD"])
def index(request: HttpRequest) -> HttpResponse:
    """Show the newest events that match the filters."""
    permissions.require_operator(request.user)
    form, entries, reached = AuditForm(request.GET), list[Entry](), None
    before = request.GET.get("before", "")
    is_number = before.isascii() and before.isdigit() and len(before) <= 18
    if form.is_valid():
        try:
            entries, reached = selectors.search(
                form.filters(), limit=LIMIT + 1, before=int(before) if is_number else None
            )
        except Invalid as error:
            accept_faults(form, error.facts.get("fields", {}), str(error.detail))
    query = _query(form)
    older = {**query, "before": entries[LIMIT - 1].id} if len(entries) > LIMIT else {}
    context: dict[str, Any] = {
        "form": form,
        "lines": [(entry, _details(entry)) for entry in entries[:LIMIT]],
        "query": urlencode(query),
        "older": urlencode(older),
        "reached": reached,
        "further": urlencode({**query, "before": reached.id}) if reached else "",
        "is_first": not is_number,
        "formats": list(exports.FORMATS),
    }
    return render(request, "operator/audit.html", context, status=400 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "HEAD"])
def export(request: HttpRequest, extension: str) -> HttpResponseBase:
    """Send all events that match the filters, oldest first; an export is an event itself."""
    user = permissions.require_operator(request.user)
    if extension not in exports.FORMATS:
        raise NotFound(_("Export the log as jsonl or csv."))
    form = AuditForm(request.GET)
    if not form.is_valid():
        raise Invalid(" ".join(str(text) for texts in form.errors.values() for text in texts))
    media_type, write = exports.FORMATS[extension]
    filters = form.filters()
    entries = selectors.every(filters)
    if request.method == "GET":
        services.record_export(actor=user, kind=extension, filters=filters)
    name = f"audit-{timezone.now():%Y%m%dT%H%M%SZ}.{extension}"
    return StreamingHttpResponse(
        _blocks(write(entries)),
        content_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _details(entry: Entry) -> list[tuple[str, str]]:
    """Return the facts of an event as names and texts."""
    return [(name, _text(value)) for name, value in entry.facts.items()]


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "–" if value is None else str(value)


def _query(form: AuditForm) -> dict[str, str]:
    """Return the filters as they were entered, without empty ones."""
    return {name: text for name in form.fields if (text := str(form.data.get(name, "")))}


def _blocks(lines: Iterator[str]) -> Iterator[str]:
    while block := "".join(islice(lines, LINES)):
        yield block
