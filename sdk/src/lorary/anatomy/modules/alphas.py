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

from lorary.anatomy.claims.config import AdapterConfig, embedded_configs
from lorary.anatomy.claims.metadata import clean, number, parsed
from lorary.anatomy.claims.onetrainer import onetrainer_config
from lorary.anatomy.findings.finding import Finding, finding
from lorary.anatomy.modules.module_table import modules_of
from lorary.safetensors import TensorInfo

if TYPE_CHECKING:
    from lorary.anatomy.modules.module_table import Module, Modules
    from lorary.anatomy.modules.shapes import Dims

__all__ = ["AlphaReader", "Alphas", "alpha_of", "read_alphas"]

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
    holders = _holders(modules_of(modules))
    if reader is not None and holders:
        values = reader(holders.tensors_of("alpha"))
        found = _stored(holders, values, is_rslora=is_rslora)
        if found.values_read:
            return found
    return Alphas(_declared(modules, metadata, configs), 0, (), is_rslora)


def _holders(modules: Modules) -> Modules:
    """Modules that have an alpha."""
    if all("alpha" in roles for _, roles in modules.groups.kinds):
        return modules
    return modules.at([at for at, own in enumerate(modules.columns.roles) if "alpha" in own])


def _stored(holders: Modules, values: Sequence[float | None], *, is_rslora: bool) -> Alphas:
    """What the values of the modules that have one say; None stands for one not read."""
    linear: Counter[float] = Counter()
    conv: Counter[float] = Counter()
    odd: dict[_Scaled, list[Module]] = {}

    columns = holders.columns

    def rows() -> Iterator[_Scaled]:
        return zip(values, columns.dims, columns.algorithms, strict=True)

    # Thousands of modules have a few different alphas, sizes and methods.
    counts: Mapping[_Scaled, int]
    if _are_alike(values) and _are_alike(columns.algorithms):
        first = columns.algorithms[0]
        counts = {(values[0], dims, first): count for dims, count in holders.sizes.items()}
    else:
        counts = Counter(rows())
    for row, count in counts.items():
        value, dims, algorithms = row
        if value is None:
            continue
        if _is_odd(value, dims, algorithms, is_rslora=is_rslora):
            odd[row] = []
        if math.isfinite(value):
            (conv if dims.is_conv else linear)[value] += count
    for row, module in zip(rows(), holders, strict=True) if odd else ():
        if row in odd and not _ignores_alpha(module):
            odd[row].append(module)
    return Alphas(
        mode=_mode(linear or conv),
        values_read=len(values) - values.count(None),
        findings=tuple(_odd_findings([one.name for alike in odd.values() for one in alike])),
        is_rslora=is_rslora,
    )


_Scaled = tuple["float | None", "Dims", tuple[str, ...]]


def _are_alike(values: Sequence[object]) -> bool:
    return values.count(values[0]) == len(values)


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
    declared = {config.declared_alpha for config in configs}
    if declared - {None}:
        if len(declared) == 1 and not any(config.alpha_pattern for config in configs):
            return declared.pop()
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


def alpha_of(module: str, configs: Sequence[AdapterConfig]) -> tuple[float | None, bool]:
    """The alpha that configurations give a module, and whether its scale is alpha / √rank."""
    if not configs:
        return None, False
    config, path = _config_of(module, configs)
    return config.alpha_of(path), config.use_rslora


def _config_of(name: str, configs: Sequence[AdapterConfig]) -> tuple[AdapterConfig, str]:
    """The configuration of a module and the module's name inside its component."""
    for config in configs:
        prefix = f"{config.component}."
        if config.component and name.startswith(prefix):
            return config, name.removeprefix(prefix).removeprefix(_PEFT_PREFIX)
    return configs[0], name.removeprefix(_PEFT_PREFIX)
