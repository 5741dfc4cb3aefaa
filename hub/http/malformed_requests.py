"""Refuses malformed requests on all interfaces before they are handled.

Paths with a ``.`` or ``..`` segment are refused: clients resolve such segments before they send a
request, so one must have been written as ``%2e``, and proxies and caches disagree about what the
path refers to. A ``Content-Length`` of more than 18 digits is refused: no file is that long, and
reading fails from 2⁶³.
"""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponseBadRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.http import limits
from hub.http.errors import Malformed
from hub.http.problems import ProblemRenderer, problem_of
from hub.protocols.huggingface.refusals import in_header
from hub.templatetags.lorary import size

MAX_LENGTH_DIGITS = 18


class MalformedMiddleware:
    """Answers malformed requests with 400, in a format that clients of all interfaces can read."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the response, or the refusal."""
        fault = _fault(request)
        return self.get_response(request) if not fault else _refused(request, fault)


def _fault(request: HttpRequest) -> str:
    if len(request.META.get("CONTENT_LENGTH") or "") > MAX_LENGTH_DIGITS:
        return _("The Content-Length header has more than %(n)d digits.") % {"n": MAX_LENGTH_DIGITS}
    if not {".", ".."}.isdisjoint(request.path_info.split("/")):
        return _('The address must not have a "." or ".." segment.')
    return ""


def _refused(request: HttpRequest, fault: str) -> HttpResponseBase:
    return _problem(fault, request.build_absolute_uri(reverse("api-docs")))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Return the page or the problem of a request that Django refuses (``handler400``)."""
    text = _("The server could not understand the address or the form.")
    if isinstance(exception, DisallowedHost):
        text = _(
            "This host name is not allowed. The administrator of the hub can add it to "
            "LORARY_ALLOWED_HOSTS."
        )
    if isinstance(exception, limits.FormTooLarge):
        text = _(
            "A form with files can have at most %(limit)s. Larger adapters are sent in parts: on "
            "the “Publish” page with JavaScript, or by “lorary push”."
        ) % {"limit": size(limits.MAX_FORM_BYTES)}
    if request.path.startswith("/api/"):
        return _problem(text, reverse("api-docs"))
    return HttpResponseBadRequest(render_to_string("400.html", {"text": text}))


def _problem(fault: str, base: str) -> HttpResponseBase:
    problem = problem_of(Malformed(fault))
    document = {"error": problem.detail, **problem.document(base)}
    response = JsonResponse(document, status=problem.status)
    response.headers["Content-Type"] = ProblemRenderer.media_type
    response.headers["X-Error-Message"] = in_header(fault)
    return response
