"""Labels for the weights of one version: halves of a base model, and checkpoints of one run.

Wan 2.2 A14B has two transformers of the same shapes, so the tensors do not show to which half a
file belongs. Trainers write it into the file's name (``noir_high_noise``, ``noir_HIGH``,
``noir-HN``) or its metadata.

Trainers also save checkpoints during a run. sd-scripts adds the epoch (``noir-000004``) or the step
(``noir-step00000500``) to the name, ai-toolkit the step (``noir_000000500``), OneTrainer time, step
and epoch (``2026-01-02_03-04-05-save-500-4-0``), and diffusers and SimpleTuner write a folder for
each step (``checkpoint-500/``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from lorary.client.names import generic_rest

Document = Mapping[str, Any]

HIGH, LOW = "high-noise", "low-noise"

#: The last checkpoint of a run, beside earlier ones.
FINAL = "final"

#: Families that include base models with two halves → the family of those base models.
FAMILIES = frozenset({"wan_14b", "wan_14b_i2v", "wan_animate", "wan_vace_14b"})
_OF_HALVES = "wan_14b"

#: Epoch or step at the end of a name, or in its folder.
_EPOCH = re.compile(r"[-_.](?:(?:e|ep|epoch)[-_]?([0-9]{1,6})|([0-9]{6}))$")
_STEP = re.compile(r"[-_.](?:(?:s|step)[-_]?([0-9]{1,9})|([0-9]{9}))$")
_FOLDER = re.compile(r"(?:^|/)checkpoint-([0-9]{1,9})/")
_SAVE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{2}-[0-9]{2}-[0-9]{2}-save-([0-9]{1,9})(?:-[0-9]{1,9}){2}$"
)

#: Words that name a half, and words that do so only if another file has the opposite word.
_EXPLICIT = re.compile(r"(?<![a-z])(high|low)[ _.-]?noise(?![a-z])|(?<![a-z])(h|l)n(?![a-z])")
_HINT = re.compile(r"(?<![a-z])(high|low|h|l)(?![a-z])")
#: The same without abbreviations, which also occur in other names.
_HALF = re.compile(r"(?<![a-z])(?:high|low)(?![a-z])")
#: The half after epoch or step, where ai-toolkit writes it: ``noir_000000500_high_noise``.
_HALF_AT_END = re.compile(r"[-_. ](?:high|low)[-_. ]?noise$", re.IGNORECASE)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Suffix that browsers add to the second download of a file.
_COPY = re.compile(r" ?\([0-9]{1,9}\)$")
_BETWEEN = re.compile(r"[-_. ]+")
#: Versions at the end of a name: ``_v1``, ``-v2.1``, `` version 3``, ``-final``.
_VERSION = re.compile(
    r"(?:[-_. ](?:v|ver|version)[-_. ]?[0-9]{1,3}(?:[._][0-9]{1,3}){0,2}|[-_. ]final){1,3}$",
    re.IGNORECASE,
)
#: Generic names, besides those of files, that say nothing about the contents.
_GENERIC = frozenset({"", "my_first_lora", "my_lora", "test", "unet"})
_NUMBER = re.compile(r"_?[0-9]{1,9}$")


def variants_of(weights: Mapping[str, Document], declared: str = "") -> dict[str, str]:
    """Return path → variant; paths without a variant are left out.

    A variant is ``high-noise`` or ``low-noise``; ``epoch-4``, ``step-500`` or ``final`` for several
    checkpoints of a run; or ``high-noise-epoch-4`` for all but the last checkpoint of a half.

    Args:
        weights: Anatomy documents by path, {} for a file without one.
    """
    names = {
        path: _HUMP.sub("_", path).casefold()
        for path, document in weights.items()
        if _can_be_half(document, declared)
    }
    hinted = dict(_hints(names))
    found = {
        path: _stated(name) or hinted.get(path) or _claimed(weights[path])
        for path, name in names.items()
    }
    halves = {path: variant for path, variant in found.items() if variant}
    return _checkpoints(weights) | halves | _earlier(weights, halves)


def half_of(path: str, document: Document) -> str:
    """Return ``high-noise`` or ``low-noise``, by the name or else the header; "" for neither."""
    if not _can_be_half(document):
        return ""
    return _stated(_HUMP.sub("_", path).casefold()) or _claimed(document)


def run_of(path: str, document: Document) -> str:
    """Return the common part of the file names of a training run, without epoch, step and half.

    ``Noir_ink-000008 (1).safetensors`` belongs to ``noir ink``, like ``noir-ink_HIGH.safetensors``
    if it can be half of a pair.
    """
    name = path.rpartition("/")[2].rpartition(".")[0]
    original = _COPY.sub("", name)
    if not is_generic(original):  # such downloads are different files
        name = original
    name = _HUMP.sub("_", checkpoint_of(f"{name}.safetensors").run).casefold()
    if _can_be_half(document):
        name = _HALF.sub("", _EXPLICIT.sub("", name))
    return _BETWEEN.sub(" ", name).strip()


def without_version(name: str) -> str:
    """Return a file's name or a title without version, epoch, step and copy at its end.

    ``Noir_ink_v2-000010 (1)`` → ``Noir_ink``.
    """
    run = checkpoint_of(f"{_COPY.sub('', name.strip())}.safetensors").run
    return _VERSION.sub("", run) or run


def split_copy(name: str) -> tuple[str, str]:
    """Return a name without the number of a browser's download, and that: ``noir``, `` (1)``."""
    found = _COPY.search(name)
    return (name[: found.start()], found[0]) if found else (name, "")


def is_generic(name: str) -> bool:
    """Return whether programs give this name to any adapter: ``checkpoint-500``, ``lora``."""
    stem = _BETWEEN.sub("_", name.casefold()).strip("_")
    bare = _NUMBER.sub("", stem)
    return bare in _GENERIC or any(generic_rest(one) is not None for one in (stem, bare))


def half_family(variant: str, candidates: Iterable[str]) -> str:
    """Return the family of a half; "" if it is not a half or its family is known."""
    possible = set(candidates)
    is_open = len(possible) > 1 and possible <= FAMILIES
    return _OF_HALVES if variant in {HIGH, LOW} and is_open else ""


class Checkpoint(NamedTuple):
    """The place of a checkpoint in its run; ``number`` is None for the final one."""

    run: str
    unit: str = ""
    number: int | None = None

    @property
    def variant(self) -> str:
        """``epoch-4``, ``step-500`` or ``final``."""
        return FINAL if self.number is None else f"{self.unit}-{self.number}"

    @property
    def order(self) -> float:
        """Its place in the order of its run."""
        return float("inf") if self.number is None else self.number


def checkpoint_of(path: str) -> Checkpoint:
    """Return the place of a file in its run, by its name."""
    stem = path.rpartition(".")[0]
    if folder := _FOLDER.search(stem):
        run = f"{stem[: folder.start()]}/{stem[folder.end() :]}".strip("/")
        return Checkpoint(run, "step", int(folder[1]))
    half = _HALF_AT_END.search(stem)
    end = half[0] if half else ""
    bare = stem.removesuffix(end)
    for unit, form in (("step", _SAVE), ("step", _STEP), ("epoch", _EPOCH)):
        if found := form.search(bare):
            number = next(int(text) for text in found.groups() if text is not None)
            return Checkpoint(bare[: found.start()].rstrip("-_. ") + end, unit, number)
    return Checkpoint(stem)


def _runs(paths: Iterable[str]) -> Iterator[dict[str, Checkpoint]]:
    """Yield the runs that have several checkpoints."""
    runs: defaultdict[str, dict[str, Checkpoint]] = defaultdict(dict)
    for path in paths:
        place = checkpoint_of(path)
        runs[place.run][path] = place
    for run in runs.values():
        if len({place.variant for place in run.values()}) == len(run) > 1:
            yield run


def _checkpoints(paths: Iterable[str]) -> dict[str, str]:
    return {path: place.variant for run in _runs(paths) for path, place in run.items()}


def superseded_in(paths: Iterable[str]) -> set[str]:
    """Return the checkpoints that are superseded by a later one."""
    found = set()
    for run in _runs(paths):
        last = max(run, key=lambda path: run[path].order)
        found |= run.keys() - {last}
    return found


def _earlier(paths: Iterable[str], halves: Mapping[str, str]) -> dict[str, str]:
    """Return variants of the earlier checkpoints of halves, since only one file can be the half."""
    names, earlier = _checkpoints(paths), superseded_in(paths)
    return {path: f"{halves[path]}-{names[path]}" for path in earlier if path in halves}


def _can_be_half(document: Document, declared: str = "") -> bool:
    base = document.get("base") or {}
    possible = {base.get("family"), *(base.get("candidates") or ())} - {None}
    return not FAMILIES.isdisjoint(possible or {declared})


def _variant(word: str) -> str:
    return HIGH if word.startswith("h") else LOW


def _stated(name: str) -> str:
    """Return the half that a name states; "" if it states both or none."""
    halves = {_variant(match[0]) for match in _EXPLICIT.finditer(name)}
    return halves.pop() if len(halves) == 1 else ""


def _hints(names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield path and half for names that differ in one word only: noir_HIGH and noir_LOW."""
    places: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, name in names.items():
        for match in _HINT.finditer(name):
            place = f"{name[: match.start()]}*{name[match.end() :]}"
            places[place].append((path, _variant(match[0])))
    for found in places.values():
        if sorted(variant for _path, variant in found) == [HIGH, LOW]:
            yield from found


def _claimed(document: Document) -> str:
    """Return the half that the header indicates by the trained timesteps."""
    expert = str((document.get("training") or {}).get("expert") or "")
    return {"high_noise": HIGH, "low_noise": LOW}.get(expert, "")
