"""Look reports: what a version of an adapter or a pack does to pictures, as the hub measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lorary.client import packs
from lorary.client.http.json_answers import Record
from lorary.client.http.session import Session
from lorary.client.names import Reference


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and its standard error, None if it is unknown."""

    value: float
    error: float | None = None

    @classmethod
    def read(cls, value: object) -> Figure:
        """Read a FIGURE."""
        record = Record(value, "figure")
        return cls(record.number("value") or 0.0, record.number("error"))


@dataclass(frozen=True, slots=True)
class Report:
    """The look report of a version of an adapter, or of a variant of a pack.

    Attributes:
        state: queued, running, ready or failed.
        reason: Why it failed.
        base: Name of the base model.
        encoder: Name of the image encoder; empty until it is ready.
        strength: The strength at which it is measured.
        figures: effect (0 or more), consistency, leak, drift and subject_kept (0 to 1) by name;
            without those that the pictures cannot say.
        range: Where the adapter begins, saturates and breaks; empty if nobody knows.
        done: Pictures done.
        total: Pictures in all.
        data: The whole answer.
    """

    state: str
    reason: str
    base: str
    encoder: str
    strength: float | None
    figures: Mapping[str, Figure]
    range: Mapping[str, object]
    done: int
    total: int
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Report:
        """Read a REPORT."""
        record = Record(value, "look report")
        progress = Record(record.mapping("progress"), "progress")
        figures = {
            name: Figure.read(figure)
            for name, figure in record.mapping("figures").items()
            if isinstance(figure, dict)
        }
        return record.into(
            cls,
            figures=figures,
            range=record.mapping("range"),
            done=progress.whole("done"),
            total=progress.whole("total"),
        )


def read_report(session: Session, reference: str | Reference, variant: str = "") -> Report:
    """Ask for the report of a version; without a rev, of the latest.

    Args:
        session: A session with the hub.
        reference: As `Hub.report` takes it.
        variant: Of a pack; by default its first with a report.
    """
    if isinstance(reference, str) and reference.startswith(packs.PREFIX):
        path = packs.version_path_of(packs.parse(reference))
    else:
        path = Reference.parse(reference).version_path
    return Report.read(session.json("GET", f"{path}/report", query={"variant": variant}))
