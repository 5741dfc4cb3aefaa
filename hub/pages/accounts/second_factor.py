"""The page of an administrator's second factor: setting it up, and giving a code in a session."""

from __future__ import annotations

from base64 import b32encode

import django_otp
import segno
from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from hub.pages import links
from hub.pages.forms import accept_faults
from registry.accounts import second_factor
from registry.accounts.permissions import require_user
from registry.errors import Invalid, NotFound, RateLimited
from registry.models import User


class CodeForm(forms.Form):
    """A code of the app, or a recovery code."""

    code = forms.CharField(label=gettext_lazy("Code"), max_length=32)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # passed on as they are
        attrs = {"autocomplete": "one-time-code", "spellcheck": "false", "autocapitalize": "none"}
        self.fields["code"].widget.attrs.update(attrs)


@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """Set up the second factor, or confirm the session with it."""
    user = require_user(request.user)
    if not user.is_staff:
        raise NotFound(_("There is nothing at this address."))
    if request.user.is_verified():  # type: ignore[union-attr] # set by the middleware of django-otp
        return _verified(request, user)
    form = CodeForm(request.POST if request.method == "POST" else None)
    is_set_up = second_factor.is_set_up(user)
    if form.is_bound and form.is_valid():
        try:
            code = form.cleaned_data["code"]
            return _confirmed(request, user, code) if is_set_up else _added(request, user, code)
        except Invalid as error:
            accept_faults(form, error.facts.get("fields", {}), str(error.detail))
        except RateLimited as error:
            form.add_error(None, str(error.detail))
    context = {"form": form, "is_set_up": is_set_up, "is_required": settings.LORARY.staff_totp}
    if not is_set_up:
        device = second_factor.pending(actor=user)
        secret = b32encode(device.bin_key).decode()
        context |= {"picture": _picture(device.config_url), "secret": secret}
    return _page(request, context, status=400 if form.errors else 200)


def _confirmed(request: HttpRequest, user: User, code: str) -> HttpResponse:
    django_otp.login(request, second_factor.verify(actor=user, code=code))
    request.session.cycle_key()
    wanted = request.GET.get("next", "")
    return redirect(wanted if links.is_own(request, wanted) else "operator")


def _added(request: HttpRequest, user: User, code: str) -> HttpResponse:
    device, codes = second_factor.confirm(actor=user, code=code)
    django_otp.login(request, device)
    request.session.cycle_key()
    return _page(request, {"is_verified": True, "codes": codes, "left": len(codes)})


def _verified(request: HttpRequest, user: User) -> HttpResponse:
    """Show that it is set up; renew the recovery codes on request."""
    codes = second_factor.renew_codes(actor=user) if request.method == "POST" else []
    if codes:
        messages.success(request, _("The earlier recovery codes no longer work."))
    left = second_factor.recovery_codes_left(user)
    return _page(request, {"is_verified": True, "codes": codes, "left": left})


def _page(request: HttpRequest, context: dict[str, object], *, status: int = 200) -> HttpResponse:
    return render(request, "pages/second_factor.html", context, status=status)


def _picture(address: str) -> SafeString:
    """Return the QR code of an address as SVG, dark on white in every theme."""
    code = segno.make(address, error="m")
    svg = code.svg_inline(
        scale=4, border=4, dark="#000", light="#fff", svgclass=None, lineclass=None
    )
    return mark_safe(svg)  # noqa: S308 - drawn by segno, which writes no text of the address
