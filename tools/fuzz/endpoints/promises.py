"""Checks of every answer, and comparison of an answer with that of its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.fuzz.endpoints.addresses import CIVITAI, HUGGING_FACE
from tools.fuzz.endpoints.requests import OWNER
from tools.fuzz.endpoints.wire import SILENT
from tools.fuzz.endpoints.words import MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.fuzz.endpoints.requests import FuzzRequest
    from tools.fuzz.endpoints.wire import Answer
    from tools.fuzz.endpoints.words import Known

#: Documented statuses of 500 and above: unknown transfer coding, and temporarily unavailable.
WAITING = 503
_DOCUMENTED = frozenset({501, WAITING})
#: Answers that depend on other requests in the same minute.
_PASSING = frozenset({SILENT, 429, WAITING})


def has_retry_after(answer: Answer) -> bool:
    """Whether an answer is a 503 with Retry-After."""
    return answer.status == WAITING and "retry-after" in answer.headers


def broken_promises(
    request: FuzzRequest, protocol: str, answer: Answer, known: Known
) -> Iterator[str]:
    """Yield the promises that an answer breaks.

    Args:
        request: The request.
        protocol: Protocol of the address; "" for others.
        answer: The answer.
        known: Has the private adapter.
    """
    if answer.status == SILENT:
        if request.is_sound:
            yield f"no answer: {answer.trouble}"
        return
    if answer.status >= 500 and answer.status not in _DOCUMENTED:
        yield f"status {answer.status}"
    if answer.status == WAITING and not has_retry_after(answer):
        yield "503 without Retry-After"
    if b"Traceback" in answer.body:
        yield "a traceback in the answer"
    if answer.status >= 400 and protocol and request.is_sound and answer.is_of_django:
        yield from _missing_error(request, protocol, answer)
    if request.caller != OWNER:
        yield from _leaks(request, answer, known)


def _missing_error(request: FuzzRequest, protocol: str, answer: Answer) -> Iterator[str]:
    """Yield what the error of a protocol lacks."""
    document: Any = answer.document
    has_words = isinstance(document, dict) and bool(document.get("error") or document.get("errors"))
    if request.method != "HEAD" and not has_words:
        yield f"a {answer.status} without words in JSON"
    is_verdict = isinstance(document, dict) and "errors" in document and "error" not in document
    if protocol == HUGGING_FACE and not is_verdict and not answer.headers.get("x-error-message"):
        yield f"a {answer.status} without X-Error-Message"
    if protocol == CIVITAI and request.method == "HEAD" and answer.body:
        yield "a body for HEAD"


def _leaks(request: FuzzRequest, answer: Answer, known: Known) -> Iterator[str]:
    """Yield facts about the private adapter that an answer reveals."""
    private = known.private
    sent = (request.data + request.body).lower()  # a body in chunks has its words in pieces
    received = answer.body + repr(answer.headers).encode()
    secrets = {one: one for one in (MARK, private.digest, private.commit)}
    secrets |= {private.digest.upper(): private.digest, f"ada/{private.name}": private.name}
    for secret, word in secrets.items():
        if word.encode() not in sent and secret.encode() in received:
            yield f"{secret} in an answer that was not asked for it"


def twin_difference(answer: Answer, twin: Answer) -> str:
    """Return how an answer about the private adapter differs from its twin's; "" if not at all."""
    if {answer.status, twin.status} & _PASSING:
        return ""
    for what, mine, its in (
        ("status", answer.status, twin.status),
        ("X-Error-Code", _code(answer), _code(twin)),
        ("code", _slug(answer), _slug(twin)),
        ("headers", sorted(answer.headers), sorted(twin.headers)),
        ("shape", _shape(answer.document), _shape(twin.document)),
    ):
        if mine != its:
            return f"the private adapter is told apart from none: {what} {mine} and {its}"[:600]
    return ""


def _code(answer: Answer) -> str:
    return answer.headers.get("x-error-code", "")


def _slug(answer: Answer) -> str:
    document = answer.document
    return str(document.get("code", "")) if isinstance(document, dict) else ""


def _shape(value: Any) -> Any:
    """Return the structure of a document: names, lengths and types."""
    if isinstance(value, dict):
        return {name: _shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_shape(one) for one in value]
    return type(value).__name__
