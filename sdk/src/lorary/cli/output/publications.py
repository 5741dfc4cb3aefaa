"""What `lorary import` and `lorary push` report: plans, files that are left out, and results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lorary.cli.command import exit_code
from lorary.cli.output.text import count_of, note, plain, show
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.client.errors import LoraryError
    from lorary.library.importing.fields import Fields
    from lorary.library.importing.planning import Plan, PlannedAdapter, PlannedVersion, Skipped
    from lorary.library.importing.publishing import ImportResult

_SHOWN = ("title", "trigger_words", "strength", "kind", "lineage", "licence")
_MOST_ELSEWHERE = 3
#: The question about a new adapter for which no kind is given, with the one that a hub sets.
KEPT = "What is published stays. Run the same command again to continue."
KIND_ASKED = {"field": "kind", "option": "--kind", "default": "style"}
#: Field to the ending of a sidecar that can state it before an import, and the key there.
_IN_SIDECARS = {
    "family": (".json", "sd version"), "trigger_words": (".json", "activation text"),
    "licence": (".swarm.json", "modelspec.license"),
}  # fmt: skip
_MISSING = {
    "family": "base model", "trigger_words": "trigger words", "kind": "kind", "licence": "licence",
}  # fmt: skip
_MOST_NAMED = 3
_REASONS = {
    "broken": "that cannot be read",
    "card_unreadable": "that is not a card",
    "duplicate": "with the bytes of another file",
    "known": "that other adapters of the hub have",
    "not_an_adapter": "that are not adapters",
    "published": "published already",
    "same_tensors": "with the tensors of another file",
    "training_state": "with the saved state of a training run",
}


def planned_lines(
    adapter: str, versions: Iterable[PlannedVersion]
) -> Iterator[tuple[list[str], list[str]]]:
    """Yield a row for each version: adapter, label and files, and the values of its fields."""
    for version in versions:
        files = " + ".join(path.name for path in version.paths)
        facts = facts_of(version.fields)
        if others := _elsewhere(adapter, version):
            facts.append(f"the hub has it as {', '.join(others[:_MOST_ELSEWHERE])}")
        yield [adapter, version.label, files], facts


def _elsewhere(adapter: str, version: PlannedVersion) -> list[str]:
    """Return the versions of other adapters that have the files."""
    return [one for one in version.elsewhere if one.partition("@")[0] != adapter]


def facts_of(fields: Fields) -> list[str]:
    """Return the values of fields, with their sources."""
    facts = [
        f"{name.replace('_', ' ')}: {_text(field.best.value)} [{field.best.source}]"
        for name, field in fields.items()
        if name in _SHOWN
    ]
    disputed = [
        name.replace("_", " ")
        for name, field in fields.items()
        if name in _SHOWN and any(one.confidence != "guessed" for one in field.others)
    ]
    if disputed:
        facts.append(f"sources differ on {', '.join(disputed)}")
    return [*facts, *_other_bases(fields)]


def _other_bases(fields: Fields) -> Iterator[str]:
    """Yield the base models that sources state and that are not used."""
    family, base = fields.get("family"), fields.get("base")
    if family is None or base is None:
        return
    # --help does not need them
    from lorary.anatomy import family_title  # noqa: PLC0415
    from lorary.anatomy.claims.base_models import claims_of, covers  # noqa: PLC0415

    for one in (base.best, *base.others):
        claim = claims_of({"modelspec.architecture": str(one.value)}).first
        best = str(family.best.value)
        if claim is not None and claim.family is not None and not covers(claim.family, best):
            used = f"{family_title(best)} [{family.best.source}]"
            yield f"base model: {used}, not {one.value} [{one.source}]"


def _sidecar_of(field: str, version: PlannedVersion) -> dict[str, str]:
    ending, key = _IN_SIDECARS[field]
    return {"field": field, "sidecar": f"{version.paths[0].stem}{ending}", "key": key}


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def planned_document(adapter: str, version: PlannedVersion) -> dict[str, object]:
    """Return a version of a plan as JSON values."""
    return {
        "adapter": adapter,
        "files": list(map(str, version.paths)),
        "state": "planned",
        "label": version.label or None,
        "fields": {name: field.to_dict() for name, field in version.fields.items()},
        "previews": list(map(str, version.previews)),
        "problems": [error.detail for error in version.sidecar_errors],
        "elsewhere": _elsewhere(adapter, version),
    }


def skipped_document(skipped: Skipped) -> dict[str, object]:
    """Return a file that is left out as JSON values."""
    return {
        "files": [str(skipped.path)],
        "state": "skipped",
        "reason": skipped.reason,
        "message": skipped.message,
    }


def existing_lines(
    namespace: str, adapters: Iterable[PlannedAdapter], visibilities: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line for each adapter that exists.

    Args:
        visibilities: Name → visibility, as far as it is known.
    """
    for adapter in adapters:
        if adapter.is_known:
            seen_by = visibilities.get(adapter.name)
            state = f"is {plain(seen_by)}" if seen_by else "its visibility is not known"
            added = sum(not one.is_here for one in adapter.versions)
            which = "the new version" if added == 1 else f"the last of {added:,} new versions"
            newest = f"; {which} becomes its newest" if added else ""
            yield f"{plain(namespace)}/{plain(adapter.name)} exists and {state}{newest}."


def asked_of(adapter: PlannedAdapter, version: PlannedVersion) -> Iterator[dict[str, str]]:
    """Yield the values that nothing states for a version of an import, and where to state them.

    An adapter that exists has a kind and a licence, and its new versions have its trigger words.
    """
    if "family" not in version.fields:
        yield _sidecar_of("family", version)
    if adapter.is_known:
        return
    if "trigger_words" not in version.fields:
        yield _sidecar_of("trigger_words", version)
    if "kind" not in adapter.fields:
        yield {**KIND_ASKED}
    if "licence" not in adapter.fields:
        yield _sidecar_of("licence", version)


def missing_lines(namespace: str, adapters: Sequence[PlannedAdapter]) -> Iterator[str]:
    """Yield a line for each value that nothing states for some adapters of an import."""
    lacking: dict[str, dict[str, None]] = {}
    for adapter in adapters:
        for asked in (one for version in adapter.versions for one in asked_of(adapter, version)):
            lacking.setdefault(asked["field"], {})[f"{namespace}/{adapter.name}"] = None
    for field, what in _MISSING.items():
        if names := [*lacking.get(field, ())]:
            noun = "adapter" if field == "family" else "new adapter"
            is_short = len(names) <= _MOST_NAMED
            listed = ", ".join(map(plain, names)) if is_short else count_of(len(names), noun)
            how = f"; {KIND_ASKED['default']} is used (--kind)"
            if field in _IN_SIDECARS:
                ending, key = _IN_SIDECARS[field]
                how = f" (“{key}” in FILE{ending})"
            yield f"  missing  {what} of {listed}{how}"


def summary_of(namespace: str, plan: Plan, visibilities: Mapping[str, str], visibility: str) -> str:
    """Return counts, size and visibility of a plan.

    Args:
        visibilities: Name → visibility of adapters that exist, as far as it is known.
        visibility: That of new adapters.
    """
    groups: dict[str, list[PlannedAdapter]] = {}
    for adapter in plan.adapters:
        seen_by = visibilities.get(adapter.name, "") if adapter.is_known else visibility
        groups.setdefault(seen_by, []).append(adapter)
    versions = {key: sum(len(one.versions) for one in listed) for key, listed in groups.items()}
    counts = (
        f"{count_of(len(plan.adapters), 'adapter')}, "
        f"{count_of(sum(versions.values()), 'version')}, {count_bytes(plan.size_bytes)}"
    )
    if groups.keys() == {visibility}:
        return f"{counts}, {visibility}."
    parts = [f"{versions[visibility]:,} {visibility}"] if visibility in groups else []
    for seen_by, listed in groups.items():
        if seen_by != visibility:
            is_one = len(listed) == 1
            name = plain(f"{namespace}/{listed[0].name}") if is_one else f"{len(listed):,} adapters"
            state = f"which {'is' if is_one else 'are'} {plain(seen_by)}"
            state = state if seen_by else "whose visibility is not known"
            parts.append(f"{count_of(versions[seen_by], 'version')} of {name}, {state}")
    return f"{counts}: {'; '.join(parts)}."


def result_document(result: ImportResult) -> dict[str, object]:
    """Return a result as JSON values."""
    document: dict[str, object] = {
        "adapter": result.adapter,
        "files": list(map(str, result.paths)),
        "state": result.state,
        "version": result.version or None,
        "url": result.url or None,
        "previews": result.previews,
    }
    if result.visibility:
        document["visibility"] = result.visibility
    for key, error in (("error", result.error), ("preview_error", result.preview_error)):
        if error is not None:
            document[key] = error.to_dict()
            if error.findings:
                document["findings"] = [found.to_dict() for found in error.findings]
    return document


def show_sidecar_errors(versions: Iterable[PlannedVersion]) -> None:
    """Show why sidecars could not be read."""
    for error in (error for version in versions for error in version.sidecar_errors):
        note(f"lorary: {plain(error.detail)}")


def show_skipped(skipped: Sequence[Skipped]) -> None:
    """Show the files that are left out, and why."""
    for one in skipped:
        if one.reason not in {"published", "training_state"}:
            note(f"lorary: {plain(one.path)} is left out: {plain(one.message)}")
    counts = Counter(one.reason for one in skipped)
    if counts:
        listed = ", ".join(f"{count:,} {_REASONS[reason]}" for reason, count in counts.items())
        show(f"Left out: {listed}.")


def finish(results: Sequence[ImportResult], *, is_json: bool) -> int:
    """Report what failed and why, and return the exit code: the highest of all errors."""
    counts = Counter(result.state for result in results)
    pictures = sum(result.previews for result in results)
    if not is_json:
        show(
            f"{count_of(counts['published'], 'version')} published, "
            f"{counts['here']:,} already there, {counts['failed']:,} failed; "
            f"{count_of(pictures, 'picture')} added."
        )
        kept = {one.adapter: one.visibility for one in results if one.visibility}
        for name, visibility in kept.items():
            show(f"{plain(name)} is {plain(visibility)}, and stays so.")
    errors: list[LoraryError] = []
    failed: dict[str, list[str]] = {}  # message to the files of versions
    for result in results:
        for what, error in (("", result.error), ("pictures: ", result.preview_error)):
            if error is not None:
                errors.append(error)
                files = " + ".join(path.name for path in result.paths)
                failed.setdefault(f"{what}{error.detail}", []).append(files)
    for message, names in failed.items():
        rest = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        note(f"lorary: {plain(names[0])}{rest}: {plain(message)}")
    if errors:
        note("lorary: run the same command again to retry what failed")
    return max(map(exit_code, errors), default=0)
