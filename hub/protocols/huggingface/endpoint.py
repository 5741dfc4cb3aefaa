"""The decorator of all Hugging Face views: authentication, scopes, rate limits, errors and headers.

```
@endpoint("GET")                          # HEAD comes with it
def info(request, owner, name): …     # request.user is the user, possibly anonymous

@endpoint("POST", is_read=True)           # a read with a body: does not need the scope “write”
@endpoint("PUT", is_open=True)            # allows anonymous users; the URL is the permission
@endpoint("POST", has_own_token=True)     # the view reads Authorization itself
```

Services and selectors check permissions; ``refusal`` answers their errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import update_wrapper
from typing import Any, NoReturn

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from hub.http.callers import P, View, bearer_secret
from hub.http.throttles import AnonymousThrottle, WriteThrottle
from hub.protocols.huggingface.refusals import INVALID_TOKEN, REPO_NOT_FOUND, Refused, refusal
from hub.webserver.connections import discard
from registry.accounts import permissions
from registry.errors import Invalid, NotFound, RateLimited, Unauthenticated
from registry.tokens import services as tokens

SAFE = frozenset({"GET", "HEAD"})


def endpoint(
    *methods: str, is_read: bool = False, is_open: bool = False, has_own_token: bool = False
) -> Callable[[View[P]], View[P]]:
    """Return the decorator of a view.

    Args:
        methods: Methods that it answers; ``GET`` includes ``HEAD``.
        is_read: Whether unsafe methods only read, so that the scope “read” is enough.
        is_open: Whether anonymous users may use unsafe methods.
        has_own_token: Whether the view reads ``Authorization`` itself; the user is anonymous, and
            the view counts writes (``charge_write``).
    """
    allowed = {*methods, "HEAD"} if "GET" in methods else {*methods}

    def decorate(view: View[P]) -> View[P]:
        def respond(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            headers: dict[str, str] = {}
            try:
                if request.method not in allowed:
                    return _not_allowed(allowed)
                _authenticate_caller(request, kwargs, has_own_token=has_own_token)
                if not has_own_token:
                    _require_scope(request, is_read=is_read, is_open=is_open)
                    headers = _charge(request)
                    if not (is_read or is_open):
                        charge_write(request)
                response = view(request, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - outermost handler: any error becomes a response
                response = refusal(request, error)
                _discard_rest(request)
            return _with_headers(response, headers)

        update_wrapper(respond, view)
        return csrf_exempt(respond)

    return decorate


def answer(
    data: Any,  # noqa: ANN401 - JSON
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> JsonResponse:
    """Return a JSON response."""
    return JsonResponse(data, status=status, headers=dict(headers or {}), safe=False)


def _authenticate_caller(
    request: HttpRequest, kwargs: dict[str, Any], *, has_own_token: bool
) -> None:
    """Set ``request.user``: the token's user, or the session's for safe methods."""
    if has_own_token:
        request.user = AnonymousUser()
    else:
        _authenticate(request)
    if any("\0" in value for value in kwargs.values() if isinstance(value, str)):
        raise NotFound
    if any("\0" in value for _name, values in request.GET.lists() for value in values):
        text = _("The address contains invisible characters.")
        raise Invalid(text, fields={})


def _authenticate(request: HttpRequest) -> None:
    secret = bearer_secret(request)
    if secret is None:
        if request.method not in SAFE:
            request.user = AnonymousUser()  # a session would need the CSRF token
        return
    request.user = AnonymousUser()
    try:
        request.user = tokens.authenticate(secret=secret).user
    except Unauthenticated as error:
        cause = error
        if secret.startswith("hf_"):
            hint = _(
                "It looks like a token from huggingface.co. Create one for this hub under "
                "“Access tokens”."
            )
            cause = Unauthenticated(f"{error.detail} {hint}")
        raise Refused(cause, status=401, message=INVALID_TOKEN) from error


def _require_scope(request: HttpRequest, *, is_read: bool, is_open: bool) -> None:
    is_safe = is_read or request.method in SAFE
    has_token = getattr(request.user, "access_token", None) is not None
    if has_token or not (is_safe or is_open):
        permissions.require_scope(request.user, "read" if is_safe or is_open else "write")


def _charge(request: HttpRequest) -> dict[str, str]:
    """Count an anonymous request, and return the headers of the rate limit."""
    throttle = AnonymousThrottle()
    is_allowed = throttle.allows(request)
    if throttle.left is None:
        return {}  # signed in
    headers = {
        "RateLimit": f'"api";r={throttle.left};t={throttle.reset_s}',
        "RateLimit-Policy": f'"fixed window";"api";q={throttle.num_requests};w={throttle.duration}',
    }
    if not is_allowed:
        text = _("Wait a moment, then try again.")
        raise Refused(RateLimited(text, retry_after=throttle.reset_s), headers=headers)
    return headers


def charge_write(request: HttpRequest) -> None:
    """Count a write of a user.

    Raises:
        RateLimited: there were too many writes.
    """
    throttle = WriteThrottle()
    if not throttle.allows(request):
        text = _("You sent too many changes in this minute. Wait a moment, then continue.")
        raise RateLimited(text, retry_after=throttle.reset_s)


def _not_allowed(allowed: set[str]) -> HttpResponse:
    text = _("This address does not support this method")
    headers = {"Allow": ", ".join(sorted(allowed))}
    return JsonResponse({"error": text}, status=405, headers={**headers, "X-Error-Message": text})


def _with_headers(response: HttpResponseBase, headers: dict[str, str]) -> HttpResponseBase:
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    return response


def _discard_rest(request: HttpRequest) -> None:
    """Discard the rest of a refused body, within limits."""
    if request.method in SAFE:
        return
    with suppress(OSError):
        discard(request.read, request.META)


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@endpoint(*METHODS, is_read=True)
def unsupported_call(_request: HttpRequest, /, **_named: str) -> NoReturn:
    """Refuse a call that is not supported.

    Raises:
        NotFound: always.
    """
    raise NotFound(_("This hub does not offer this call of the Hugging Face API."))


@endpoint(*METHODS, is_read=True)
def models_only(_request: HttpRequest, /, **_named: str) -> NoReturn:
    """Refuse calls about datasets, spaces and buckets.

    Raises:
        Refused: always.
    """
    raise Refused(NotFound(_("This hub has only models, no datasets or spaces.")), REPO_NOT_FOUND)


@endpoint(*METHODS, is_read=True)
def owner_missing(_request: HttpRequest, /, **_named: str) -> NoReturn:
    """Refuse the name of a model without an owner.

    Raises:
        Refused: always.
    """
    text = _("A model is named “owner/name” on this hub.")
    raise Refused(NotFound(text), REPO_NOT_FOUND)
