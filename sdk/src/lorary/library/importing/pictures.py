"""Finds the pictures that trainers save for the checkpoints of a run.

```
sd-scripts, musubi-tuner   sample/noir_e000004_00_20260102030405_42.png      epoch 4
                           sample/noir_000500_00_20260102030405_42.png       step 500
ai-toolkit                 samples/1767323045000__000000500_0.jpg            step 500
OneTrainer                 samples/0 - prompt/2026-…-training-sample-500-4-0.png   step 500, epoch 4
```

Pictures of step 0 show the base model, so they belong to no checkpoint. Of two pictures that differ
only in their time, the later one counts: the other was left by an earlier run in this folder. One
that is being written is left for the next push, because the hub would find it broken only later.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lorary.anatomy.display_names import natural, stem
from lorary.client.samples import MEDIA
from lorary.library.importing.planning import MOST_PREVIEWS, PlannedVersion, place_of
from lorary.library.variants import Checkpoint

_FOLDERS = ("sample", "samples")
_MOST_FILES = 20_000
_SD_SCRIPTS = re.compile(
    r"(?:(?P<run>.{1,200})_)?(?P<unit>e?)(?P<number>[0-9]{6})_[0-9]{2,4}_(?P<time>[0-9]{14})"
    r"(?:_[0-9]{1,20}){0,2}"
)
_AI_TOOLKIT = re.compile(
    r"(?:rank[0-9]{1,4}_sample[0-9]{1,6}_)?(?P<time>[0-9]{10,16})__(?P<step>[0-9]{9})_[0-9]{1,6}"
)
_ONETRAINER = re.compile(
    r"(?P<time>.{0,200})-training-sample-(?P<step>[0-9]{1,9})-(?P<epoch>[0-9]{1,9})-[0-9]{1,9}"
)

#: Last bytes of a whole picture, by its ending.
_ENDS = {".jpeg": b"\xff\xd9", ".jpg": b"\xff\xd9", ".png": b"IEND\xaeB`\x82"}


class Sample(NamedTuple):
    """A picture of a run.

    Attributes:
        run: Name of the run, if the picture has it.
        numbers: ``epoch`` and ``step`` at which it was made, as far as its name says.
        time: When it was made; later times are greater.
        slot: What its name says apart from the time.
    """

    path: Path
    run: str
    numbers: Mapping[str, int]
    time: str
    slot: str


def samples_in(folders: Iterable[Path]) -> list[Sample]:
    """Return the pictures in the sample folders of folders, in their order."""
    places = (folder / name for folder in dict.fromkeys(folders) for name in _FOLDERS)
    found = [sample for place in places for path in _files(place) if (sample := _sample(path))]
    latest = {one.slot: one for one in sorted(found, key=lambda one: one.time)}
    return sorted(latest.values(), key=lambda one: natural(str(one.path)))


def _files(folder: Path) -> Iterator[Path]:
    """Yield the pictures in a folder and the folders in it."""
    waiting, count = [(folder, 1)], 0
    while waiting:
        place, depth = waiting.pop()
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:  # it does not exist, or it cannot be read: there are no pictures
            continue
        for entry in entries:
            path = Path(entry.path)
            if path.suffix.casefold() in MEDIA:
                yield path
            elif depth:
                waiting.append((path, depth - 1))
            count += 1
            if count >= _MOST_FILES:
                return


def _sample(path: Path) -> Sample | None:
    forms = (_AI_TOOLKIT, _ONETRAINER, _SD_SCRIPTS)
    match = next((found for form in forms if (found := form.fullmatch(path.stem))), None)
    if match is None or not _is_whole(path):
        return None
    said = match.groupdict()
    numbers: dict[str, int] = {unit: int(said[unit]) for unit in ("epoch", "step") if unit in said}
    if "number" in said:
        numbers = {"epoch" if said["unit"] else "step": int(said["number"])}
    begin, end = match.span("time")
    slot = os.fspath(path.with_name(f"{path.name[:begin]}*{path.name[end:]}"))
    return Sample(path, said.get("run") or "", numbers, said["time"], slot)


def _is_whole(path: Path) -> bool:
    end = _ENDS.get(path.suffix.casefold(), b"")
    if not path.is_file():  # opening a pipe would wait forever
        return False
    try:
        with path.open("rb") as opened:
            opened.seek(-min(len(end), os.fstat(opened.fileno()).st_size), os.SEEK_END)
            return opened.read() == end
    except OSError:
        return False


def pictures_of(
    versions: Sequence[PlannedVersion], samples: Sequence[Sample]
) -> Iterator[tuple[Path, ...]]:
    """Yield the pictures of each version of a run: those beside its weights, then samples."""
    places = [place_of(version.rows[0]) for version in versions]
    for version, place in zip(versions, places, strict=True):
        run = stem(version.paths[0].name) if place.number is None else _name(place)
        mine = [one for one in samples if not one.run or one.run.casefold() == run.casefold()]
        numbers = _numbers(version, place) or _last(mine, places)
        own = [one.path for one in mine if _is_at(one.numbers, numbers)]
        yield (*version.previews, *own)[:MOST_PREVIEWS]


def _is_at(sample: Mapping[str, int], version: Mapping[str, int]) -> bool:
    """Return whether a picture shows a version; an epoch has many steps, so steps come first."""
    unit = next((one for one in ("step", "epoch") if one in sample and one in version), "")
    return 0 < sample.get(unit, 0) == version.get(unit)


def _name(place: Checkpoint) -> str:
    return place.run.rpartition("/")[2]


def _numbers(version: PlannedVersion, place: Checkpoint) -> dict[str, int]:
    """Return epoch and step of a version, by its name and its header.

    The header of a checkpoint that is named by its step has the epoch that ended before it.
    """
    row = version.rows[0]
    stated = {"epoch": row.epochs, "step": row.steps}
    if place.number is not None:
        stated[place.unit] = place.number
    if place.unit == "step":
        del stated["epoch"]
    return {unit: number for unit, number in stated.items() if number}


def _last(samples: Sequence[Sample], places: Sequence[Checkpoint]) -> dict[str, int]:
    """Return the numbers of the last pictures, if they are later than all checkpoints."""
    latest: dict[str, int] = {}
    for one in samples:
        for unit, number in one.numbers.items():
            latest[unit] = max(number, latest.get(unit, 0))
    known = {
        unit: max((one.number or 0 for one in places if one.unit == unit), default=0)
        for unit in latest
    }
    return {unit: number for unit, number in latest.items() if number > known[unit]}
