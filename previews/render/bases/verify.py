"""Checks a base without loading it; returns each fault with a hint."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lorary.anatomy import KIND_TITLES, family_title, inspect_file
from lorary.anatomy.base_models.checkpoint_identity import checkpoint_families
from lorary.safetensors import HeaderError, read_header
from previews.render.bases.bases_file import Base
from previews.render.bases.model_paths import (
    CONFIG,
    ENCODER_FILES,
    INDEX,
    SUFFIX,
    absence,
    folder_of,
    pipelines_known,
    quantizer_of,
)
from previews.render.families import family_of

#: Maximum size of a JSON file that is read; the index of a large model has a few hundred kilobytes.
MAX_JSON_BYTES = 16 * 1024 * 1024

#: Files that can run code when loaded; they are never opened.
PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")

#: Names of the weights files of diffusers and transformers.
STEMS = ("diffusion_pytorch_model", "model")

#: Suffixes of class names of components without weights.
WEIGHTLESS = (
    "Scheduler", "Tokenizer", "TokenizerFast", "TokenizersBackend", "Processor", "Extractor",
)  # fmt: skip

#: Pipelines of pictures, and those that make videos of the same parts with a motion adapter.
MOTION_PIPELINES = {
    "StableDiffusionPipeline": "AnimateDiffPipeline",
    "StableDiffusionXLPipeline": "AnimateDiffSDXLPipeline",
}

_CONVERT = "Convert them: load the pipeline and write it with save_pretrained."
_AGAIN = "Download it again."


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem of a base; the base can be used unless it is fatal."""

    message: str
    hint: str
    is_fatal: bool = True


def verify(base: Base) -> list[Fault]:
    """Check folder, index, pipeline and the headers of all weights files; read no weights."""
    return [*_base(base), *(_encoder(Path(base.encoder)) if base.encoder else ())]


def _base(base: Base) -> list[Fault]:
    why, hint = absence(base)
    if why:
        return [Fault(f"{base.location}: {why}", hint)]
    folder = folder_of(base)
    if folder is None:
        message = f"{base.location} is not downloaded yet"
        return [Fault(message, "It is downloaded when it is first opened.", is_fatal=False)]
    index = _json(folder / INDEX)
    if isinstance(index, Fault):
        return [index]
    about = [*_pipeline(base, index), *_quantization(base, index), *_motion(base)]
    if not base.is_single_file:
        return [*about, *_components(folder, index, base.variant)]
    components = _components(folder, index, base.variant, held_by_file(base, index))
    return [*about, *(_gguf(base) if base.is_gguf else _checkpoint(base)), *components]


def held_by_file(base: Base, index: Collection[str]) -> set[str]:
    """Return the components that a single file contains; the folder has the others.

    A checkpoint with a transformer, and every GGUF file, contains only the denoiser.
    """
    if "transformer" in index:
        return {"transformer"}
    return {"unet"} if base.is_gguf else set(index)


def pipelines_of(base: Base) -> tuple[str, ...]:
    """Return the classes of diffusers that can render a base; empty if any may.

    With ``output = "video"``, a base of a family of pictures is one with a motion adapter, or a
    folder of such a pipeline.
    """
    family = family_of(base.family)
    if base.output == family.medium:
        return family.pipelines
    wanted = family.pipelines or tuple(MOTION_PIPELINES)
    return tuple(MOTION_PIPELINES[name] for name in wanted if name in MOTION_PIPELINES)


def _motion(base: Base) -> Iterator[Fault]:
    """Check the folder of a motion adapter."""
    if not base.motion:
        return
    place = Path(base.motion)
    document = _json(place / CONFIG)
    if isinstance(document, Fault):
        yield document
    elif document.get("_class_name") != "MotionAdapter":
        yield Fault(
            f"{place}: it is a {str(document.get('_class_name'))[:80]}, not a MotionAdapter",
            "Correct “motion”.",
        )
    yield from _weights(place, "")


def _encoder(folder: Path) -> Iterator[Fault]:
    """Check the files of an encoder; without it the base renders, but nothing is measured."""
    if not folder.is_dir():
        message = f"encoder: no folder {folder}"
        yield Fault(message, "Correct “encoder”, or leave it out.", is_fatal=False)
        return
    for name in ENCODER_FILES:
        file = folder / name
        fault = _header(file) if name.endswith(SUFFIX) else next(_config(file), None)
        if fault is not None:
            yield Fault(f"encoder: {fault.message}", fault.hint, is_fatal=False)


def pickled(folder: Path) -> list[str]:
    """Return the components in a folder that have pickle files and no safetensors."""
    places = (place for place in folder.iterdir() if place.is_dir())
    return sorted(place.name for place in places if any(_pickles_alone(place)))


def _quantization(base: Base, index: dict[str, Any]) -> Iterator[Fault]:
    library = quantizer_of(base)
    if library and find_spec(library) is None:
        hint = f"Install it for the worker: pip install {library}"
        yield Fault(f"{library} is not installed, which this base needs", hint)
    for part in base.quantized_parts:
        if part not in index:
            yield Fault(f"the pipeline has no part “{part[:80]}”", "Correct “quantized_parts”.")


def _gguf(base: Base) -> Iterator[Fault]:
    """Check the first bytes of a GGUF file: its mark, version and number of tensors.

    Source: ggml ``docs/gguf.md``.
    """
    file = Path(base.location)
    with file.open("rb") as handle:
        head = handle.read(16)
    version, count = (int.from_bytes(part, "little") for part in (head[4:8], head[8:]))
    if head[:4] != b"GGUF" or len(head) < 16 or version not in {2, 3} or not count:
        yield Fault(f"{_shown(file)} is not a GGUF file of version 2 or 3 with tensors", _AGAIN)


def _checkpoint(base: Base) -> Iterator[Fault]:
    """Check that a single file is a base model of the right family."""
    file = Path(base.location)
    fault = _header(file)
    if fault is not None:
        yield fault
        return
    inspection = inspect_file(file)
    kind = inspection.anatomy.kind if inspection.anatomy else ""
    if inspection.header is None or kind not in {"checkpoint", "other"}:
        what = KIND_TITLES.get(kind, "damaged")
        yield Fault(f"{_shown(file)} is {what}, not a base model", "Correct “file”.")
        return
    lacking = checkpoint_families(inspection.header.tensors)
    if lacking and base.family not in lacking:
        titles = " or ".join(family_title(one) for one in list(lacking)[:4])
        yield Fault(
            f"{_shown(file)} is for {titles}, not for {family_title(base.family)}",
            "Correct “family” or “file”.",
        )
    elif not lacking or lacking[base.family] > min(lacking.values()):
        yield Fault(
            f"{_shown(file)}: its tensors do not prove that it is {family_title(base.family)}",
            "If it does not open, correct “family” or “file”.",
            is_fatal=False,
        )


def _pipeline(base: Base, index: dict[str, Any]) -> Iterator[Fault]:
    name, known = index.get("_class_name"), pipelines_known()
    if not isinstance(name, str):
        yield Fault(
            f"{INDEX} names no pipeline of diffusers",
            "Pipelines with their own code are not supported. Use one of diffusers.",
        )
        return
    if not known:
        yield Fault("diffusers is not installed", "Install requirements/worker.txt.")
    elif name not in known:
        yield Fault(
            f"the installed diffusers has no {name[:80]}", "Update diffusers, or use another base."
        )
        return
    wanted = pipelines_of(base)
    if base.motion:  # the folder has the pipeline of pictures
        wanted = tuple(name for name, moving in MOTION_PIPELINES.items() if moving in wanted)
    if wanted and name not in wanted:
        yield Fault(
            f"it is a {name[:80]}; {base.family} is rendered by {' or '.join(wanted)}",
            "Correct “family”, or use another folder.",
        )


def _components(
    folder: Path, index: dict[str, Any], variant: str, held: Collection[str] = ()
) -> Iterator[Fault]:
    """Check all components; those in ``held`` need no weights in the folder."""
    parts = {
        name: str(document[1])
        for name, document in index.items()
        if not name.startswith("_")
        and isinstance(document, list)
        and len(document) == 2
        and document[1]
    }
    if not parts:
        yield Fault(f"{INDEX} names no components", _AGAIN)
    for name, kind in parts.items():
        place = folder / name
        if Path(name).name != name or name in {"", ".", ".."}:
            yield Fault(f"{INDEX} names an invalid component {name[:80]!r}", _AGAIN)
        elif not place.is_dir():
            yield Fault(f"{name}: the folder is missing", _AGAIN)
        elif kind.endswith("Scheduler"):
            yield from _config(place / "scheduler_config.json")
        elif not kind.endswith(WEIGHTLESS):
            yield from _config(place / "config.json")
            yield from _pickles_alone(place) if name in held else _weights(place, variant)


def _config(file: Path) -> Iterator[Fault]:
    document = _json(file)
    if isinstance(document, Fault):
        yield document


def _weights(place: Path, variant: str) -> Iterator[Fault]:
    files = _weight_files(place, variant)
    if isinstance(files, Fault):
        yield files
    elif not files:
        nothing = Fault(f"{place.name}: no weights as safetensors", _AGAIN)
        yield next(_pickles_alone(place), nothing)
    else:
        yield from (fault for file in files if (fault := _header(file)))
        if pickles := _pickles(place):
            message = f"{place.name}: pickle files in the folder ({', '.join(pickles[:3])})"
            yield Fault(message, "They are not read and can be deleted.", is_fatal=False)


def _pickles(place: Path) -> list[str]:
    return sorted(file.name for file in place.iterdir() if file.suffix in PICKLES)


def _pickles_alone(place: Path) -> Iterator[Fault]:
    pickles = _pickles(place)
    if pickles and not any(place.glob("*.safetensors")):
        names = ", ".join(pickles[:3])
        yield Fault(f"{place.name}: only pickle files ({names}), which are never loaded", _CONVERT)


def _weight_files(place: Path, variant: str) -> list[Path] | Fault:
    """Return the weights files to open, those of the variant if there are any."""
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
    document = _json(index)
    if isinstance(document, Fault):
        return document
    names = document.get("weight_map")
    if not isinstance(names, dict) or not names:
        return Fault(f"{_shown(index)} has no “weight_map”", _AGAIN)
    shards = sorted({str(name) for name in names.values()})
    if any(Path(name).name != name or not name.endswith(".safetensors") for name in shards):
        return Fault(f"{_shown(index)} names files in other folders or of other types", _AGAIN)
    return [index.parent / name for name in shards]


def _header(file: Path) -> Fault | None:
    try:
        read_header(file)
    except FileNotFoundError:
        return Fault(f"{_shown(file)} is missing", _AGAIN)
    except OSError as error:
        return Fault(f"{_shown(file)} cannot be read: {error.strerror}", "Check its permissions.")
    except HeaderError as error:
        return Fault(f"{_shown(file)}: {error}", _AGAIN)
    return None


def _json(file: Path) -> dict[str, Any] | Fault:
    try:
        with file.open("rb") as handle:
            text = handle.read(MAX_JSON_BYTES + 1)
        document = json.loads(text) if len(text) <= MAX_JSON_BYTES else None
    except FileNotFoundError:
        return Fault(f"{_shown(file)} is missing", _AGAIN)
    except OSError as error:
        return Fault(f"{_shown(file)} cannot be read: {error.strerror}", "Check its permissions.")
    except (ValueError, RecursionError):
        return Fault(f"{_shown(file)} is not valid JSON", _AGAIN)
    if not isinstance(document, dict):
        return Fault(f"{_shown(file)} is too large or not a JSON object", _AGAIN)
    return document


def _shown(file: Path) -> str:
    return file.name if file.name == INDEX else f"{file.parent.name}/{file.name}"
