"""Alpha: the number that, divided by the rank, scales an adapter.

Its value is data, not header: two to eight bytes per module at a known place. PEFT keeps it in its
configuration instead.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorary.anatomy.config import AdapterConfig, embedded_configs
from lorary.anatomy.findings import Finding, finding
from lorary.anatomy.metadata import clean, number, parsed
from lorary.anatomy.onetrainer import onetrainer_config
from lorary.safetensors import TensorInfo

if TYPE_CHECKING:
    from lorary.anatomy.modules import Module
    from lorary.anatomy.shapes import Dims

__all__ = ["AlphaReader", "Alphas", "read_alphas"]

AlphaReader = Callable[[Sequence[TensorInfo]], Sequence["float | None"]]
"""Gives the numbers of one-element tensors, None where one cannot be read."""

_MOST_SCALE = 100.0  # above it a picture can only be destroyed (formats: data checks)
_NO_SCALE = frozenset({"oft", "boft", "ia3"})  # their alpha is a constraint, not a scale
_PEFT_PREFIX = "base_model.model."
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Alphas:
    """The alphas of a file.

    Attributes:
        mode: Most frequent alpha, the larger of equally frequent ones; of linear modules where
            there are any, as for the rank; read from the file, else declared by a configuration
            or the metadata; None when nobody says.
        values_read: Alphas read from the file; 0 when the mode is only declared.
        findings: Values that cannot be meant.
        is_rslora: The scale is alpha / √rank, by the configuration's word.
    """

    mode: float | None
    values_read: int
    findings: tuple[Finding, ...] = ()
    is_rslora: bool = False


def read_alphas(
    modules: Sequence[Module],
    metadata: Mapping[str, str],
    config: AdapterConfig | None = None,
    reader: AlphaReader | None = None,
) -> Alphas:
    """Read the alphas of all modules, or fall back on what is declared.

    Args:
        modules: The file's modules.
        metadata: Its metadata.
        config: The `adapter_config.json` beside it.
        reader: Gives the values of scalar tensors; None when only the header is at hand.
    """
    configs = embedded_configs(metadata) or (() if config is None else (config,))
    is_rslora = any(entry.use_rslora for entry in configs) or _is_rs_lora(metadata)
    holders = [(module, module.roles["alpha"]) for module in modules if "alpha" in module.roles]
    values = reader([tensor for _, tensor in holders]) if reader is not None and holders else ()
    linear: Counter[float] = Counter()
    conv: Counter[float] = Counter()
    odd: list[str] = []
    # Thousands of modules have a few different alphas, sizes and methods.
    alike: dict[tuple[float, Dims, tuple[str, ...]], list[Module]] = {}
    for (module, _), value in zip(holders, values, strict=False):
        if value is not None:
            key = (value, module.dims, module.algorithms)
            members = alike.get(key)
            if members is None:
                alike[key] = [module]
            else:
                members.append(module)
    for (value, dims, algorithms), members in alike.items():
        if _is_odd(value, dims, algorithms, is_rslora=is_rslora):
            odd += [module.name for module in members if not _ignores_alpha(module)]
        if math.isfinite(value):
            (conv if dims.is_conv else linear)[value] += len(members)
    values_read = sum(map(len, alike.values()))
    if values_read:
        return Alphas(_mode(linear or conv), values_read, tuple(_odd_findings(odd)), is_rslora)
    return Alphas(_declared(modules, metadata, configs), 0, (), is_rslora)


def _mode(counts: Counter[float]) -> float | None:
    return max(counts, key=lambda value: (counts[value], value), default=None)


def _is_odd(value: float, dims: Dims, algorithms: Sequence[str], *, is_rslora: bool) -> bool:
    if not math.isfinite(value):
        return True
    if _NO_SCALE.intersection(algorithms):
        return value < 0
    rank = dims.rank
    if value <= 0 or not rank:
        return value <= 0
    return value / (math.sqrt(rank) if is_rslora else rank) > _MOST_SCALE


def _ignores_alpha(module: Module) -> bool:
    """LoKr with two whole matrices has the scale 1, whatever its alpha says."""
    return "lokr_w1" in module.roles and "lokr_w2" in module.roles


def _odd_findings(names: Sequence[str]) -> Iterator[Finding]:
    if names:
        message = f"{len(names):,} modules have an alpha that cannot be meant."
        shown = [clean(name) for name in names[:_SHOWN]]
        yield finding("alpha_invalid", message, count=len(names), modules=shown)


def _is_rs_lora(metadata: Mapping[str, str]) -> bool:
    arguments = parsed(metadata, "ss_network_args")
    value = arguments.get("rs_lora") if isinstance(arguments, dict) else None
    return str(value).lower() == "true"


def _declared(
    modules: Sequence[Module], metadata: Mapping[str, str], configs: Sequence[AdapterConfig]
) -> float | None:
    """What the configurations or else the trainer's settings say."""
    if any(config.declared_alpha is not None for config in configs):
        counts: Counter[float] = Counter()
        for module in modules:
            config, path = _config_of(module.name, configs)
            value = config.alpha_of(path)
            if value is not None:
                counts[value] += 1
        return _mode(counts) if counts else configs[0].declared_alpha
    value = number(metadata.get("ss_network_alpha"))
    if value is None:
        settings = parsed(metadata, "lycoris_config")  # SimpleTuner
        value = number(settings.get("linear_alpha")) if isinstance(settings, dict) else None
    if value is None:
        value = number(onetrainer_config(metadata).get("lora_alpha"))
    return value


def _config_of(name: str, configs: Sequence[AdapterConfig]) -> tuple[AdapterConfig, str]:
    """The configuration of a module and the module's name inside its component."""
    for config in configs:
        prefix = f"{config.component}."
        if config.component and name.startswith(prefix):
            return config, name.removeprefix(prefix).removeprefix(_PEFT_PREFIX)
    return configs[0], name.removeprefix(_PEFT_PREFIX)
