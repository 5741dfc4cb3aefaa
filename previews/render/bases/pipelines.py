"""Opens base models and keeps the most recently used ones."""

from __future__ import annotations

import gc
import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline, MotionAdapter
from diffusers.loaders.single_file_utils import SingleFileComponentError

from previews.render.adapters.base_modules import Table, table_of
from previews.render.adapters.beside import is_packed
from previews.render.bases.bases_file import Base, Bases
from previews.render.bases.libraries import LIBRARY_ERRORS, quiet
from previews.render.bases.model_paths import folder_of, installed, quantizer_of
from previews.render.bases.verify import MOTION_PIPELINES, held_by_file, pickled, pipelines_of
from previews.render.errors import BaseUnavailable
from previews.render.families import Family, family_of


@dataclass(slots=True)
class OpenBase:
    """A base in memory; ``batch`` and ``offload`` change if memory runs out."""

    base: Base
    family: Family
    pipeline: Any
    table: Table
    device: str
    batch: int
    offload: str
    schedulers: dict[str, Any]
    fingerprint: str

    def use_sampler(self, name: str) -> str:
        """Use a scheduler, "" for the base's own; return the name of its class.

        Raises:
            BaseUnavailable: no such scheduler in diffusers.
        """
        own = self.schedulers[""]
        if name not in self.schedulers:
            kind: Any = getattr(diffusers, name, None)
            if not (name.endswith("Scheduler") and hasattr(kind, "from_config")):
                msg = f"There is no sampler “{name}”."
                raise BaseUnavailable(msg)
            self.schedulers[name] = kind.from_config(own.config, **self.base.sampler_options)
        self.pipeline.scheduler = self.schedulers[name]
        return type(self.pipeline.scheduler).__name__


class BaseCache:
    """A least-recently-used cache of bases, opened on demand."""

    def __init__(self, bases: Bases, *, keep: int = 1) -> None:
        self.bases = bases
        self.keep = max(1, keep)
        self._opened: OrderedDict[str, OpenBase] = OrderedDict()

    def get(self, base_id: str) -> OpenBase:
        """Return an opened base.

        Raises:
            BaseUnavailable: it is unknown or missing, or cannot be opened.
        """
        if base_id not in self._opened:
            base = self.bases.get(base_id)
            while self._opened and not self._has_room(base):
                self._drop_oldest()
            self._opened[base_id] = _open(base)
        self._opened.move_to_end(base_id)
        return self._opened[base_id]

    def drop(self, base_id: str) -> None:
        """Close a base, for instance one whose weights cannot be restored."""
        if self._opened.pop(base_id, None) is not None:
            release_memory()

    def _has_room(self, base: Base) -> bool:
        if len(self._opened) >= self.keep:
            return False
        device = device_of(base)
        if not device.startswith("cuda"):
            return True
        release_memory, _ = torch.cuda.mem_get_info(device)
        return release_memory >= base.memory_gb * 1e9

    def _drop_oldest(self) -> None:
        self._opened.popitem(last=False)
        release_memory()


def device_of(base: Base) -> str:
    """Return the device for a base; ``auto`` selects the best one."""
    if base.device != "auto":
        return base.device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _open(base: Base) -> OpenBase:
    if not base.is_present:
        msg = f"The files of the base model “{base.id}” are not in {base.location}."
        raise BaseUnavailable(msg)
    device = device_of(base)
    try:
        with quiet():
            pipeline = (_from_file if base.is_single_file else _from_folder)(base, device)
            if base.motion:
                pipeline = _moving(pipeline, base, device)
            _move(pipeline, base, device)
            if base.compile:
                compile_denoisers(pipeline)
    except (*LIBRARY_ERRORS, SingleFileComponentError) as error:
        msg = f"The base model “{base.id}” cannot be opened: {error}"
        raise BaseUnavailable(msg) from error
    family = family_of(base.family)
    kind, wanted = type(pipeline).__name__, pipelines_of(base)
    if wanted and kind not in wanted:
        expected = " or ".join(wanted)
        msg = f"The base model “{base.id}” is a {kind}; {base.family} is rendered by {expected}."
        raise BaseUnavailable(msg)
    pipeline.set_progress_bar_config(disable=True)
    schedulers = {"": pipeline.scheduler}
    return OpenBase(
        base,
        family,
        pipeline,
        table_of(pipeline, family),
        device,
        base.batch,
        base.offload,
        schedulers,
        fingerprint(base, device),
    )


#: Components that are quantised and compiled, those of them that a pipeline has.
DENOISERS = ("unet", "transformer", "transformer_2")


def compile_denoisers(pipeline: Any) -> None:  # noqa: ANN401
    """Compile the denoisers in place, so that their modules keep names and weights.

    Weights that are changed in place need no new compilation. The first call of each number of
    pictures takes minutes.

    Raises:
        ValueError: one is quantised in its folder; compiled code does not see hooks added later,
            with which adapters are applied beside its layers.
    """
    for name in DENOISERS:
        if part := getattr(pipeline, name, None):
            if any(is_packed(weight) for weight in part.parameters()):
                msg = f"“compile” is for bases that are not quantised, and its {name} is"
                raise ValueError(msg)
            part.compile()


def _from_folder(base: Base, device: str) -> Any:  # noqa: ANN401
    opener: Any = DiffusionPipeline
    pipeline = opener.from_pretrained(
        base.location,
        dtype=_dtype(base, device),
        local_files_only=base.is_local or not base.download,
        use_safetensors=True,
        **{key: value for key in ("revision", "variant") if (value := getattr(base, key))},
        **({"quantization_config": _quantization(base, device)} if base.quantization else {}),
    )
    if absent := set(base.quantized_parts) - set(pipeline.components):
        msg = f"it has no part “{min(absent)}”; correct “quantized_parts”"
        raise ValueError(msg)
    return pipeline


def _quantization(base: Base, device: str) -> Any:  # noqa: ANN401
    """Return diffusers' configuration to quantise a pipeline while it is read.

    Raises:
        ImportError: the library for it is not installed.
    """
    _require(base)
    dtype, parts = _dtype(base, device), base.quantized_parts or DENOISERS
    mapping = {part: _config_of(base.quantization, part, dtype) for part in parts}
    library: Any = diffusers
    return library.PipelineQuantizationConfig(quant_mapping=mapping)


def _config_of(kind: str, part: str, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """Return the configuration of one part; text encoders are of transformers."""
    library: Any = transformers if part.startswith("text_encoder") else diffusers
    if kind == "bitsandbytes-8bit":
        return library.BitsAndBytesConfig(load_in_8bit=True)
    if kind == "bitsandbytes-4bit":
        return library.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    quantization = import_module("torchao.quantization")  # optional
    name = {"torchao-int8": "Int8", "torchao-float8": "Float8"}[kind]
    return library.TorchAoConfig(getattr(quantization, f"{name}WeightOnlyConfig")())


def _require(base: Base) -> None:
    library = quantizer_of(base)
    if find_spec(library) is None:
        msg = f"{library} is not installed. Run: pip install {library}"
        raise ImportError(msg)


def _from_file(base: Base, device: str) -> Any:  # noqa: ANN401
    """Open a single file with the configuration of its folder.

    Checkpoints with a UNet contain the whole pipeline. Those with a transformer usually contain
    only that, and GGUF files contain a denoiser; the rest is read from the folder.
    """
    if parts := pickled(Path(base.config)):
        msg = f"{', '.join(parts)} in {base.config}: only pickle files, which are never loaded"
        raise ValueError(msg)
    opener: Any = DiffusionPipeline
    index = opener.load_config(base.config, local_files_only=True)
    options = {"dtype": _dtype(base, device), "local_files_only": True}
    held = held_by_file(base, index)
    if len(held) > 1:
        kind: Any = getattr(diffusers, index["_class_name"])
        return kind.from_single_file(base.location, config=base.config, **options)
    more: dict[str, Any] = {}
    if base.is_gguf:
        _require(base)
        library: Any = diffusers
        more["quantization_config"] = library.GGUFQuantizationConfig(compute_dtype=options["dtype"])
    [name] = held
    part: Any = getattr(diffusers, index[name][1])
    denoiser = part.from_single_file(
        base.location, config=base.config, subfolder=name, **options, **more
    )
    return opener.from_pretrained(base.config, **{name: denoiser}, use_safetensors=True, **options)


def _moving(pipeline: Any, base: Base, device: str) -> Any:  # noqa: ANN401
    """Return a pipeline for videos, with the parts of one for pictures and a motion adapter."""
    name = MOTION_PIPELINES.get(type(pipeline).__name__)
    if name is None:
        msg = f"a {type(pipeline).__name__} cannot be used with a motion adapter"
        raise ValueError(msg)
    dtype = _dtype(base, device)
    opener: Any = MotionAdapter
    adapter = opener.from_pretrained(
        base.motion, torch_dtype=dtype, local_files_only=True, use_safetensors=True
    )
    kind: Any = getattr(diffusers, name)
    return kind.from_pipe(pipeline, motion_adapter=adapter, torch_dtype=dtype)


def _dtype(base: Base, device: str) -> torch.dtype:
    if device == "cpu" and base.dtype == "float16":
        return torch.float32  # slow on a CPU, and some layers do not support it
    kinds = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    return kinds[base.dtype]


def _move(pipeline: Any, base: Base, device: str) -> None:  # noqa: ANN401
    """Move a pipeline to its device, and set offloading and memory options."""
    if device != "cpu" and base.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif device != "cpu" and base.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)
    vae: Any = getattr(pipeline, "vae", None)
    if device != "cpu" and base.vae_slicing and hasattr(vae, "enable_slicing"):
        vae.enable_slicing()
    if base.vae_tiling and hasattr(vae, "enable_tiling"):
        vae.enable_tiling()
    if device == "cpu":  # faster on a CPU
        for part in (getattr(pipeline, name, None) for name in ("unet", "vae")):
            if part is not None and all(weight.ndim <= 4 for weight in part.parameters()):
                part.to(memory_format=torch.channels_last)


#: Bytes read at each end of a large file; reading 30 GB would take a minute.
END_BYTES = 256 * 1024


def fingerprint(base: Base, device: str) -> str:
    """Return 64 hex digits that change with the files, settings and libraries of a base.

    The index of the device does not matter: ``cuda:1`` gives the same pictures as ``cuda:0``.
    """
    settings = {
        "dtype": base.dtype,
        "device": device.partition(":")[0],
        "call": dict(base.call),
        "sampler_options": dict(base.sampler_options),
        "vae_tiling": base.vae_tiling,
        "libraries": installed(),
    }
    if base.motion:
        settings["output"] = base.output
    # Not for other bases, whose stored controls stay valid.
    if library := quantizer_of(base):
        kind = [library, version(library), base.quantization, *base.quantized_parts]
        settings["quantization"] = kind
    if base.compile:
        settings["compile"] = True
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, path in _files_of(base):
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        digest.update(_ends(path))
    return digest.hexdigest()


def _files_of(base: Base) -> Iterator[tuple[str, Path]]:
    """Yield name and path of a base's files, sorted."""
    if base.is_single_file:
        yield "checkpoint", Path(base.location)
    folder = folder_of(base)
    if folder is not None:
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".json", ".safetensors", ".txt", ".model"} and path.is_file():
                yield path.relative_to(folder).as_posix(), path
    if base.motion:
        for path in sorted(Path(base.motion).glob("*")):
            if path.suffix in {".json", ".safetensors"}:
                yield f"motion/{path.name}", path


def _ends(path: Path) -> bytes:
    with path.open("rb") as handle:
        start = handle.read(END_BYTES)
        handle.seek(max(len(start), path.stat().st_size - END_BYTES))
        return start + handle.read(END_BYTES)


_WORDS = ("out of memory", "not enough memory", "can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that memory ran out."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        word in str(error).casefold() for word in _WORDS
    )


def has_room(device: torch.device, size_bytes: int) -> bool:
    """Return whether a graphics card has room for this and as much again for rendering."""
    if device.type != "cuda":
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_bytes + reserved >= 2 * size_bytes


def reduce_memory(opened: OpenBase, size: int) -> bool:
    """Reduce the memory of a base's next call, after one for ``size`` pictures failed.

    First halve the batch, then use VAE tiling, then offload to main memory. This lasts while the
    base is open. Return whether there was anything left to reduce.
    """
    release_memory()
    pipeline: Any = opened.pipeline
    vae: Any = getattr(pipeline, "vae", None)
    if size > 1:
        opened.batch = size // 2
    elif hasattr(vae, "enable_tiling") and not getattr(vae, "use_tiling", True):
        vae.enable_tiling()
    elif _can_offload(opened):
        pipeline.enable_model_cpu_offload(device=opened.device)
        opened.offload = "model"
    else:
        return False
    return True


def _can_offload(opened: OpenBase) -> bool:
    return (
        opened.device != "cpu"
        and opened.offload == "none"
        and hasattr(opened.pipeline, "enable_model_cpu_offload")
        and find_spec("accelerate") is not None
    )


def release_memory() -> None:
    """Return unused memory to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
