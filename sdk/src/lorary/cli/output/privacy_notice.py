"""Reports private data in files before they are published."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.cli.output.text import finding_lines, is_confirmed, note
from lorary.client.errors import LoraryError

if TYPE_CHECKING:
    from lorary.anatomy import Finding
    from lorary.client import Adapter, Hub, Reference

#: States of versions whose files can be downloaded.
_OUT = frozenset({"published", "yanked"})
_QUESTION = "Anyone who downloads the file can read this data. Publish anyway?"


class Leaks:
    """Reports private data before an upload, and asks for confirmation if others will see it.

    It does not ask without a terminal, nor for private adapters, drafts, or files that are already
    published.

    Attributes:
        findings: The findings that were printed.
    """

    def __init__(self, hub: Hub, target: Reference, args: Namespace) -> None:
        self.findings: tuple[Finding, ...] = ()
        self._hub, self._target, self._args = hub, target, args

    def __call__(self, found: Sequence[Finding], adapter: Adapter | None) -> None:
        """Report private data, and ask whether to publish it; see `Hub.push`.

        Raises:
            LoraryError: ``not_confirmed``: the user declined.
        """
        self.findings = tuple(one for one in found if one.code.startswith("privacy_"))
        if not self.findings:
            return
        note("lorary: the metadata contains private data; run `lorary inspect` for details:")
        for line in finding_lines(self.findings):
            note(line)
        if self._asks(adapter) and not is_confirmed(_QUESTION):
            findings = self.findings if self._args.json else ()
            raise LoraryError(_advice(adapter), code="not_confirmed", findings=findings)

    def _asks(self, adapter: Adapter | None) -> bool:
        if not sys.stdin.isatty() or self._args.yes or self._args.draft:
            return False
        seen_by: str = self._args.visibility if adapter is None else adapter.visibility
        return seen_by != "private" and (adapter is None or not self._are_out())

    def _are_out(self) -> bool:
        """Return whether all files are already published in the adapter."""
        return all(
            any(
                match.is_file_of(self._target.full_name) and match.version.state in _OUT
                for match in self._hub.find(Path(file))
            )
            for file in self._args.files
        )


def _advice(adapter: Adapter | None) -> str:
    """Return the alternatives; an existing adapter keeps its visibility."""
    is_new = adapter is None
    private = "--private so that only the owner sees the new adapter, or " if is_new else ""
    return (
        "Nothing was sent. Remove the private data and push again. Or use "
        f"{private}--draft so that only users who can publish the version see it."
    )
