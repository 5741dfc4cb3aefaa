"""The page “Publish”: it reads a file's header, fills the form from it, then uploads the file.

``static/js/sending.js`` uploads through the REST API; this page reads headers, fills the form and
publishes once the uploads are accepted. ``?upload=ID`` opens it for an existing upload.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hub.http import limits
from hub.pages.adapters.version_forms import PublishForm, VersionForm
from hub.pages.forms import accept_faults
from hub.pages.labels import family_label
from hub.pages.pictures.gallery import add_files
from hub.pages.publishing import header_preview, sheets, stored_checks, upload_rows
from lorary.anatomy import FAMILIES
from previews import worker_bases
from registry.accounts import attempts, quotas
from registry.accounts.permissions import require_adapter, require_user, writable_by
from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.errors import Conflict, Invalid, LoraryError, Moved, NotFound, UploadRefused
from registry.models import Adapter, Namespace, Upload, UploadState, User, Version, Visibility
from registry.names import MAX_NAME, check_name, check_new_name
from registry.publication import services as publication
from registry.scan import checks
from registry.uploads import selectors as upload_selectors
from registry.uploads import services as uploads

#: Maximum number of headers per user and minute.
READS, READ_WINDOW_S = 60, 60
#: Maximum number of files of a version in one request.
MAX_FILES = 100


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def publish(request: HttpRequest) -> HttpResponse:
    """Show the page; POST publishes.

    The script of the page accepts JSON: it gets the address of the adapter, the existing version of
    the same files, or the form again with its errors.
    """
    user = require_user(request.user)
    target = _target(request)
    if request.method != "POST":
        return render(request, "publish/page.html", _opened(request, user, target))
    form = sheets.submitted(user, request.POST, target)
    pictures = request.FILES.getlist("pictures")
    if form.is_valid():
        try:
            version = _publish(user, form, target)
            if not version.is_new:
                return _known(request, version, has_pictures=bool(pictures))
            add_files(request, user, version, pictures)
            return _published(request, version)
        except LoraryError as error:
            accept_faults(form, _faults(error), str(error.detail))
    reading, number = stored_checks.of_form(user, form), sheets.number_of(request.POST)
    context = sheets.context_of(user, reading, target, form, number=number)
    if _is_script(request):
        return render(request, "publish/sheet.html", context, status=400)
    if pictures:  # browsers do not keep chosen files
        messages.warning(request, _("Choose the pictures again."))
    return render(request, "publish/page.html", {**_frame(target), **context}, status=400)


def _is_script(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "") == "application/json"


def _published(request: HttpRequest, version: Version) -> HttpResponse:
    adapter = version.adapter
    text = _("%(version)s of %(title)s is published.")
    if _is_script(request):
        # The page lists what it published; the next page need not repeat all but the last one.
        list(messages.get_messages(request))
    messages.success(request, text % {"version": version.name, "title": adapter.display_title})
    if not _is_script(request):
        return redirect("adapter", adapter.owner, adapter.name)
    place = [adapter.owner, adapter.name]
    names = {"url": "adapter", "edit": "adapter-edit", "pictures": "gallery"}
    facts = {name: reverse(route, args=place) for name, route in names.items()}
    facts |= {"title": adapter.display_title, "version": version.name}
    return JsonResponse({**facts, "name": adapter.full_name}, status=201)


def _known(request: HttpRequest, version: Version, *, has_pictures: bool) -> HttpResponse:
    """Report that the files were published before; the newly chosen pictures are not added."""
    if _is_script(request):
        context = {"known": version, "has_pictures": has_pictures}
        return render(request, "publish/known.html", context)
    adapter = version.adapter
    text = _("This file is already %(version)s of %(title)s.")
    messages.success(request, text % {"version": version.name, "title": adapter.display_title})
    if has_pictures:
        messages.warning(request, _("The pictures were not added to that version."))
    return redirect("adapter", adapter.owner, adapter.name)


def _opened(request: HttpRequest, user: User, target: Adapter | None) -> dict[str, Any]:
    """Return the context of a newly opened page: empty, or for an existing upload."""
    context = _frame(target)
    wanted = request.GET.get("upload")
    if not wanted:
        context["waiting"] = upload_selectors.waiting(user).count()
    else:
        upload = upload_selectors.get(user, wanted)
        known = _published_before(user, (target or user).namespace, [upload])
        is_open = upload.state == UploadState.ACCEPTED and known is None
        reading = stored_checks.of_upload(upload) if is_open else None
        context |= {"begun": upload_rows.upload_row(user, upload), "reading": reading}
        context["known"] = known
        if reading is not None:
            is_chosen, public_id = "to" in request.GET, str(upload.public_id)
            context |= sheets.opened(user, reading, target, is_chosen=is_chosen, upload=public_id)
    return context


def _frame(target: Adapter | None) -> dict[str, Any]:
    rendered = sorted(family_label(family) for family in worker_bases.families())
    return {
        "target": target,
        "limits": upload_rows.limits(),
        "form_bytes": limits.MAX_FORM_BYTES,
        "rendered": ", ".join(rendered),
    }


def _target(request: HttpRequest) -> Adapter | None:
    """Return the adapter of a new version, None for a new adapter."""
    wanted = request.POST.get("to") or request.GET.get("to") or ""
    if "/" not in wanted:
        return None
    owner, _slash, named = wanted.partition("/")
    adapter = adapter_selectors.get(request.user, check_name(owner), check_name(named))
    require_adapter(request.user, adapter)
    return adapter


def _published_before(user: User, owner: Namespace, sent: Sequence[Upload]) -> Version | None:
    """Return the version of the owner that already has these files."""
    return upload_selectors.published_as(user, owner, sent)


def _publish(user: User, form: VersionForm, target: Adapter | None) -> Version:
    """Create adapter and version, or neither if an error occurs before the publication.

    Files that the owner published before are not published again; that version is returned.

    Raises:
        LoraryError: any error of the services.
    """
    uploads = upload_selectors.many(user, form.uploads)
    owner = form.namespace if isinstance(form, PublishForm) else (target or user).namespace
    if known := _published_before(user, owner, uploads):
        return known
    with transaction.atomic():
        adapter = target or _own_or_new(user, form)
        version = publication.create_draft(
            actor=user, adapter=adapter, uploads=uploads, details=form.details()
        )
        quotas.require_room_for(
            namespace=adapter.namespace, blobs=[file.blob for file in version.files]
        )
    return publication.publish_once(actor=user, version=version)


def _own_or_new(user: User, form: VersionForm) -> Adapter:
    """Return the owner's adapter with that name; create it if there is none.

    Raises:
        Conflict: its visibility differs from that of the form; a file that is meant to be private
            must not become public as a version of a public adapter.
    """
    assert isinstance(form, PublishForm)  # noqa: S101 - true without a target
    data = form.cleaned_data
    try:
        adapter = adapter_selectors.get(user, form.namespace.name, data["name"])
    except (NotFound, Moved):
        card = form.card_fields()
        return adapters.create(actor=user, owner=form.namespace, name=data["name"], **card)
    if adapter.visibility != data["visibility"]:
        sentence = _visibility_fault(adapter, Visibility(data["visibility"]))
        raise Conflict(sentence, fields={"visibility": sentence})
    return adapter


def _visibility_fault(adapter: Adapter, chosen: Visibility) -> str:
    sentence = _(
        "You already have %(name)s, with the visibility “%(present)s”, not “%(chosen)s”. Nothing "
        "was published. Choose “%(present)s” or another address, or change the adapter first."
    )
    present = adapter.get_visibility_display()
    return sentence % {"name": adapter.full_name, "present": present, "chosen": chosen.label}


def _faults(error: LoraryError) -> dict[str, Any]:
    if error.code in {"name_invalid", "name_taken"}:
        return {"name": str(error.detail)}
    return dict(error.facts.get("fields", {}))


@require_POST
def read(request: HttpRequest) -> HttpResponse:
    """Read a header (raw body), and send the filled form, or the reason for a refusal."""
    user = require_user(request.user)
    attempts.require("read", str(user.pk), limit=READS, window_s=READ_WINDOW_S)
    reading = header_preview.read(request, request.GET.get("name", ""), request.GET.get("size", ""))
    if reading.is_refused:
        return render(request, "publish/sheet.html", {"reading": reading}, status=422)
    target, number = _target(request), sheets.number_of(request.GET)
    is_chosen = "to" in request.GET
    context = sheets.opened(user, reading, target, is_chosen=is_chosen, number=number)
    return render(request, "publish/sheet.html", context)


@require_POST
def send(request: HttpRequest) -> HttpResponse:
    """Receive one file from a form without a script; then show the filled form."""
    user = require_user(request.user)
    target, file = _target(request), request.FILES.get("file")
    try:
        upload = _received(user, file)
    except LoraryError as error:
        context = {**_frame(target), "problem": str(error.detail)}
        return render(request, "publish/page.html", context, status=400)
    query = {"upload": str(upload.public_id), **({"to": target.full_name} if target else {})}
    return redirect(f"{reverse('publish')}?{urlencode(query)}")


def _received(user: User, file: UploadedFile[Any] | None) -> Upload:
    """Return the upload of a file; the page of a refused one shows the reasons.

    Raises:
        Invalid: there is no adapter file.
        LoraryError: any error of the services.
    """
    if file is None or not checks.is_weights(file.name or ""):
        raise Invalid(_("Choose a .safetensors file."))
    upload = uploads.create(actor=user, path=file.name or "", size_bytes=file.size or 0)
    with suppress(UploadRefused):
        uploads.receive(actor=user, upload=upload, stream=file)
    return upload


@never_cache
@require_safe
def checked(request: HttpRequest) -> HttpResponse:
    """Send the parts of the form that depend on the stored checks of uploads.

    If these files are already a version, the version is sent instead of the form.
    """
    user = require_user(request.user)
    sent = upload_selectors.many(user, request.GET.getlist("upload")[:MAX_FILES])
    if not sent:
        raise NotFound(_("There is no such upload."))
    is_all = "more" not in request.GET
    owner = (_target(request) or user).namespace
    if is_all and (known := _published_before(user, owner, sent)):
        return render(request, "publish/known.html", {"known": known})
    reading = stored_checks.of_uploads(sent, is_all=is_all)
    context = {"reading": reading, "sheet": sheets.number_of(request.GET)}
    return render(request, "publish/checked.html", context)


@never_cache
@require_safe
def name(request: HttpRequest) -> HttpResponse:
    """Describe the effect of a name, for a file that fits the base models ``possible``."""
    wanted = request.GET.get("name", "").strip()
    allowed = [one for one in request.GET.get("possible", "").split() if one in FAMILIES]
    user = require_user(request.user)
    owners = writable_by(user).filter(name=request.GET.get("owner", "")[:MAX_NAME])
    owner = owners.first() or user.namespace
    note = _name_note(user, owner, wanted, allowed)
    return HttpResponse(note, content_type="text/plain; charset=utf-8")


def _named(user: User, owner: Namespace, wanted: str) -> Adapter | None:
    """Return the owner's adapter with that name; None if the name is available.

    Raises:
        NameInvalid: the name is invalid.
        Moved: it is the former name of an adapter.
    """
    try:
        return adapter_selectors.get(user, owner.name, check_name(wanted))
    except NotFound:
        check_new_name(wanted)
    return None


def _name_note(user: User, owner: Namespace, wanted: str, allowed: Sequence[str]) -> str:
    try:
        adapter = _named(user, owner, wanted)
    except LoraryError as error:
        return str(error.detail)
    if adapter is None:
        return _("Available: the address will be %(name)s.") % {"name": f"/{owner.name}/{wanted}"}
    latest = adapter.latest_version
    if latest is None:
        return _("This adapter exists and is still empty.")
    note = _("This adapter exists: the file becomes a new version after %(latest)s.")
    return (
        f"{note % {'latest': latest.name}} {header_preview.other_base(adapter, allowed)}".rstrip()
    )
