"""What can be said of a base without loading it: every fault with what to do about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorary.safetensors import HeaderError, read_header
from previews.render.families import family_of
from previews.render.whereabouts import INDEX, absence, folder_of, pipelines_known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from previews.render.bases import Base

__all__ = ["Fault", "verify"]

#: Longest JSON read of a base; the index of a large model's shards has a few hundred kilobytes.
MAX_JSON_BYTES = 16 * 1024 * 1024

#: Files that can run code when loaded; the renderer opens none of them.
PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")

#: Stems of the weights that diffusers and transformers look for.
STEMS = ("diffusion_pytorch_model", "model")

#: Parts that have no weights, by the end of their class's name.
WEIGHTLESS = ("Scheduler", "Tokenizer", "TokenizerFast", "Processor", "Extractor")

_CONVERT = "Convert them: open the pipeline and write it with save_pretrained."
_AGAIN = "Fetch it again."


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a base; one that is not fatal leaves it usable."""

    message: str
    hint: str
    is_fatal: bool = True


def verify(base: Base) -> list[Fault]:
    """Check folder, index, pipeline and the header of every weights file; no data is read."""
    why, hint = absence(base)
    if why:
        return [Fault(f"{base.location}: {why}", hint)]
    folder = folder_of(base)
    if folder is None:
        message = f"{base.location} is not here yet"
        return [Fault(message, "It is fetched when it is first opened.", is_fatal=False)]
    index = _json(folder / INDEX)
    if isinstance(index, Fault):
        return [index]
    return [*_pipeline(base, index), *_components(folder, index, base.variant)]


def _pipeline(base: Base, index: dict[str, Any]) -> Iterator[Fault]:
    name, known = index.get("_class_name"), pipelines_known()
    if not isinstance(name, str):
        yield Fault(
            f"{INDEX} names no pipeline of diffusers",
            "Pipelines that bring code of their own are not run; use one that diffusers has.",
        )
        return
    if not known:
        yield Fault("diffusers is not installed", "Install requirements/worker.txt.")
    elif name not in known:
        yield Fault(
            f"the installed diffusers has no {name[:80]}", "Update diffusers, or another base."
        )
    wanted = family_of(base.family).pipelines
    if wanted and name not in wanted:
        yield Fault(
            f"it is a {name[:80]}; {base.family} is rendered by {' or '.join(wanted)}",
            "Correct “family”, or name another folder.",
        )


def _components(folder: Path, index: dict[str, Any], variant: str) -> Iterator[Fault]:
    parts = {
        name: str(said[1])
        for name, said in index.items()
        if not name.startswith("_") and isinstance(said, list) and len(said) == 2 and said[1]
    }
    if not parts:
        yield Fault(f"{INDEX} names no components", _AGAIN)
    for name, kind in parts.items():
        place = folder / name
        if Path(name).name != name or name in {"", ".", ".."}:
            yield Fault(f"{INDEX} names a component {name[:80]!r}", _AGAIN)
        elif not place.is_dir():
            yield Fault(f"{name}: the folder is missing", _AGAIN)
        elif kind.endswith("Scheduler"):
            yield from _config(place / "scheduler_config.json")
        elif not kind.endswith(WEIGHTLESS):
            yield from _config(place / "config.json")
            yield from _weights(place, variant)


def _config(file: Path) -> Iterator[Fault]:
    said = _json(file)
    if isinstance(said, Fault):
        yield said


def _weights(place: Path, variant: str) -> Iterator[Fault]:
    files = _weight_files(place, variant)
    pickles = sorted(file.name for file in place.iterdir() if file.suffix in PICKLES)
    if isinstance(files, Fault):
        yield files
    elif not files and pickles:
        yield Fault(
            f"{place.name}: only pickles ({', '.join(pickles[:3])}), which are never loaded",
            _CONVERT,
        )
    elif not files:
        yield Fault(f"{place.name}: no weights as safetensors", _AGAIN)
    else:
        yield from (fault for file in files if (fault := _header(file)))
        if pickles:
            message = f"{place.name}: pickles beside the weights ({', '.join(pickles[:3])})"
            yield Fault(message, "They are not read and can be deleted.", is_fatal=False)


def _weight_files(place: Path, variant: str) -> list[Path] | Fault:
    """Return the files that would be opened: of the variant where there are such, else plain."""
    for kind in (f".{variant}", "") if variant else ("",):
        for stem in STEMS:
            index = place / f"{stem}.safetensors.index{kind}.json"
            whole = place / f"{stem}{kind}.safetensors"
            if whole.is_file():
                return [whole]
            if index.is_file():
                return _shards(index)
    return []


def _shards(index: Path) -> list[Path] | Fault:
    said = _json(index)
    if isinstance(said, Fault):
        return said
    names = said.get("weight_map")
    if not isinstance(names, dict) or not names:
        return Fault(f"{_shown(index)} has no “weight_map”", _AGAIN)
    shards = sorted({str(name) for name in names.values()})
    if any(Path(name).name != name or not name.endswith(".safetensors") for name in shards):
        return Fault(f"{_shown(index)} names files elsewhere or of another kind", _AGAIN)
    return [index.parent / name for name in shards]


def _header(file: Path) -> Fault | None:
    try:
        read_header(file)
    except FileNotFoundError:
        return Fault(f"{_shown(file)} is missing", _AGAIN)
    except OSError as error:
        return Fault(f"{_shown(file)} cannot be read: {error.strerror}", "See to its permissions.")
    except HeaderError as error:
        return Fault(f"{_shown(file)}: {error}", _AGAIN)
    return None


def _json(file: Path) -> dict[str, Any] | Fault:
    try:
        with file.open("rb") as handle:
            text = handle.read(MAX_JSON_BYTES + 1)
        said = json.loads(text) if len(text) <= MAX_JSON_BYTES else None
    except FileNotFoundError:
        return Fault(f"{_shown(file)} is missing", _AGAIN)
    except OSError as error:
        return Fault(f"{_shown(file)} cannot be read: {error.strerror}", "See to its permissions.")
    except (ValueError, RecursionError):
        return Fault(f"{_shown(file)} is no JSON", _AGAIN)
    if not isinstance(said, dict):
        return Fault(f"{_shown(file)} is no JSON object of a bearable size", _AGAIN)
    return said


def _shown(file: Path) -> str:
    return file.name if file.name == INDEX else f"{file.parent.name}/{file.name}"
