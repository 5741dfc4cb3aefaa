"""Facts about the training in PEFT's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.anatomy.claims.metadata import told, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lorary.anatomy.claims.config import AdapterConfig

__all__ = ["config_facts"]

_MOST_TARGETS = 40


def config_facts(config: AdapterConfig) -> Iterator[tuple[str, object]]:
    """Facts by name; absent ones are None, empty or False."""
    yield "method", config.peft_type
    yield "network_dim", config.r or None
    yield "initial_rank", config.init_r
    yield "target_rank", config.target_r
    yield "network_alpha", whole(config.declared_alpha)
    base = config.base_model_name_or_path
    yield "base_model", None if base is None else told(base)
    yield "base_revision", config.revision
    yield "task", config.task_type
    for name, listed in (
        ("target_modules", config.target_modules),
        ("excluded_modules", config.exclude_modules),
        ("modules_to_save", config.modules_to_save),
        ("target_parameters", config.target_parameters),
        ("layers", config.layers_to_transform),
    ):
        yield name, _listed(listed)
    yield "rslora", config.use_rslora
    yield "dora", config.use_dora
    yield "alora", config.alora_invocation_tokens is not None
    yield "lora_bias", config.lora_bias
    yield "bias", None if config.bias == "none" else config.bias
    init = config.init_lora_weights
    yield "initialisation", init if isinstance(init, str) else None
    yield "trained_tokens", len(config.trainable_token_indices) or None
    yield "peft_version", config.peft_version


def _listed(value: tuple[object, ...] | str | None) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else told(value, 300)
    shown = ", ".join(told(str(entry), 120) for entry in value[:_MOST_TARGETS])
    more = len(value) - _MOST_TARGETS
    return shown + (f" and {more:,} more" if more > 0 else "")
