"""Endings of tensor names: what a tensor does in its module, and which method that shows.

Sources: LyCORIS and kohya's networks for the flat names, diffusers' old attention processors, and
PEFT, whose every tuner marks its tensors with a prefix of its own (`vera_`, `hra_`, …).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SUFFIXES", "Role", "make_role", "split_unusual"]


@dataclass(frozen=True, slots=True, eq=False)
class Role:
    """What one tensor does in its module.

    Compared by identity: there is one object per suffix, and hashing it is on the hot path.

    Attributes:
        name: Role in the module: `down`, `up`, `alpha`, `magnitude`, or the algorithm's own name.
        algorithm: Algorithm that the tensor shows, None for roles that several share.
        dialect: How the suffix is written: `kohya`, `peft`, `peft-named` (the adapter's name is
            left in), `peft-only` (a method that only PEFT has), `down-up`, `attn-processor`,
            `xlabs` or `lycoris`; None where it tells nothing.
    """

    name: str
    algorithm: str | None
    dialect: str | None


@lru_cache(maxsize=1024)
def make_role(name: str, algorithm: str | None, dialect: str | None) -> Role:
    """The one object for a role that stands in no table."""
    return Role(name, algorithm, dialect)


_ROWS: tuple[tuple[str, str, str | None, str | None], ...] = (
    (".lora_down.weight", "down", "lora", "kohya"),
    (".lora_up.weight", "up", "lora", "kohya"),
    (".lora_mid.weight", "mid", "lora", "kohya"),
    (".lora_A.weight", "down", "lora", "peft"),
    (".lora_B.weight", "up", "lora", "peft"),
    (".lora_A", "down", "lora", "peft"),
    (".lora_B", "up", "lora", "peft"),
    (".lora_B.bias", "up_bias", "lora", "peft"),
    (".lora_embedding_A", "embedding_down", "lora", "peft"),
    (".lora_embedding_B", "embedding_up", "lora", "peft"),
    (".lora_magnitude_vector", "magnitude", "dora", "peft"),
    (".lora_magnitude_vector.weight", "magnitude", "dora", "peft"),
    (".dora_scale", "magnitude", "dora", "lycoris"),
    (".lora_E", "singular", "adalora", "peft-only"),
    (".alpha", "alpha", None, None),
    (".on_input", "on_input", "ia3", "lycoris"),
    (".ia3_l", "ia3_l", "ia3", "peft-only"),
    (".oft_blocks", "oft_blocks", "oft", "lycoris"),
    (".oft_diag", "oft_diag", "oft", "lycoris"),
    (".oft_R.weight", "oft_r", "oft", "peft-only"),
    (".oft_R", "oft_r", "oft", "peft-only"),
    (".oft_r", "oft_r", "oft", "peft-only"),
    (".boft_R", "boft_r", "boft", "peft-only"),
    (".boft_s", "boft_s", "boft", "peft-only"),
    (".rescale", "rescale", None, "lycoris"),
    (".scalar", "scalar", None, "lycoris"),
    (".diff", "diff", "full", "lycoris"),
    (".diff_b", "diff_b", "bias", "lycoris"),
    (".diff_m", "diff_m", "modulation", "lycoris"),
    (".w_norm", "w_norm", "norm", "lycoris"),
    (".b_norm", "b_norm", "norm", "lycoris"),
    (".set_weight", "set_weight", "bfl-control", None),
    (".reshape_weight", "reshape_weight", "bfl-control", None),
    (".ln_tuning_layers.weight", "ln_weight", "ln_tuning", "peft-only"),
    (".ln_tuning_layers.bias", "ln_bias", "ln_tuning", "peft-only"),
    (".trainable_tokens_delta", "tokens", "trainable_tokens", "peft-only"),
    (".token_adapter.trainable_tokens_delta", "tokens", "trainable_tokens", "peft-only"),
    (".adaption_prompt", "prompt", "adaption_prompt", "peft-only"),
    (".adaption_gate", "gate", "adaption_prompt", "peft-only"),
    ("prompt_embeddings", "prompt", "prompt_tuning", "peft-only"),
    ("prefix_task_cols", "task_cols", "multitask_prompt_tuning", "peft-only"),
    ("prefix_task_rows", "task_rows", "multitask_prompt_tuning", "peft-only"),
)
_LOHA = ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")
_LOKR = ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t1", "t2")
_GLORA = ("a1", "a2", "b1", "b2")
_TLORA = {".q_layer.weight": "tlora_q", ".p_layer.weight": "tlora_p", ".lambda_layer": "tlora_s"}


def _suffixes() -> dict[str, Role]:
    table = {suffix: Role(name, algorithm, dialect) for suffix, name, algorithm, dialect in _ROWS}
    table.update({f".hada_{p}": Role(f"hada_{p}", "loha", "lycoris") for p in _LOHA})
    table.update({f".lokr_{p}": Role(f"lokr_{p}", "lokr", "lycoris") for p in _LOKR})
    table.update({f".{p}.weight": Role(f"glora_{p}", "glora", "lycoris") for p in _GLORA})
    table.update({suffix: Role(name, "tlora", "lycoris") for suffix, name in _TLORA.items()})
    return table


SUFFIXES: Mapping[str, Role] = MappingProxyType(_suffixes())
"""Suffix to role, for suffixes that stand in the key as they are."""

# The adapter's name may be left in the key and can be any word.
_NAMED = re.compile(
    r"\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_E|lora_magnitude_vector)"
    r"\.([^.]{1,512})(?:\.(weight|bias))?$"
)
# down/up pairs whose marker belongs to the component before: `to_q_lora`, `lora`, `qkv_lora1`.
_DOWN_UP = re.compile(r"(?:\.|_)(lora|lora_linear_layer|lora1|lora2)\.(down|up)\.weight$")
# PEFT methods whose tensors carry the method's name: `.poly_lora_A`, `.osf_svd_params.S_low`.
_METHODS = (
    "adamss|beft|bone|c3a|deft|delora|fourierft|frod|glora|gralora|hira|hra|lily|miss|osf|peanut"
    "|poly|psoft|pvera|randlora|road|shadow|shira|supertuning|tinylora|unilora|vblora|vera|waveft"
)
_METHOD = re.compile(rf"\.(({_METHODS})_[A-Za-z]\w{{0,64}})((?:\.\w{{1,64}}){{0,3}})$")
_SAME_METHOD = {"bone": "miss"}
# Ends that name one of several tensors of a method; any other word is the adapter's name.
_PARTS = frozenset(
    {"X", "Xd", "Xu", "zeros", "S_low", "U_low", "V_low", "vector_a", "vector_b", "module_logits"}
)
_CLASSIFIER = re.compile(r"(?:base_model\.)?(?:model\.)?(?:internal_)?xlora_classifier\.(.+)")
_XLABS = re.compile(r"\.processor\.(qkv|proj)$")
# Lists of LoRA modules whose tensors have lost their suffix.
_UNNAMED = re.compile(r"lora_(?:unet|te\d?|transformer|prior_unet|prior_te)_\w+")
_UNNAMED_ROLE = Role("unnamed", "lora", "kohya")
# One projection of XLabs' single blocks: it adapts a part of a fused module's rows or columns.
_XLABS_SINGLE = {
    ("qkv", "down"): ("linear1", "down"),
    ("qkv", "up"): ("linear1", "part_up"),
    ("proj", "down"): ("linear2", "part_down"),
    ("proj", "up"): ("linear2", "up"),
}


def split_unusual(key: str) -> tuple[str, Role] | None:
    """Split a name that ends in no fixed suffix; the same answer as `split_key`."""
    if "." not in key:
        return (key, _UNNAMED_ROLE) if _UNNAMED.fullmatch(key) else None
    found = _DOWN_UP.search(key)
    if found:
        return _split_down_up(key[: found.start()], found[1], found[2])
    found = _NAMED.search(key)
    if found:
        return _split_named(key, found)
    found = _METHOD.search(key)
    if found:
        return _split_method(key, found)
    found = _CLASSIFIER.fullmatch(key)
    if found:
        return "xlora_classifier", make_role(f"classifier.{found[1]}", "xlora", "peft-only")
    return None


def _split_named(key: str, found: re.Match[str]) -> tuple[str, Role] | None:
    suffix = f".{found[1]}.{found[3]}" if found[3] else f".{found[1]}"
    role = SUFFIXES.get(suffix) or SUFFIXES.get(f".{found[1]}")
    if role is None or (found[3] == "bias" and role.name != "up_bias"):
        return None
    return key[: found.start()], make_role(role.name, role.algorithm, "peft-named")


def _split_method(key: str, found: re.Match[str]) -> tuple[str, Role]:
    module, name, tail = key[: found.start()], found[1], found[3]
    if module == "base_model":  # shared by all modules; the tail tells several apart
        name += tail
    else:
        kept = [part for part in tail.split(".") if part in _PARTS or part.isdigit()]
        name = ".".join([name, *kept])
    method = _SAME_METHOD.get(found[2], found[2])
    return module, make_role(name, method, "peft-only")


def _split_down_up(stem: str, marker: str, role: str) -> tuple[str, Role] | None:
    """Undo the old diffusers and XLabs spellings, where the processor held the adapter.

    XLabs numbers the two streams of a double block: 1 is the image, 2 the text. Single blocks
    have no number.
    """
    xlabs = _XLABS.search(stem)
    if xlabs:
        block = stem[: xlabs.start()]
        if marker == "lora" and "single_blocks." in f"{block}.":
            leaf, role = _XLABS_SINGLE[xlabs[1], role]
            return f"{block}.{leaf}", make_role(role, "lora", "xlabs")
        stream = "txt" if marker == "lora2" else "img"
        return f"{block}.{stream}_attn.{xlabs[1]}", make_role(role, "lora", "xlabs")
    if marker in {"lora1", "lora2"}:
        return None
    head, processor, leaf = stem.rpartition(".processor.")
    if processor:
        leaf = "to_out.0" if leaf == "to_out" else leaf
        return f"{head}.{leaf}", make_role(role, "lora", "attn-processor")
    return stem, make_role(role, "lora", "down-up")
