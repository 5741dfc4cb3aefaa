"""Names of tensors in adapter files: which module they belong to, and which part of its update.

```
lora_unet_down_blocks_0_…_to_q.lora_down.weight          kohya: module path flattened with “_”
lora_unet_down_blocks_0_…_to_q.lokr_w1                   LyCORIS
unet.down_blocks.0.….to_q.lora_A.weight                  diffusers, PEFT
unet.down_blocks.0.….to_q.lora.down.weight               diffusers' training scripts
unet.….attn1.processor.to_q_lora.down.weight             diffusers before PEFT
base_model.model.….to_q.lora_A.default.weight            PEFT
└────────────── module ──────────────┘└── part ─┘
```

``base_modules.py`` looks up the module among those of the loaded base. Parts have the names that
the libraries use; the halves of a low-rank pair have many names and are called ``down`` and ``up``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass

from previews.render.errors import CannotRender, Why

#: Some tools put PEFT's adapter name after the parameter's name.
_NAMED = r"(?:\.[^.]+)?"
_PARTS = tuple(
    (re.compile(rf"\.(?:{pattern})\Z"), part)
    for pattern, part in (
        (r"(?:lora_down|lora\.down|lora_linear_layer\.down)\.weight", "down"),
        (r"(?:lora_up|lora\.up|lora_linear_layer\.up)\.weight", "up"),
        (rf"lora_A{_NAMED}\.weight", "down"),
        (rf"lora_B{_NAMED}\.weight", "up"),
        (rf"lora_B{_NAMED}\.bias", "up_bias"),
        (r"lora_mid\.weight", "mid"),
        (r"alpha", "alpha"),
        (r"dora_scale", "dora_scale"),
        (rf"lora_magnitude_vector{_NAMED}", "magnitude"),
        (r"diff", "diff"),
        (r"diff_b", "diff_b"),
        (r"w_norm", "w_norm"),
        (r"b_norm", "b_norm"),
        (r"oft_blocks", "oft_blocks"),
        (r"rescale", "rescale"),
        (rf"oft_R{_NAMED}\.weight", "oft_R"),
        (r"on_input", "on_input"),
        *((rf"{part}{_NAMED}", part) for part in ("boft_R", "boft_s", "ia3_l")),
        *((rf"{part}\.weight", part) for part in ("a1", "a2", "b1", "b2")),
        *((rf"hada_{end}{_NAMED}", f"hada_{end}") for end in
          ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")),
        *((rf"lokr_{end}{_NAMED}", f"lokr_{end}") for end in
          ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")),
    )
)  # fmt: skip
_OLD = re.compile(r"\.processor\.(to_q|to_k|to_v|to_out)_lora\.(down|up)\.weight\Z")
_FOREIGN = (
    ("an OFT of LyCORIS before 2.0", re.compile(r"\.oft_(diag|r)\Z")),
    ("T-LoRA", re.compile(r"\.([qp]_layer\.weight|lambda_layer)\Z")),
    ("GLoRA of PEFT", re.compile(r"\.glora_[A-E]\.")),
    ("GLoRA with a core", re.compile(r"\.bm\.weight\Z")),
    ("LoKr with a core in its first half", re.compile(r"\.lokr_t1\Z")),
    ("AdaLoRA", re.compile(r"\.lora_E(\.\w+)?\Z")),
    ("LoRA of embeddings", re.compile(r"\.lora_embedding_[AB]")),
    ("differences of modulations", re.compile(r"\.diff_m\Z")),
    ("VeRA", re.compile(r"\.vera_\w+")),
)

_DORA = frozenset({"dora_scale"})
_ALPHA = frozenset({"alpha"})


@dataclass(frozen=True, slots=True)
class Form:
    """The required and the optional parts of a module by one method."""

    algorithm: str
    needs: frozenset[str]
    may: frozenset[str]

    def is_whole(self, parts: Set[str]) -> bool:
        """Return whether these parts are complete."""
        return self.needs <= parts and self.is_begun(parts)

    def is_begun(self, parts: Set[str]) -> bool:
        """Return whether all parts belong to this form; some may be missing."""
        return parts <= self.needs | self.may


def _form(algorithm: str, needs: str, may: frozenset[str] = frozenset()) -> Form:
    return Form(algorithm, frozenset(needs.split()), may)


_FORMS = (
    _form(
        "lora",
        "down up",
        _ALPHA | _DORA | {"mid", "magnitude", "up_bias", "diff_b"},
    ),
    _form("loha", "hada_w1_a hada_w1_b hada_w2_a hada_w2_b", _ALPHA | _DORA),
    _form(
        "loha",
        "hada_w1_a hada_w1_b hada_w2_a hada_w2_b hada_t1 hada_t2",
        _ALPHA | _DORA,
    ),
    *(
        _form("lokr", f"{first} {second}", _ALPHA | _DORA)
        for first in ("lokr_w1", "lokr_w1_a lokr_w1_b")
        for second in ("lokr_w2", "lokr_w2_a lokr_w2_b", "lokr_w2_a lokr_w2_b lokr_t2")
    ),
    _form("oft", "oft_blocks", _ALPHA | {"rescale"}),
    _form("peft_oft", "oft_R"),
    _form("peft_boft", "boft_R boft_s"),
    _form("ia3", "vector on_input"),
    _form("peft_ia3", "ia3_l"),
    _form("glora", "a1 a2 b1 b2", _ALPHA),
    _form("full", "diff", frozenset({"diff_b"})),
    _form("full", "diff_b"),
    _form("norm", "w_norm", frozenset({"b_norm"})),
    _form("norm", "b_norm"),
)


@dataclass(frozen=True, slots=True)
class Key:
    """A tensor's name, split into module and part."""

    name: str
    module: str
    part: str


@dataclass(frozen=True, slots=True)
class Module:
    """A module in a file: its method, and the tensor's name for each part."""

    algorithm: str
    parts: dict[str, str]


def split(name: str) -> Key:
    """Split a tensor's name.

    Raises:
        CannotRender: ``algorithm`` for methods that are not supported, ``keys`` for unknown names.
    """
    old = _OLD.search(name)
    if old:
        module = f"{name[: old.start()]}.{old[1]}" + (".0" if old[1] == "to_out" else "")
        return Key(name, module, "down" if old[2] == "down" else "up")
    for pattern, part in _PARTS:
        found = pattern.search(name)
        if found:
            return Key(name, name[: found.start()], part)
    for algorithm, pattern in _FOREIGN:
        if pattern.search(name):
            msg = f"This file uses {algorithm}, which the renderer does not support."
            raise CannotRender(Why.ALGORITHM, msg)
    msg = f"This file has a tensor that is not part of a LoRA: {name[:120]}"
    raise CannotRender(Why.KEYS, msg)


def group(names: Iterable[str]) -> dict[str, Module]:
    """Return the modules in a file by name, in the order of the names.

    Raises:
        CannotRender: unknown names, incomplete modules, or duplicates.
    """
    modules: dict[str, dict[str, str]] = {}
    for key in _keys(list(names)):
        parts = modules.setdefault(key.module, {})
        if key.part in parts:
            msg = f"This file contains a module twice: {key.module[:120]}"
            raise CannotRender(Why.KEYS, msg)
        parts[key.part] = key.name
    if not modules:
        raise CannotRender(Why.EMPTY, "This file contains no LoRA modules.")
    return {name: Module(_algorithm(name, parts), parts) for name, parts in modules.items()}


def _keys(names: list[str]) -> Iterable[Key]:
    """Split names; “.weight” is a part only in modules with LyCORIS' marker for (IA)³."""
    marked = {name.removesuffix(".on_input") for name in names if name.endswith(".on_input")}
    for name in names:
        module = name.removesuffix(".weight")
        yield Key(name, module, "vector") if name != module and module in marked else split(name)


def _algorithm(name: str, parts: dict[str, str]) -> str:
    for form in _FORMS:
        if form.is_whole(parts.keys()):
            return form.algorithm
    if any(form.is_begun(parts.keys()) for form in _FORMS):
        msg = f"Half of a module is missing from this file: {name[:120]}"
        raise CannotRender(Why.INCOMPLETE, msg)
    msg = f"This file changes a module with two methods: {name[:120]}"
    raise CannotRender(Why.KEYS, msg)
