"""Error pages, with the same messages as the API."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping
from functools import update_wrapper

from django.contrib.auth.views import redirect_to_login
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.defaults import server_error

from hub.http.callers import P, View
from hub.http.problems import is_database_away, is_full, problem_of
from hub.http.throttles import CoverThrottle, DrawnImageThrottle, PageThrottle, WriteThrottle
from registry.errors import (
    Invalid,
    LoraryError,
    Moved,
    NotFound,
    RateLimited,
    SecondFactorMissing,
    Unauthenticated,
)

#: Statuses with their own template; the others share one.
_OWN_PAGE = {403, 404, 410, 451}
#: Control characters that a pasted search may contain; words are split at them.
_BETWEEN_WORDS = "\t\n\r"


def page(
    view: View[P],
    *,
    judges_query: bool = False,
    throttle: type[PageThrottle | CoverThrottle | DrawnImageThrottle] | None = PageThrottle,
) -> View[P]:
    """Answer a view's errors with a page: a redirect if the object moved, otherwise an error page.

    Args:
        judges_query: Whether the view validates its query string itself.
        throttle: Its rate limit; None for files that are only read and sent.
    """

    def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            if throttle is not None:
                _count(request, throttle())
                _count(request, WriteThrottle())
            _require_text(request.path_info, {} if judges_query else request.GET)
            return view(request, *args, **kwargs)
        except Moved as moved:
            return redirect(f"/{moved.facts['full_name']}", permanent=True)
        except Unauthenticated as error:
            if "Authorization" in request.headers:  # a program cannot use the form to sign in
                return refuse(request, error)
            wanted = request.get_full_path() if request.method in {"GET", "HEAD"} else "/"
            return redirect_to_login(wanted)
        except SecondFactorMissing as error:
            if request.method not in {"GET", "HEAD"}:
                return refuse(request, error)
            return redirect_to_login(request.get_full_path(), login_url="second-factor")
        except LoraryError as error:
            return refuse(request, error)

    update_wrapper(answer, view)
    return answer


def _count(
    request: HttpRequest,
    throttle: PageThrottle | CoverThrottle | DrawnImageThrottle | WriteThrottle,
) -> None:
    """Count a request."""
    if not throttle.allows(request):
        text = ngettext(
            "You sent too many requests. Try again in %(n)d second.",
            "You sent too many requests. Try again in %(n)d seconds.",
            throttle.reset_s,
        )
        raise RateLimited(text % {"n": throttle.reset_s}, retry_after=throttle.reset_s)


def _require_text(path: str, query: Mapping[str, str]) -> None:
    """Refuse control characters; PostgreSQL cannot search for NUL.

    Forms validate the body.
    """
    if _has_control(path):
        raise NotFound(_("There is nothing at this address."))
    if any(_has_control(value, but=_BETWEEN_WORDS) for value in query.values()):
        raise Invalid(_("The address contains invisible characters."))


def _has_control(text: str, *, but: str = "") -> bool:
    return any(unicodedata.category(char) == "Cc" and char not in but for char in text)


def refuse(request: HttpRequest, error: LoraryError) -> HttpResponseBase:
    """Return the error page, with the same status as the API."""
    problem = problem_of(error)
    status = problem.status
    template = f"{status}.html" if status in _OWN_PAGE else "refused.html"
    context = {"error": error, "status": status, "wanted": request.path}
    response = render(request, template, context, status=status)
    for name, value in problem.headers.items():
        response.headers[name] = value
    return response


def server_error_page(request: HttpRequest) -> HttpResponseBase:
    """Return the page for an exception that nothing handled (``handler500``).

    If the database is away or full, the page says so, with the same status as the API. It reads
    neither the user nor the session, which are in the database.
    """
    error = sys.exception()
    if not isinstance(error, OperationalError) or not (is_full(error) or is_database_away(error)):
        return server_error(request)
    problem = problem_of(error)
    # Without the context processors, which read the user and the messages.
    context = {
        "request": request,
        "error": problem,
        "status": problem.status,
        "is_without_database": True,
    }
    text = render_to_string("refused.html", context)
    return HttpResponse(text, status=problem.status, headers=problem.headers)
