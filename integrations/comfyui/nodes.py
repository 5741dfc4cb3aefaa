"""The nodes. Files stay in the cache of `lorary`, so each is on the disk once for all tools.

The hub and the token are those of ``lorary login`` or of the environment: a workflow cannot name
another hub.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sd
import comfy.utils

from lorary.anatomy import family_title
from lorary.client import Hub, LoraryError, Progress, Pulled, Reference
from lorary.client.errors import Invalid, NotFound
from lorary.client.packs import PREFIX
from lorary.exports.comfyui import literal
from lorary.integrations.packs import pull_look, tell_yanked

#: Model and text encoder of a workflow; the latter is None if the node has none.
Patched = tuple[Any, Any]

#: Versions that never move, so that the hub need not be asked before each run.
_FIXED = re.compile(r"v[0-9]{1,9}|[0-9a-f]{40}")
_STRENGTH = {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01}
_NAME = {"default": "", "tooltip": "owner/name. Press Search to choose one."}
_VERSION: dict[str, Any] = {
    "default": "",
    "tooltip": "v3, an alias or a revision. Empty: the latest, which needs the hub.",
}
_CLIP: dict[str, Any] = {"tooltip": "The text encoder, if the LoRA changes it."}


class LoadLora:
    """Applies an adapter of the hub to a model."""

    CATEGORY = "loaders/lorary"
    DESCRIPTION = "Downloads a LoRA from your hub on first use, and applies it."
    FUNCTION = "load"
    RETURN_TYPES = ("MODEL", "CLIP", "STRING")
    RETURN_NAMES = ("model", "clip", "trigger words")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Return the inputs."""
        file = {"default": "", "tooltip": "One of several files, such as high_noise."}
        return {
            "required": {
                "model": ("MODEL",),
                "adapter": ("STRING", _NAME),
                "version": ("STRING", _VERSION),
                "strength_model": ("FLOAT", _STRENGTH),
                "strength_clip": ("FLOAT", _STRENGTH),
            },
            "optional": {"clip": ("CLIP", _CLIP), "file": ("STRING", file)},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, adapter: str | None) -> bool | str:  # noqa: N802 - ComfyUI's name
        """Return why ComfyUI must not run the workflow; True if it may."""
        return _fault(adapter, "owner/name of an adapter")

    @classmethod
    def IS_CHANGED(  # noqa: N802 - ComfyUI's name
        cls, adapter: str | None, version: str | None, **_others: object
    ) -> str | float:
        """Return the revision, so that the node runs again when a name means another one."""
        return _revision(adapter, version)

    def load(  # noqa: PLR0913, PLR0917 - the inputs of the node
        self,
        model: Any,  # noqa: ANN401 - ComfyUI's
        adapter: str,
        version: str,
        strength_model: float,
        strength_clip: float,
        clip: Any = None,  # noqa: ANN401 - ComfyUI's
        file: str = "",
    ) -> tuple[Any, Any, str]:
        """Return model and text encoder with the adapter, and its trigger words."""
        with Hub() as hub:
            pulled = hub.pull(_reference(adapter, version), on_progress=_Download())
        found = pulled.version
        tell_yanked(f"{pulled.adapter} {found.name}", found.state, found.reason)
        if strength_model or strength_clip:
            what = f"{pulled.adapter} {found.name} is for {family_title(found.family)}"
            strengths = (strength_model, strength_clip)
            model, clip = _applied((model, clip), _weights(pulled, file), strengths, what)
        return model, clip, ", ".join(found.trigger_words)


class LoadPack:
    """Applies the adapters of a pack to a model, in order, and writes a subject in its template."""

    CATEGORY = "loaders/lorary"
    DESCRIPTION = "Downloads a pack from your hub on first use, and applies its adapters in order."
    FUNCTION = "load"
    RETURN_TYPES = ("MODEL", "CLIP", "STRING", "STRING")
    RETURN_NAMES = ("model", "clip", "prompt", "negative")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Return the inputs."""
        variant = {"default": "", "tooltip": "May be empty if the pack has only one."}
        subject = {"default": "", "multiline": True, "tooltip": "What the picture shows."}
        return {
            "required": {
                "model": ("MODEL",),
                "pack": ("STRING", _NAME),
                "version": ("STRING", _VERSION),
                "variant": ("STRING", variant),
                "subject": ("STRING", subject),
            },
            "optional": {"clip": ("CLIP", _CLIP)},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, pack: str | None) -> bool | str:  # noqa: N802 - ComfyUI's name
        """Return why ComfyUI must not run the workflow; True if it may."""
        return _fault(pack, "owner/name of a pack")

    @classmethod
    def IS_CHANGED(  # noqa: N802 - ComfyUI's name
        cls, pack: str | None, version: str | None, **_others: object
    ) -> str | float:
        """Return the version, so that the node runs again when a name means another one."""
        name = None if pack is None else f"{PREFIX}{pack.strip().removeprefix(PREFIX)}"
        return _revision(name, version)

    def load(
        self,
        model: Any,  # noqa: ANN401 - ComfyUI's
        pack: str,
        version: str,
        variant: str,
        subject: str,
        clip: Any = None,  # noqa: ANN401 - ComfyUI's
    ) -> tuple[Any, Any, str, str]:
        """Return model and text encoder with all adapters, the prompt and the negative prompt.

        The template is taken literally, while the subject may weigh words with parentheses.
        """
        with Hub() as hub:
            look, files = pull_look(
                hub, _reference(pack, version), variant.strip(), on_progress=_Download()
            )
        for part, path in zip(look.parts, files, strict=True):
            what = (
                f"{part.adapter} {part.version} of {look.pack} is for {family_title(look.family)}"
            )
            model, clip = _applied((model, clip), path, (part.strength, part.strength), what)
        before, after = (literal(look.family, text) for text in look.around)
        return model, clip, f"{before}{subject}{after}", literal(look.family, look.negative)


class _Download:
    """Shows a download on the node, and ends it when the user presses Cancel."""

    def __init__(self) -> None:
        self._bar = comfy.utils.ProgressBar(1)

    def __call__(self, progress: Progress) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        if progress.total:
            self._bar.update_absolute(progress.done, progress.total)


def _reference(name: str, version: str) -> str:
    """Return ``owner/name@version`` from two inputs."""
    name, version = name.strip(), version.strip()
    return f"{name}@{version}" if version else name


def _fault(name: str | None, what: str) -> bool | str:
    """Return what is wrong with a name; True if nothing is, or if it comes from another node."""
    if name is None:
        return True
    if not name.strip():
        return f"Press Search, or write the {what}."
    try:
        Reference.parse(name.strip().removeprefix(PREFIX))
    except LoraryError as error:
        return error.detail
    return True


def _revision(name: str | None, version: str | None) -> str | float:
    """Return what a name means now; empty if it cannot be known.

    What comes from another node is None here. It may be anything, so NaN, which equals nothing,
    has the node run again.
    """
    if version is not None and _FIXED.fullmatch(version.strip()):
        return version
    if name is None or version is None:
        return math.nan
    try:
        with Hub() as hub:
            if name.startswith(PREFIX):
                return hub.pack_version(_reference(name, version)).manifest_sha256
            return hub.version(_reference(name, version)).revision
    except LoraryError:  # the node says it
        return ""


def _weights(pulled: Pulled, file: str) -> Path:
    """Return the weights of a version: the primary file, or the one of a name or variant."""
    wanted = file.strip()
    weights = [one for one in pulled.files if one.file.is_weights]
    if not wanted and pulled.path.is_file():
        return pulled.path
    for one in weights:
        if wanted in {one.file.variant, one.file.path} - {""}:
            return one.local_path
    names = ", ".join(one.file.variant or one.file.path for one in weights)
    if wanted:
        msg = f"{pulled.adapter} {pulled.version.name} has no file “{wanted}”. It has {names}."
        raise NotFound(msg)
    msg = f"{pulled.adapter} {pulled.version.name} has several files. Write one in “file”: {names}."
    raise Invalid(msg)


def _applied(patched: Patched, path: Path, strengths: tuple[float, float], what: str) -> Patched:
    """Return model and text encoder with a file applied to both.

    Raises:
        Invalid: nothing in the file belongs to them, which ComfyUI only logs.
    """
    tensors = comfy.utils.load_torch_file(str(path), safe_load=True)
    found: Patched = comfy.sd.load_lora_for_models(*patched, tensors, *strengths)
    if _patches(found) == _patches(patched):
        msg = f"{what}, but nothing in it belongs to the model of this workflow."
        raise Invalid(msg)
    return found


def _patches(patched: Patched) -> int:
    """Return how many changes are waiting to be applied to the weights."""
    model, clip = patched
    patchers = [one for one in (model, getattr(clip, "patcher", None)) if one is not None]
    return sum(len(changes) for one in patchers for changes in one.patches.values())
