"""Reads alphas: the scale of a module is its alpha divided by its rank.

The value of an alpha is data, not header: two to eight bytes per module at a known offset. PEFT
stores it in its configuration instead.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorary.anatomy.claims.config import AdapterConfig, embedded_configs
from lorary.anatomy.claims.metadata import clean, number, parsed_json
from lorary.anatomy.claims.onetrainer import onetrainer_config
from lorary.anatomy.findings.finding import Finding, counted, finding
from lorary.anatomy.modules.module_table import Module, Modules, modules_of
from lorary.safetensors import TensorInfo

if TYPE_CHECKING:
    from lorary.anatomy.modules.shapes import Dims

AlphaReader = Callable[[Sequence[TensorInfo]], Sequence["float | None"]]
"""Returns the values of one-element tensors, None for those that can't be read."""

_MOST_SCALE = 100.0  # a larger scale can only destroy the image
_NO_SCALE = frozenset({"oft", "boft", "ia3"})  # their alpha is a constraint, not a scale
_PEFT_PREFIX = "base_model.model."
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Alphas:
    """The alphas of a file.

    Attributes:
        mode: Most frequent alpha, the larger one of a tie; of linear modules if there are any.
            Read from the file, or declared by a configuration or the metadata, or None.
    """

    mode: float | None
    values_read: int  # number of alphas read from the file; 0 if `mode` is only declared
    findings: tuple[Finding, ...] = ()  # findings about implausible values
    is_rslora: bool = False  # a configuration says that the scale is alpha / √rank


def read_alphas(
    modules: Sequence[Module],
    metadata: Mapping[str, str],
    config: AdapterConfig | None = None,
    reader: AlphaReader | None = None,
) -> Alphas:
    """Read the alphas of all modules, or fall back to the declared alpha.

    Args:
        config: The `adapter_config.json` beside it.
        reader: Returns the values of scalar tensors; None if only the header is available.
    """
    configs = embedded_configs(metadata) or (() if config is None else (config,))
    is_rslora = any(entry.use_rslora for entry in configs) or _is_rs_lora(metadata)
    with_alpha = _with_alpha(modules_of(modules))
    if reader is not None and with_alpha:
        values = reader(with_alpha.tensors_of("alpha"))
        found = _stored(with_alpha, values, is_rslora=is_rslora)
        if found.values_read:
            return found
    return Alphas(_declared(modules, metadata, configs), 0, (), is_rslora)


def _with_alpha(modules: Modules) -> Modules:
    """Return the modules that have an alpha."""
    if all("alpha" in roles for _, roles in modules.groups.kinds):
        return modules
    return modules.at([i for i, roles in enumerate(modules.columns.roles) if "alpha" in roles])


def _stored(with_alpha: Modules, values: Sequence[float | None], *, is_rslora: bool) -> Alphas:
    """Return the alphas by their values in the file; None is a value that could not be read."""
    linear: Counter[float] = Counter()
    conv: Counter[float] = Counter()
    implausible: dict[_Row, list[Module]] = {}

    columns = with_alpha.columns

    def rows() -> Iterator[_Row]:
        return zip(values, columns.dims, columns.algorithms, strict=True)

    # Thousands of modules have a few different alphas, sizes and methods.
    counts: Mapping[_Row, int]
    if _are_alike(values) and _are_alike(columns.algorithms):
        first = columns.algorithms[0]
        counts = {(values[0], dims, first): count for dims, count in with_alpha.sizes.items()}
    else:
        counts = Counter(rows())
    for row, count in counts.items():
        value, dims, algorithms = row
        if value is None:
            continue
        if _is_implausible(value, dims, algorithms, is_rslora=is_rslora):
            implausible[row] = []
        if math.isfinite(value):
            (conv if dims.is_conv else linear)[value] += count
    for row, module in zip(rows(), with_alpha, strict=True) if implausible else ():
        if row in implausible and not ("lokr_w1" in module.roles and "lokr_w2" in module.roles):
            implausible[row].append(module)
    return Alphas(
        mode=_mode(linear or conv),
        values_read=len(values) - values.count(None),
        findings=tuple(
            _implausible_findings([one.name for alike in implausible.values() for one in alike])
        ),
        is_rslora=is_rslora,
    )


_Row = tuple["float | None", "Dims", tuple[str, ...]]


def _are_alike(values: Sequence[object]) -> bool:
    return values.count(values[0]) == len(values)


def _mode(counts: Counter[float]) -> float | None:
    return max(counts, key=lambda value: (counts[value], value), default=None)


def _is_implausible(
    value: float, dims: Dims, algorithms: Sequence[str], *, is_rslora: bool
) -> bool:
    if not math.isfinite(value):
        return True
    if _NO_SCALE.intersection(algorithms):
        return value < 0
    rank = dims.rank
    if value <= 0 or not rank:
        return value <= 0
    return value / (math.sqrt(rank) if is_rslora else rank) > _MOST_SCALE


def _implausible_findings(names: Sequence[str]) -> Iterator[Finding]:
    if names:
        subject = counted(len(names), "module", "has", "have")
        message = f"{subject} an alpha that is zero, negative, not finite or far too large."
        shown = [clean(name) for name in names[:_SHOWN]]
        yield finding("alpha_invalid", message, count=len(names), modules=shown)


def _is_rs_lora(metadata: Mapping[str, str]) -> bool:
    arguments = parsed_json(metadata, "ss_network_args")
    value = arguments.get("rs_lora") if isinstance(arguments, dict) else None
    return str(value).lower() == "true"


def _declared(
    modules: Sequence[Module], metadata: Mapping[str, str], configs: Sequence[AdapterConfig]
) -> float | None:
    """Return the alpha that the configurations or, failing that, the trainer's settings declare."""
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
        settings = parsed_json(metadata, "lycoris_config")  # SimpleTuner
        value = number(settings.get("linear_alpha")) if isinstance(settings, dict) else None
    if value is None:
        value = number(onetrainer_config(metadata).get("lora_alpha"))
    return value


def alpha_of(module: str, configs: Sequence[AdapterConfig]) -> tuple[float | None, bool]:
    """Return a module's alpha by its configuration, and whether its scale is alpha / √rank."""
    if not configs:
        return None, False
    config, path = _config_of(module, configs)
    return config.alpha_of(path), config.use_rslora


def _config_of(name: str, configs: Sequence[AdapterConfig]) -> tuple[AdapterConfig, str]:
    """Return the configuration of a module, and the module's name inside its component."""
    for config in configs:
        prefix = f"{config.component}."
        if config.component and name.startswith(prefix):
            return config, name.removeprefix(prefix).removeprefix(_PEFT_PREFIX)
    return configs[0], name.removeprefix(_PEFT_PREFIX)
