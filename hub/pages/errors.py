"""Refusals as pages: the same sentence that the API gives, in a page of the site."""

from __future__ import annotations

from functools import update_wrapper
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.shortcuts import redirect, render

from hub.problems import status_of
from registry.errors import LoraryError, Moved, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

__all__ = ["page", "refuse"]

P = ParamSpec("P")

#: Statuses with a page of their own; the others share one.
_OWN_PAGE = {403, 404, 410}


def page(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Answer a view's refusals with a page: a redirect where the thing moved, else an error."""

    def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except Moved as moved:
            return redirect(f"/{moved.facts['full_name']}", permanent=True)
        except Unauthenticated:
            wanted = request.get_full_path() if request.method in {"GET", "HEAD"} else "/"
            return redirect_to_login(wanted)
        except LoraryError as error:
            return refuse(request, error)

    update_wrapper(answer, view)
    return answer


def refuse(request: HttpRequest, error: LoraryError) -> HttpResponseBase:
    """Return the page of a refusal with the status that the API would give."""
    status = status_of(error)
    template = f"{status}.html" if status in _OWN_PAGE else "refused.html"
    context = {"error": error, "status": status, "wanted": request.path}
    return render(request, template, context, status=status)
