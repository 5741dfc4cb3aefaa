"""HTTP sessions: retries, redirects, complete bodies, a token for one origin only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode, urljoin

from urllib3.exceptions import HTTPError

import lorary
from lorary.client.errors import BadAnswer, Offline, SettingInvalid
from lorary.client.http.json_answers import Record, code_of, failure_of
from lorary.client.http.retries import Again, Backoff, failure_from, pause_of
from lorary.connections import Connections, OfflineMode, Origin, ProxyInvalid

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from lorary.client.config import FoundToken

T = TypeVar("T")

MAX_REDIRECTS = 5
MAX_WAIT_S = 60.0
MAX_BODY_BYTES = 64 * 1024 * 1024
_BUSY = frozenset({429, 502, 503, 504})
_NOT_BEGUN = frozenset({429, 503})  # the hub did not process the request
_URL_CHARACTERS = ":/?#[]@!$&'()*+,;=%~"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be sent again.

    Attributes:
        body: Creates the body for each attempt; None for no body.
        is_repeatable: Whether it is safe to send twice; by default this depends on the HTTP method.
    """

    method: str  # HTTP method
    url: str  # absolute URL
    headers: Mapping[str, str] = field(default_factory=dict)  # further headers
    body: Callable[[], Iterable[bytes | memoryview]] | None = None
    size_bytes: int = 0  # length of the body
    is_repeatable: bool = False

    @property
    def may_repeat(self) -> bool:
        """Whether to send it again after a failure that leaves its effect unknown."""
        return self.is_repeatable or self.method in _REPEATABLE


class Session:
    """Requests to one hub and to the servers it redirects to; thread-safe.

    Args:
        endpoint: The hub's address; the token is sent to this origin only.
        token: Bearer token, empty for none.
        token_place: Where the token was found and what to do if the hub refuses it, as sentences;
            without a token, how to sign in.
        token_unsent: That there is a token that is not sent, and how to send it, as a sentence.
        timeout_s: Maximum time without data from the server, in seconds.
    """

    def __init__(
        self,
        endpoint: str,
        token: str = "",
        *,
        token_place: str = "",
        token_unsent: str = "",
        timeout_s: float = 60.0,
        backoff: Backoff | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.api_root = f"{endpoint}/api/v1"
        self.backoff = backoff or Backoff()
        self._token, self._token_place = token, token_place
        self.token_unsent = token_unsent
        self._home = _origin_of(endpoint)
        self._connections = Connections(timeout_s)
        self._agent = f"lorary/{lorary.__version__}"

    @classmethod
    def with_token(cls, endpoint: str, found: FoundToken, *, timeout_s: float = 60.0) -> Session:
        """Return a session that sends the token that was found."""
        return cls(
            endpoint,
            found.secret,
            token_place=found.place,
            token_unsent=found.unsent,
            timeout_s=timeout_s,
        )

    @property
    def has_token(self) -> bool:
        """Whether requests to the hub have a token."""
        return bool(self._token)

    def close(self) -> None:
        """Close open connections."""
        self._connections.close()

    def abort(self) -> None:
        """Cancel the running requests of other threads."""
        self._connections.abort()

    def locate(self, url: str) -> str:
        """Return the URL to request for a URL that the hub returned.

        A hub behind a proxy or in a container may use another address for itself, so URLs below its
        API are rewritten to the address that this client uses.
        """
        whole = quote(_joined(f"{self.api_root}/", url), safe=_URL_CHARACTERS)
        root, mark, rest = whole.partition("/api/v1/")
        return f"{self.api_root}/{rest}" if mark and "?" not in root else whole

    def json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        data: object = None,
        is_repeatable: bool = False,
    ) -> object:
        """Call the API and return the JSON of its response; None if the response is empty.

        Args:
            path: Path below the API's root, or an absolute URL.
            query: Parameters; empty ones are left out.
            is_repeatable: Whether a POST may be sent twice.

        Raises:
            LoraryError: an error response, or no response.
        """
        return self.ask(self._request(method, path, query, data, is_repeatable=is_repeatable))

    def json_once(self, method: str, path: str, data: object) -> object:
        """Call the API as `json` does, but try once.

        Raises:
            LoraryError: an error response, or no response.
        """
        request = self._request(method, path, None, data, is_repeatable=False)
        try:
            return _json_of(self.attempt(request, _body_of), request.url)
        except Again as failure:
            raise failure.error from failure

    def create(self, path: str, data: object) -> tuple[object, bool]:
        """Send a repeatable POST; return its response, and whether the object existed before.

        The object existed if the first attempt is answered with 200. After a retry, 200 may refer
        to the object that the first attempt created.

        Raises:
            LoraryError: an error response, or no response.
        """
        request = self._request("POST", path, None, data, is_repeatable=True)
        attempts = count()

        def attempt() -> tuple[bytes, bool]:
            may_exist = next(attempts) == 0
            return self.attempt(
                request, lambda answer: (_body_of(answer), may_exist and answer.status == 200)
            )

        body, existed = self.backoff.persist(attempt)
        return _json_of(body, request.url), existed

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        data: object,
        *,
        is_repeatable: bool,
    ) -> Request:
        url = self.locate(path)
        values = {key: value for key, value in (query or {}).items() if value not in {None, ""}}
        if values:
            url += f"{'&' if '?' in url else '?'}{urlencode(values, doseq=True)}"
        headers = {"Accept": "application/json, application/problem+json"}
        body = None if data is None else json.dumps(data).encode()
        if body is not None:
            headers["Content-Type"] = "application/json"
        return Request(
            method,
            url,
            headers,
            body=None if body is None else lambda: (body,),
            size_bytes=len(body or b""),
            is_repeatable=is_repeatable,
        )

    def items(
        self,
        path: str,
        query: Mapping[str, object] | None = None,
        first_page: dict[str, object] | None = None,
    ) -> Iterator[object]:
        """Yield the items of a list, requesting further pages as needed.

        Args:
            first_page: Gets the members of the first page, but its items.

        Raises:
            LoraryError: an error response, or no response.
        """
        answer = self.json("GET", path, query=query)
        seen: set[str] = set()
        while not isinstance(answer, list):
            page = Record(answer, "list")
            if first_page is not None and not seen:
                first_page |= {key: page.data[key] for key in page.data.keys() - {"results"}}
            yield from page.items("results")
            following = page.text("next")
            if not following:
                return
            if following in seen:
                msg = "The hub returned the same page twice."
                raise BadAnswer(msg)
            seen.add(following)
            answer = self.json("GET", following)
        yield from answer

    def ask(self, request: Request) -> object:
        """Send a request with retries and return the JSON of the response.

        Returns:
            None if the response is empty.

        Raises:
            LoraryError: an error response, or no response.
        """
        return _json_of(self.read(request), request.url)

    def read(self, request: Request) -> bytes:
        """Send a request with retries and return the body of the response.

        Raises:
            LoraryError: an error response, or no response.
        """
        return self.backoff.persist(lambda: self.attempt(request, _body_of))

    def attempt(self, request: Request, take: Callable[[BaseHTTPResponse], T]) -> T:
        """Send a request once, follow redirects, and return what ``take`` returns for the response.

        Raises:
            Again: the response is missing or incomplete, or asks for a retry.
            LoraryError: a status of 400 or more; or no response, and a retry would not help.
        """
        for _ in range(MAX_REDIRECTS + 1):
            try:
                with self._send(request) as response:
                    if response.status < 300:
                        return take(response)
                    if response.status not in _REDIRECTS:
                        raise self._refusal(request, response)
                    _body_of(response)
                    request = self._redirected(request, response)
            except HTTPError as error:  # noqa: PERF203 - an attempt takes far longer
                origin = _origin_of(request.url)
                raise failure_from(error, origin, may_repeat=request.may_repeat) from error
        msg = "The hub redirected this request too many times."
        raise BadAnswer(msg)

    def _send(self, request: Request) -> BaseHTTPResponse:
        headers = {"User-Agent": self._agent, **request.headers}
        if self._token and _origin_of(request.url) == self._home:
            headers["Authorization"] = f"Bearer {self._token}"
        body = None
        if request.body is not None:
            headers["Content-Length"] = str(request.size_bytes)
            body = request.body()
        try:
            return self._connections.send(
                request.method, request.url, headers, body, request.size_bytes
            )
        except ProxyInvalid as error:
            raise SettingInvalid(str(error)) from error
        except OfflineMode as error:
            raise Offline from error

    def _redirected(self, request: Request, response: BaseHTTPResponse) -> Request:
        """Return the request for the target of a redirect.

        GET and HEAD follow redirects to any host; requests with a body only within the same host.
        """
        location = response.headers.get("Location") or ""
        url = quote(_joined(request.url, location), safe=_URL_CHARACTERS)
        origin = _origin_of(request.url)
        if origin == self._home:
            url = self.locate(url)
        is_reading = request.method in {"GET", "HEAD"}
        keeps = response.status in {307, 308} and _origin_of(url) == origin
        if not location or not (is_reading or keeps):
            message = f"The hub redirects this request to {url[:200]}. Use that address instead."
            raise BadAnswer(message, status=response.status)
        if origin.scheme == "https" and url.startswith("http:"):
            msg = "The hub redirects to an address without encryption. Tell its administrator."
            raise BadAnswer(msg)
        if _origin_of(url) != origin:
            request = replace(request, headers=_abroad(request.headers, response))
        return replace(request, url=url)

    def _refusal(self, request: Request, response: BaseHTTPResponse) -> Exception:
        """Return the error for a refusal; if its body is incomplete, use the status alone."""
        try:
            body = _body_of(response)
        except HTTPError:
            body = b""
        if body and response.status == 404 and self._is_no_hub(request, body):
            return _no_hub(request.url)
        pause = pause_of(response)
        is_of_hub = _origin_of(request.url) == self._home
        place = self._token_place if is_of_hub else ""
        error = failure_of(
            response.status,
            body,
            retry_after_s=pause,
            token_place=place if self._token else "",
            sign_in="" if self._token else place,
            unsent=self.token_unsent if is_of_hub else "",
        )
        is_busy = response.status in (_BUSY if request.may_repeat else _NOT_BEGUN)
        return Again(error, pause) if is_busy and pause <= MAX_WAIT_S else error

    def _is_no_hub(self, request: Request, body: bytes) -> bool:
        """Return whether "not found" is not from a hub, whose API gives each refusal a code."""
        return request.url.startswith(f"{self.api_root}/") and not code_of(body)


def _origin_of(url: str) -> Origin:
    try:
        return Origin.of(url)
    except ValueError as error:
        raise _no_url(url) from error


def _no_url(url: str) -> BadAnswer:
    return BadAnswer(f"The hub returned an invalid URL: {url[:200]!r}.")


def _abroad(headers: Mapping[str, str], response: BaseHTTPResponse) -> dict[str, str]:
    """Return headers for another server, whose ETags differ.

    ``If-Range`` is removed; the ETag of the redirect decides whether a range can be resumed.
    """
    kept = dict(headers)
    condition = kept.pop("If-Range", None)
    if condition is not None and condition != response.headers.get("ETag"):
        kept.pop("Range", None)
    return kept


def _joined(base: str, url: str) -> str:
    """Resolve a URL that a hub sent."""
    try:
        return urljoin(base, url).partition("#")[0]
    except ValueError as error:
        raise _no_url(url) from error


def _body_of(response: BaseHTTPResponse) -> bytes:
    """Return the complete body."""
    body = response.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        msg = "The hub's response is too long."
        raise BadAnswer(msg, status=response.status)
    return body + response.read(1)  # empty, or raises if data is missing


def _json_of(body: bytes, url: str) -> object:
    if not body:
        return None
    try:
        document: object = json.loads(body)
        if b"\\ud" in body.lower() or b"\xed" in body:  # maybe half a character: no file takes it
            text = json.dumps(document, ensure_ascii=False)
            document = json.loads(text.encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise _no_hub(url) from error
    return document


def _no_hub(url: str) -> BadAnswer:
    return BadAnswer(f"{url[:200]} does not respond like a Lorary hub. Check its address.")
