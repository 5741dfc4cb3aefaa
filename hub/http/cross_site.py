"""Protection of forms that visitors without an account may send, too."""

from __future__ import annotations

from functools import wraps

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from hub.http.callers import P, View
from registry.errors import Forbidden


def protect_sessions(view: View[P]) -> View[P]:
    """Require the CSRF token of users who are signed in, and of visitors that no other site sends.

    A visitor's form needs no token, so that pages with it can be stored and need no cookie; its
    request has no rights that another site could abuse, only a quota.
    """
    protected = csrf_protect(view)

    @csrf_exempt
    @wraps(view)
    def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if request.user.is_authenticated:
            return protected(request, *args, **kwargs)
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            raise Forbidden(_("This form was sent from another site."))
        return view(request, *args, **kwargs)

    return answer
