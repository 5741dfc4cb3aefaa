"""What has to hold for every answer, and for an answer beside its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.fuzz.knocking.addresses import CIVITAI, HUGGING_FACE
from tools.fuzz.knocking.asking import OWNER
from tools.fuzz.knocking.wire import SILENT
from tools.fuzz.knocking.words import MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.fuzz.knocking.asking import Asked
    from tools.fuzz.knocking.wire import Answer
    from tools.fuzz.knocking.words import Known

#: Statuses from 500 on that are documented: no such transfer coding, and come again in a moment.
WAITING = 503
_DOCUMENTED = frozenset({501, WAITING})
#: Answers that depend on what else was asked in the same minute.
_PASSING = frozenset({SILENT, 429, WAITING})


def is_told(answer: Answer) -> bool:
    """Whether an answer of 503 says when to come again."""
    return answer.status == WAITING and "retry-after" in answer.headers


def broken_promises(asked: Asked, door: str, answer: Answer, known: Known) -> Iterator[str]:
    """Say what an answer does that none may do.

    Args:
        asked: What was asked.
        door: Whose address it was; "" where it was of none.
        answer: What came.
        known: With what is private.
    """
    if answer.status == SILENT:
        if asked.is_sound:
            yield f"no answer: {answer.trouble}"
        return
    if answer.status >= 500 and answer.status not in _DOCUMENTED:
        yield f"status {answer.status}"
    if answer.status == WAITING and not is_told(answer):
        yield "503 without Retry-After"
    if b"Traceback" in answer.body:
        yield "a traceback in the answer"
    if answer.status >= 400 and door and asked.is_sound and answer.is_of_django:
        yield from _not_in_words(asked, door, answer)
    if asked.caller != OWNER:
        yield from _leaks(asked, answer, known)


def _not_in_words(asked: Asked, door: str, answer: Answer) -> Iterator[str]:
    """Say what a refusal of a door lacks."""
    said: Any = answer.document
    has_words = isinstance(said, dict) and bool(said.get("error") or said.get("errors"))
    if asked.method != "HEAD" and not has_words:
        yield f"a {answer.status} without words in JSON"
    is_verdict = isinstance(said, dict) and "errors" in said and "error" not in said
    if door == HUGGING_FACE and not is_verdict and not answer.headers.get("x-error-message"):
        yield f"a {answer.status} without X-Error-Message"
    if door == CIVITAI and asked.method == "HEAD" and answer.body:
        yield "a body for HEAD"


def _leaks(asked: Asked, answer: Answer, known: Known) -> Iterator[str]:
    """Say what an answer tells of the private adapter that its request did not."""
    private = known.private
    said = (asked.data + asked.body).lower()  # a body in chunks has its words in pieces
    heard = answer.body + repr(answer.headers).encode()
    secrets = {one: one for one in (MARK, private.digest, private.commit)}
    secrets |= {private.digest.upper(): private.digest, f"ada/{private.name}": private.name}
    for secret, word in secrets.items():
        if word.encode() not in said and secret.encode() in heard:
            yield f"{secret} in an answer that was not asked for it"


def told_apart(answer: Answer, twin: Answer) -> str:
    """Say how an answer about the private adapter differs from one about nothing; "" if not."""
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
    said = answer.document
    return str(said.get("code", "")) if isinstance(said, dict) else ""


def _shape(value: Any) -> Any:
    """Return a document without what it says: names, lengths and kinds."""
    if isinstance(value, dict):
        return {name: _shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_shape(one) for one in value]
    return type(value).__name__
