"""The base of all errors of this package; `lorary.client.errors` draws the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from lorary.anatomy import Finding


class LoraryError(Exception):
    """Base of all errors.

    Attributes:
        code: Stable slug; the server's if it sent one.
        detail: One or two sentences for a person.
        status: HTTP status, None without a response.
        findings: Results of the checks that caused the error, most severe first.
        facts: JSON values that a program may need (sizes, names, missing parts).
    """

    code: str = "error"
    title: ClassVar[str] = "An error occurred."

    def __init__(
        self,
        detail: str = "",
        *,
        code: str = "",
        status: int | None = None,
        findings: Sequence[Finding] = (),
        facts: Mapping[str, object] | None = None,
    ) -> None:
        self.detail = detail or self.title
        self.code = code or type(self).code
        self.status = status
        self.findings = tuple(findings)
        self.facts = dict(facts or {})
        super().__init__(self.detail)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the code, too: some classes require it, and processes of a pool return errors."""
        return partial(type(self), code=self.code), self.args, vars(self)

    def to_dict(self) -> dict[str, str]:
        """Return code and message as JSON values."""
        return {"code": self.code, "message": self.detail}
