"""Typed and validated access to the JSON that a hub sends."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar, cast

import lorary
from lorary.client.errors import (
    BadAnswer,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    LoraryError,
    NotFound,
    RangeUnsatisfiable,
    RateLimited,
    ServerFault,
    StorageFull,
    TimedOut,
    TooLarge,
    Unauthenticated,
    every_class,
)

if TYPE_CHECKING:
    from lorary.anatomy import Finding, Severity

T = TypeVar("T")

_MAX_DETAIL = 2000


class Record:
    """A JSON object with typed access to its members.

    Raises:
        BadAnswer: the value is not an object.
    """

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            msg = f"The hub's response does not contain a valid {what}."
            raise BadAnswer(msg)
        self.data = cast("dict[str, object]", value)
        self._what = what

    def text(self, key: str) -> str:
        """Return a string member; empty if it is absent or null."""
        value = self.data.get(key)
        return "" if value is None else self._typed(key, value, str)

    def whole(self, key: str) -> int:
        """Return a member that is a count; 0 if absent."""
        value = self.data.get(key)
        number = 0 if value is None else self._typed(key, value, int)
        if number < 0:
            self._odd(key)
        return number

    def number(self, key: str) -> float | None:
        """Return a numeric member."""
        value = self.data.get(key)
        if value is None:
            return None
        return float(value) if isinstance(value, int) else self._typed(key, value, float)

    def hexadecimal(self, key: str, digits: int) -> str:
        """Return a digest.

        Raises:
            BadAnswer: it has another length or other characters.
        """
        value = self.text(key)
        if len(value) != digits or set(value) - set("0123456789abcdef"):
            self._odd(key)
        return value

    def mapping(self, key: str) -> dict[str, object]:
        """Return an object member; empty if it is absent or null."""
        value = self.data.get(key)
        return {} if value is None else cast("dict[str, object]", self._typed(key, value, dict))

    def items(self, key: str) -> list[object]:
        """Return an array member; empty if it is absent or null."""
        value = self.data.get(key)
        return [] if value is None else cast("list[object]", self._typed(key, value, list))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return an array of strings."""
        return tuple(self._typed(key, value, str) for value in self.items(key))

    def into(self, cls: type[T], **given: object) -> T:
        """Return a dataclass; fields that are not given are read from members of that name."""
        values: dict[str, object] = {"data": self.data, **given}
        for one in fields(cls):  # type: ignore[arg-type]  # always a dataclass
            if one.name not in values:
                values[one.name] = _READERS[str(one.type)](self, one.name)
        return cls(**{one.name: values[one.name] for one in fields(cls)})  # type: ignore[arg-type]

    def _typed(self, key: str, value: object, kind: type[T]) -> T:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self._odd(key)
        return cast("T", value)

    def _odd(self, key: str) -> None:
        msg = f"The hub's response has an invalid “{key}” in its {self._what}."
        raise BadAnswer(msg)


#: How to read a field of a dataclass, by its annotation.
_READERS: dict[str, Callable[[Record, str], object]] = {
    "str": Record.text,
    "int": Record.whole,
    "float | None": Record.number,
    "tuple[str, ...]": Record.texts,
    "Mapping[str, object]": Record.mapping,
}


def findings_of(values: object) -> tuple[Finding, ...]:
    """Read findings; invalid ones are skipped because they are only explanatory."""
    if not isinstance(values, list):
        return ()
    return tuple(
        lorary.Finding(
            code=str(value.get("code", "")),
            severity=_severity(value.get("severity")),
            message=str(value.get("message", "")),
            evidence=dict(evidence) if isinstance(evidence, Mapping) else {},
        )
        for value in values
        if isinstance(value, dict)
        for evidence in [value.get("evidence")]
    )


def _severity(value: object) -> Severity:
    return value if value in ("error", "warning", "info") else "info"


_BY_STATUS: dict[int, type[LoraryError]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    408: TimedOut,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    416: RangeUnsatisfiable,
    422: Invalid,
    429: RateLimited,
    507: StorageFull,
}


def _class_of(code: str, status: int) -> type[LoraryError]:
    """Return the class for a server's code, or for the HTTP status if the code is unknown."""
    for cls in every_class():
        if cls.code == code and cls.__module__ == Invalid.__module__:  # others are of local files
            return cls
    if status >= 500:
        return _BY_STATUS.get(status, ServerFault)
    return _BY_STATUS.get(status, LoraryError)


def _problem_of(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def code_of(body: bytes) -> str:
    """Return the code of an ``application/problem+json`` response; empty for any other."""
    code = _problem_of(body).get("code")
    return code if isinstance(code, str) else ""


def failure_of(
    status: int,
    body: bytes,
    *,
    retry_after_s: float = 0.0,
    token_place: str = "",
    sign_in: str = "",
    unsent: str = "",
) -> LoraryError:
    """Return the exception for an ``application/problem+json`` or other error response.

    Args:
        token_place: Where the token of the request was found; added if the token was refused.
        sign_in: How to sign in, if the request had no token; added to "not found" errors, since
            the hub does not reveal whether a private object exists. It is not added if the fact
            ``adapter`` or ``pack`` shows that the object is visible; older hubs do not send it.
        unsent: Which token was not sent; added to these errors, and if an account is needed.
    """
    problem, code = _problem_of(body), code_of(body)
    detail = problem.get("detail") or problem.get("title")
    known = {"type", "title", "status", "detail", "code", "findings", "instance"}
    facts = {key: value for key, value in problem.items() if key not in known}
    if retry_after_s:
        facts.setdefault("retry_after", retry_after_s)
    cls = _class_of(code, status)
    if not isinstance(detail, str):
        detail = f"{cls.title.rstrip('.')} (HTTP {status})."
    detail = detail[:_MAX_DETAIL]
    if token_place and issubclass(cls, Unauthenticated):
        detail = f"{detail.rstrip('.')}. {token_place}"
    may_be_private = cls is NotFound and not {"adapter", "pack"} & facts.keys()
    if sign_in and may_be_private:
        detail = f"{detail.rstrip('.')}. {sign_in}"
    if unsent and (may_be_private or issubclass(cls, Unauthenticated)):
        detail = f"{detail.rstrip('.')}. {unsent}"
    return cls(
        detail,
        code=code,
        status=status,
        findings=findings_of(problem.get("findings")),
        facts=facts,
    )
