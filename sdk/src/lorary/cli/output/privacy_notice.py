"""What a file tells of its maker, said before it is published."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.cli.output.text import finding_lines, note
from lorary.client.errors import LoraryError
from lorary.client.transfers.digests import digest_file

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from lorary.anatomy import Finding
    from lorary.client import Adapter, Hub, Reference

#: States of versions whose files are handed out.
_OUT = frozenset({"published", "yanked"})


class Leaks:
    """Says what is private in files before they are sent, and asks where others will see it.

    Nobody is asked without a terminal, nor about what stays private, a draft, or is out already.

    Attributes:
        findings: The findings that were printed.
    """

    def __init__(self, hub: Hub, target: Reference, args: Namespace) -> None:
        self.findings: tuple[Finding, ...] = ()
        self._hub, self._target, self._args = hub, target, args

    def __call__(self, found: Sequence[Finding], adapter: Adapter | None) -> None:
        """Look at what was found in the files; see `Hub.push`.

        Raises:
            LoraryError: ``not_confirmed``: the person at the terminal stopped.
        """
        self.findings = tuple(one for one in found if one.code.startswith("privacy_"))
        if not self.findings:
            return
        note("lorary: the metadata holds private things; lorary inspect shows where:")
        for line in finding_lines(self.findings):
            note(line)
        if self._asks(adapter) and not _is_meant():
            findings = self.findings if self._args.json else ()
            raise LoraryError(_advice(adapter), code="not_confirmed", findings=findings)

    def _asks(self, adapter: Adapter | None) -> bool:
        if not sys.stdin.isatty() or self._args.yes or self._args.draft:
            return False
        seen_by: str = self._args.visibility if adapter is None else adapter.visibility
        return seen_by != "private" and (adapter is None or not self._are_out())

    def _are_out(self) -> bool:
        """Whether whoever sees the adapter can have each of the files already."""
        versions = [one for one in self._hub.versions(self._target) if one.state in _OUT]
        out = {file.sha256: file.size_bytes for one in versions for file in one.files}
        places = [Path(file) for file in self._args.files]
        if not {place.stat().st_size for place in places} <= set(out.values()):
            return False  # hashing takes a while
        return all(digest_file(place) in out for place in places)


def _advice(adapter: Adapter | None) -> str:
    """Return what to do instead; an adapter that exists stays as visible as it is."""
    private = "with --private its owner alone sees the new adapter, " if adapter is None else ""
    return (
        f"Nothing was sent. Remove what is private and push again; {private}with --draft those "
        "alone who may publish the version see it."
    )


def _is_meant() -> bool:
    """Ask on the terminal."""
    sys.stderr.write("Whoever gets the file can read them. Publish it all the same? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}
