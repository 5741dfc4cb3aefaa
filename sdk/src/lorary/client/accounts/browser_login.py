"""Signing in by a browser: the device authorization grant of RFC 8628, for the client.

`begin` requests the codes, the caller shows them, and `wait` returns the token when a person has
allowed it on the hub's page. `revoke` ends a token (RFC 7009).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from lorary.client.errors import (
    BadAnswer,
    Forbidden,
    Invalid,
    LoraryError,
    NotFound,
    RateLimited,
    Unauthenticated,
    Unreachable,
)
from lorary.client.http.json_answers import Record
from lorary.client.http.session import Request, Session
from lorary.client.models import Token

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_CLIENT = "lorary"
_MAX_DEVICE = 64
_FORM = "application/x-www-form-urlencoded"
#: Limits for what a hub says, in seconds; RFC 8628 names 5 as the default interval.
_INTERVAL_S, _MAX_INTERVAL_S, _MAX_LIFETIME_S = 5, 60, 3600
_SLOW_DOWN_S = 5


@dataclass(frozen=True, slots=True)
class Login:
    """A sign-in that a person has to confirm.

    Attributes:
        code: The code that the hub's page shows too.
        page: Address of the page.
        page_with_code: The same with the code in it.
        lifetime_s: Seconds until the code expires.
        interval_s: Seconds to wait between two requests.
    """

    device_code: str
    code: str
    page: str
    page_with_code: str
    lifetime_s: int
    interval_s: int


def begin(session: Session, device: str, scopes: Sequence[str] = ()) -> Login | None:
    """Request a sign-in; return None if the hub has no sign-in by browser.

    Args:
        session: A session without a token.
        device: Name of this computer, which the page and the list of tokens show.
        scopes: Scopes of the token; by default the hub's.

    Raises:
        Invalid: the hub does not know a scope.
        Unreachable, RateLimited: the hub does not answer, or not now.
    """
    form = {
        "client_id": _CLIENT,
        "device_name": "".join(filter(str.isprintable, device))[:_MAX_DEVICE],
        "scope": " ".join(scopes),
    }
    try:
        answer = session.ask(_request(session, "device", {k: v for k, v in form.items() if v}))
    except LoraryError as error:
        if "error" in error.facts:
            raise _described(error) from error
        if _is_older(error):
            return None
        raise
    if not isinstance(answer, dict) or "device_code" not in answer:
        return None
    row = Record(answer, "sign-in")
    page = _checked(row.text("verification_uri"))
    return Login(
        row.text("device_code"),
        row.text("user_code"),
        page,
        _checked(row.text("verification_uri_complete") or page),
        min(row.whole("expires_in"), _MAX_LIFETIME_S),
        min(row.whole("interval") or _INTERVAL_S, _MAX_INTERVAL_S),
    )


def wait(session: Session, login: Login, *, sleep: Callable[[float], None] = time.sleep) -> str:
    """Return the token, as soon as the person has allowed it.

    A hub that does not answer for a while, or asks to wait, is asked again, as long as the code is
    valid.

    Raises:
        Forbidden: they denied it.
        Unauthenticated: the code has expired.
    """
    form = {"grant_type": _GRANT, "device_code": login.device_code, "client_id": _CLIENT}
    interval_s, until = login.interval_s, time.monotonic() + login.lifetime_s
    while time.monotonic() < until:
        sleep(interval_s)
        try:
            answer = session.ask(_request(session, "token", form))
        except (RateLimited, Unreachable):
            continue
        except LoraryError as error:
            reason = error.facts.get("error")
            if reason == "slow_down":
                interval_s += _SLOW_DOWN_S
            elif reason == "access_denied":
                raise Forbidden(_text(error, "The sign-in was denied.")) from error
            elif reason in {"expired_token", "invalid_grant"}:
                break
            elif reason != "authorization_pending":
                raise _described(error) from error
        else:
            token = Record(answer, "token").text("access_token")
            if not token:
                msg = "The hub allowed the sign-in and returned no token."
                raise BadAnswer(msg)
            return token
    msg = "The code has expired or has already been used. Run the command again for a new one."
    raise Unauthenticated(msg)


def revoke(session: Session, token: str) -> int:
    """Revoke the token of a session, unless others were created with it; return their number.

    Raises:
        LoraryError: the hub does not answer, or cannot revoke tokens.
    """
    try:
        listed = [Token.read(item) for item in session.items("tokens")]
    except Unauthenticated:  # it has expired, or was revoked
        return 0
    own = {one.id for one in listed if one.prefix and token.startswith(one.prefix)}
    if made := sum(one.data.get("parent_id") in own for one in listed):
        return made
    session.ask(_request(session, "revoke", {"token": token}))
    return 0


def _request(session: Session, name: str, form: Mapping[str, str]) -> Request:
    """Return a request; it may be repeated: codes that are requested twice harm nobody."""
    body = urlencode(form).encode()
    headers = {"Accept": "application/json", "Content-Type": _FORM}
    url = f"{session.endpoint}/oauth/{name}"
    return Request("POST", url, headers, lambda: (body,), len(body), is_repeatable=True)


def _is_older(error: LoraryError) -> bool:
    """Whether a hub answers as those do that have no such address."""
    if isinstance(error, BadAnswer):
        return error.status is None  # otherwise it redirects, and says where
    return isinstance(error, NotFound) or error.status in {403, 405, 501}


def _described(error: LoraryError) -> LoraryError:
    """Return an error of OAuth with its description."""
    if "error" not in error.facts:
        return error
    return Invalid(_text(error, str(error.facts["error"])), status=error.status, facts=error.facts)


def _text(error: LoraryError, otherwise: str) -> str:
    text = error.facts.get("error_description")
    return text[:500] if isinstance(text, str) and text else otherwise


def _checked(url: str) -> str:
    """Return the address of a page, which a browser will open."""
    if not url.startswith(("http://", "https://")) or not url.isprintable() or " " in url:
        msg = "The hub returned an invalid address for the sign-in."
        raise BadAnswer(msg)
    return url
