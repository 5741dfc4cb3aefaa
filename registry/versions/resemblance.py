"""Finds out which of a user's adapters a file looks like a new version of.

The name, the base model, the training run and the structure of the weights are compared. All of
them come from the header, so the result is available before the file is sent. The name or the
training run must be the same, and the base model must not differ; the structure only decides
between several adapters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models.fields.json import KeyTextTransform, KeyTransform

from lorary.anatomy.claims.vocabulary import covers
from lorary.library.variants import is_generic, run_of
from registry.accounts.permissions import writable_by
from registry.models import Adapter, File, User

Document = Mapping[str, Any]

#: Maximum number of adapters that a file is compared with; the most recently changed ones.
MOST_COMPARED = 200
#: A version at the end of a name: ``noir-v2``, ``noir_1.5``, ``noir final``.
_VERSION = re.compile(r" (?:(?:v|ver|version) ?)?[0-9]{1,3}(?: [0-9]{1,3})?$| final$")


@dataclass(frozen=True, slots=True)
class Resemblance:
    """An adapter that a file looks like a new version of."""

    adapter: Adapter  # the adapter; its namespace is loaded
    is_same_name: bool  # whether the names differ at most in a version
    is_name_in_header: bool  # whether that is a name in the header, and not that of the file
    is_same_base: bool  # whether both are known to be for the same base model
    is_same_run: bool  # whether both were saved by the same training run
    is_same_structure: bool  # whether method, rank and number of changed layers are the same

    @property
    def number(self) -> int:
        """Return the number that the new version would get."""
        return self.adapter.last_number + 1

    @property
    def weight(self) -> int:
        """Return a number that grows with the number of matches; names and runs count most."""
        strong, weak = (self.is_same_run, self.is_same_name), (self.is_same_base,)
        return 4 * sum(strong) + 2 * sum(weak) + self.is_same_structure


def find(user: User, path: str, document: Document) -> Resemblance | None:
    """Return the adapter that a file resembles most; None if there is none.

    Args:
        user: Only adapters to which the user may publish are compared.
        path: Name of the file.
        document: Its anatomy document.
    """
    rows = Adapter.objects.visible_to(user).filter(
        namespace__in=writable_by(user), withdrawn_reason="", latest_version__isnull=False
    )
    rows = rows.select_related("namespace", "latest_version").order_by("-updated_at")
    known = {row.latest_version_id: row for row in rows[:MOST_COMPARED]}
    found = [
        _compared(known[line["revision__versions"]], line, path, document)
        for line in _primary_files(known)
    ]
    likely = (one for one in found if one is not None and one.adapter.is_writable_by(user))
    return max(likely, key=lambda one: one.weight, default=None)


def _primary_files(versions: Iterable[int | None]) -> Iterable[Mapping[str, Any]]:
    """Return the main file of each version with the values to compare; one query."""
    anatomy = "blob__anatomy__document"
    training = KeyTransform("training", anatomy)
    return File.objects.filter(revision__versions__in=list(versions), is_primary=True).values(
        "revision__versions",
        "path",
        "blob__anatomy__algorithm",
        "blob__anatomy__rank",
        started=KeyTextTransform("started_at", training),
        output=KeyTextTransform("output_name", training),
        modules=KeyTextTransform("modules", KeyTransform("layers", anatomy)),
    )


def _compared(
    adapter: Adapter, line: Mapping[str, Any], path: str, document: Document
) -> Resemblance | None:
    base, training = document.get("base") or {}, document.get("training") or {}
    allowed = [base["family"]] if base.get("family") else list(base.get("candidates") or ())
    is_same_base = any(covers(adapter.family, one) for one in allowed) if adapter.family else False
    if adapter.family and allowed and not is_same_base:
        return None
    title = (document.get("metadata") or {}).get("title")
    of_file = _names(document, path)
    in_header = _names(document, "", training.get("output_name"), title)
    theirs = _names(document, line["path"], line["output"], adapter.title, adapter.name)
    started = str(training.get("started_at") or "")
    structure = (document.get("algorithm"), _rank(document), _modules(document))
    other = (line["blob__anatomy__algorithm"], line["blob__anatomy__rank"], str(line["modules"]))
    found = Resemblance(
        adapter=adapter,
        is_same_name=bool((of_file | in_header) & theirs),
        is_name_in_header=not of_file & theirs,
        is_same_base=is_same_base,
        is_same_run=bool(started) and started == line["started"],
        is_same_structure=structure == other,
    )
    return found if found.is_same_name or found.is_same_run else None


def _rank(document: Document) -> Any:  # noqa: ANN401 - a value of a JSON document
    return (document.get("rank") or {}).get("mode")


def _modules(document: Document) -> str:
    return str((document.get("layers") or {}).get("modules"))


def _names(document: Document, path: str, *others: object) -> set[str]:
    """Return the names of a work without versions, epochs and punctuation; no generic names."""
    paths = [path, *(f"{text}.safetensors" for text in others if text)]
    names = {_VERSION.sub("", run_of(one, document)).strip() for one in paths}
    return {name for name in names if len(name) > 2 and not is_generic(name)}
