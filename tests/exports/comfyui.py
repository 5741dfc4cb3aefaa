"""Stand-ins for what the node pack calls in ComfyUI, and the pack as ComfyUI imports it."""

from __future__ import annotations

import copy
import importlib.util
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiohttp import web
from safetensors.torch import load_file

from tests.running import ROOT

if TYPE_CHECKING:
    import pytest

PACK = ROOT / "integrations" / "comfyui"


@dataclass
class Patcher:
    """A model with the changes that wait for it: key to strengths and tensors."""

    prefixes: tuple[str, ...]
    patches: dict[str, list[tuple[float, Any]]] = field(default_factory=dict)

    def with_patches(self, tensors: dict[str, Any], strength: float) -> Patcher:
        """Return a copy with those tensors that belong to it."""
        changed = copy.deepcopy(self)
        for name, tensor in tensors.items():
            if name.startswith(self.prefixes):
                changed.patches.setdefault(name, []).append((strength, tensor))
        return changed

    @property
    def strengths(self) -> list[float]:
        """The strengths of the changes of one weight, in order."""
        return [strength for strength, _tensor in next(iter(self.patches.values()), [])]


@dataclass
class Comfy:
    """ComfyUI as far as the pack uses it."""

    pack: Any = None
    server: Any = None
    read: list[str] = field(default_factory=list)
    shown: list[tuple[int, int]] = field(default_factory=list)
    is_cancelled: bool = False

    def load_torch_file(self, path: str, *, safe_load: bool) -> dict[str, Any]:
        assert safe_load
        self.read.append(path)
        return dict(load_file(path))

    def load_lora_for_models(
        self, model: Patcher, clip: Any, lora: dict[str, Any], strength: float, strength_clip: float
    ) -> tuple[Patcher, Any]:
        if clip is not None:
            clip = SimpleNamespace(patcher=clip.patcher.with_patches(lora, strength_clip))
        return model.with_patches(lora, strength), clip

    def throw_exception_if_processing_interrupted(self) -> None:
        if self.is_cancelled:
            raise InterruptedError

    def progress_bar(self, total: int) -> Any:
        assert total
        return SimpleNamespace(update_absolute=lambda done, of: self.shown.append((done, of)))


def imported(monkeypatch: pytest.MonkeyPatch) -> Comfy:
    """Return ComfyUI with the pack, which has the path of its folder as its name there."""
    comfy = Comfy()
    routes = web.RouteTableDef()
    comfy.server = SimpleNamespace(routes=routes)
    modules: dict[str, dict[str, Any]] = {
        "comfy": {},
        "comfy.sd": {"load_lora_for_models": comfy.load_lora_for_models},
        "comfy.utils": {
            "load_torch_file": comfy.load_torch_file, "ProgressBar": comfy.progress_bar,
        },
        "comfy.model_management": {
            "throw_exception_if_processing_interrupted":
                comfy.throw_exception_if_processing_interrupted,
        },
        "server": {"PromptServer": SimpleNamespace(instance=comfy.server)},
    }  # fmt: skip
    for name, values in modules.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
        parent, dot, last = name.rpartition(".")
        if dot:
            setattr(sys.modules[parent], last, module)
    name = str(PACK).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    comfy.pack = importlib.util.module_from_spec(spec)
    for known in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, name, comfy.pack)
    spec.loader.exec_module(comfy.pack)
    return comfy
