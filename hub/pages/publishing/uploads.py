"""The page “Your uploads”."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from hub.pages.publishing.upload_rows import limits, upload_row, upload_rows_of
from registry.accounts.permissions import require_user
from registry.errors import CursorInvalid, PathInvalid
from registry.names import check_path
from registry.uploads import selectors as upload_selectors
from registry.uploads import services as uploads

PER_PAGE = 20
#: Maximum number of uploads with the same name and size that a browser compares its file with.
MOST_ALIKE = 5


@never_cache
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """List a user's uploads, newest first."""
    user = require_user(request.user)
    rows = upload_selectors.with_kept(upload_selectors.overview(user))
    if before := _before(request):
        rows = rows.filter(pk__lt=before)
    found = list(rows[: PER_PAGE + 1])
    place = reverse("uploads")
    context = {
        "lines": upload_rows_of(user, found[:PER_PAGE]),
        "limits": limits(user.namespace),
        "older": f"{place}?before={found[PER_PAGE - 1].pk}" if len(found) > PER_PAGE else "",
        "newer": place if before else "",
    }
    return render(request, "uploads/page.html", context)


def _before(request: HttpRequest) -> int:
    text = request.GET.get("before", "")
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise CursorInvalid(_("Start again from the first page."))
    return int(text or 0)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """Confirm, then cancel an upload."""
    user = require_user(request.user)
    upload = upload_selectors.get(user, upload_id)
    if request.method == "POST":
        uploads.cancel(actor=user, upload=upload)
        messages.success(request, _("“%(path)s” is cancelled.") % {"path": upload.path})
        return redirect("uploads")
    return render(request, "uploads/cancel.html", {"line": upload_row(user, upload)})


@never_cache
@require_safe
def begun(request: HttpRequest) -> HttpResponse:
    """Return the API URLs of resumable uploads with this name and size, newest first."""
    user = require_user(request.user)
    text = request.GET.get("size", "")
    size_bytes = int(text[:18]) if text.isascii() and text.isdecimal() else 0
    try:
        path = check_path(request.GET.get("name", ""))
    except PathInvalid:
        return JsonResponse({"uploads": []})
    rows = upload_selectors.resumable(user, path, size_bytes)[:MOST_ALIKE]
    return JsonResponse({"uploads": [reverse("api-upload", args=[row.public_id]) for row in rows]})
