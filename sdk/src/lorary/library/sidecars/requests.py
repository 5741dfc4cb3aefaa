"""Requests the facts of versions from a hub, of many at once as far as the hub does that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lorary.client.errors import BadAnswer, LoraryError
from lorary.client.http.json_answers import Record
from lorary.client.models import Adapter, Version
from lorary.client.transfers.pulling import read_version, read_with_adapters
from lorary.library.sidecars.formats import Facts

if TYPE_CHECKING:
    from lorary.client.http.session import Session
    from lorary.client.names import Reference

#: Maximum number of versions whose facts are requested at once.
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Requested:
    """What was requested of several versions at once; the rest is requested for each alone.

    Attributes:
        adapters: Name → adapter.
        civitai: Id of a version → the version in the shape of Civitai's API.
    """

    versions: Mapping[Reference, Version] = field(default_factory=dict)
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    civitai: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


def request_several(session: Session, references: Sequence[Reference]) -> Requested:
    """Request what a hub says about at most ``AT_ONCE`` versions in one go.

    A hub of an earlier release says less, or nothing. Nothing is tried again.
    """
    versions, adapters = read_with_adapters(session, references)
    return Requested(versions, adapters, _civitai(session, list(map(_id_of, versions.values()))))


def read_facts(session: Session, reference: Reference, known: Requested) -> Facts:
    """Return the facts of a version; what is not known yet is requested.

    Raises:
        LoraryError: an error response, or no response.
    """
    version = known.versions.get(reference) or read_version(session, reference)
    adapter = known.adapters.get(version.adapter)
    if adapter is None:
        adapter = Adapter.read(session.json("GET", replace(reference, rev="").api_path))
    number = _id_of(version)
    civitai = known.civitai.get(number)
    if civitai is None:
        civitai = Record(session.json("GET", f"model-versions/{number}"), "version").data
    return Facts(adapter, version, civitai)


def _id_of(version: Version) -> int:
    return Record(version.data, "version").whole("id")


def _civitai(session: Session, numbers: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    if not numbers:
        return {}
    try:
        answer = session.json_once("POST", "model-versions/by-id", numbers)
        if not isinstance(answer, list):
            raise BadAnswer
        rows = [Record(row, "version") for row in answer]
        return {row.whole("id"): row.data for row in rows}
    except LoraryError:
        return {}
