"""Assembles the anatomy of a file from the results of the other modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lorary.anatomy.claims.config import AdapterConfig, embedded_configs
from lorary.anatomy.claims.lineage_evidence import checkpoint_ids, lineage_evidence
from lorary.anatomy.claims.metadata import first_text, number, parsed_json, public_text
from lorary.anatomy.claims.training import description, recommended_strength, title, training_facts
from lorary.anatomy.claims.triggers import common_tags, tag_shares, trigger_words
from lorary.anatomy.display_names import natural
from lorary.anatomy.findings.privacy import safe_name
from lorary.anatomy.modules.module_table import modules_of
from lorary.anatomy.report import LAYER_KINDS, Anatomy, Base, Block, FileFacts, Layers, Notes
from lorary.safetensors import Header, TensorInfo
from lorary.safetensors.tensors import Tensors

if TYPE_CHECKING:
    from lorary.anatomy.modules.adapted import Module
    from lorary.anatomy.modules.alphas import Alphas

_MOST_NAMES = 100
_MOST_TAGS = 30
_MOST_BLOCKS = 1_000  # maximum number of blocks; the deepest models have a few hundred
_FILE_NAME_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Results about a file."""

    kind: str  # kind of the file
    convention: str | None  # its leading convention
    algorithm: str | None  # its leading algorithm
    algorithms: Mapping[str, int]  # algorithm to number of modules, most common first
    base: Base  # the verdict on the base model
    alphas: Alphas
    modules: Sequence[Module]  # adapted modules; none if the file isn't an adapter
    shared: Mapping[str, TensorInfo]  # tensors that all modules share, such as a vector bank
    expected: int | None  # modules of an unrestricted file of its family


def assemble(header: Header, parts: Parts, *, name: str, config: AdapterConfig | None) -> Anatomy:
    """Return the anatomy of a file.

    Args:
        header: The checked header.
        config: The `adapter_config.json` beside the file.
    """
    metadata, modules = header.metadata, parts.modules
    layers = _layers(parts)
    ranks = _most_first(Counter(layers.linear) + Counter(layers.conv))
    tags = tag_shares(metadata)
    words = trigger_words(metadata, tags)
    training = training_facts(metadata, config, name)
    shared = sum(tensor.elements for tensor in parts.shared.values())
    return Anatomy(
        file=FileFacts(
            file_name(name), header.size_bytes, header.header_bytes, len(header.tensors)
        ),
        kind=parts.kind,
        algorithm=parts.algorithm,
        algorithms=parts.algorithms,
        convention=parts.convention,
        base=replace(
            parts.base,
            checkpoint_ids=checkpoint_ids(metadata),
            lineage_evidence=lineage_evidence(parts.base.allowed, training, tags),
        ),
        rank=next(iter(layers.linear or layers.conv))
        if ranks
        else _declared_rank(metadata, config),
        ranks=ranks,
        alpha=parts.alphas.mode,
        alphas_read=parts.alphas.values_read,
        parts={part: len(own) for part, own in modules_of(modules).groups.parts.items()},
        layers=layers,
        parameters=shared + sum(block.parameters for block in layers.blocks),
        dtypes=dict(Counter(Tensors.of(header.tensors).dtypes).most_common()),
        trigger_words=words,
        common_tags=common_tags(tags, words),
        training=training,
        metadata=_notes(metadata, training),
    )


def _layers(parts: Parts) -> Layers:
    linear, conv = _rank_counts(parts.modules)
    return Layers(
        modules=len(parts.modules),
        linear=_most_first(linear),
        conv=_most_first(conv),
        expected=parts.expected,
        kinds=dict.fromkeys(LAYER_KINDS, 0) | Counter(modules_of(parts.modules).columns.layers),
        blocks=_blocks_of(parts.modules),
    )


def file_name(name: str) -> str:
    """Return a file's name without characters that could control a terminal or a page."""
    shown = name[:_FILE_NAME_CHARS]
    if shown.isprintable():
        return shown
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown
    )


def _rank_counts(modules: Sequence[Module]) -> tuple[Counter[int], Counter[int]]:
    """Return rank to number of modules, without and with a kernel."""
    linear: Counter[int] = Counter()
    conv: Counter[int] = Counter()
    for dims, count in modules_of(modules).sizes.items():
        if dims.rank is not None:
            (conv if dims.is_conv else linear)[dims.rank] += count
    return linear, conv


def _most_first(counts: Counter[int]) -> dict[int, int]:
    """Sort by number of modules, then by rank, largest first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], -item[0])))


def _declared_rank(metadata: Mapping[str, str], config: AdapterConfig | None) -> int | None:
    """Return the rank in the metadata or a configuration, for files whose tensors show none."""
    declared = number(metadata.get("ss_network_dim"))
    if declared is None:
        settings = (*embedded_configs(metadata), *(() if config is None else (config,)))
        declared = next((entry.r for entry in settings if entry.r), None)
    if declared is None:
        wrapper = parsed_json(metadata, "lycoris_config")  # SimpleTuner
        declared = number(wrapper.get("linear_dim")) if isinstance(wrapper, dict) else None
    return int(declared) if declared is not None and declared >= 1 else None


def _blocks_of(modules: Sequence[Module]) -> tuple[Block, ...]:
    """Return the blocks with their sums in natural order: block 2 before block 10."""
    counted = modules_of(modules)
    parameter = counted.columns.parameters.__getitem__
    blocks = [
        Block(name, len(own), sum(map(parameter, own)))
        for name, own in sorted(counted.groups.blocks.items(), key=lambda one: natural(one[0]))
    ]
    rest = blocks[_MOST_BLOCKS:]
    if rest:  # made-up names, not those of a model
        counts = (sum(block.modules for block in rest), sum(block.parameters for block in rest))
        blocks[_MOST_BLOCKS:] = [Block("…", *counts)]
    return tuple(blocks)


def _notes(metadata: Mapping[str, str], training: Mapping[str, object]) -> Notes:
    writer = training.get("trainer")
    return Notes(
        keys=len(metadata),
        size_bytes=sum(len(key.encode()) + len(text.encode()) for key, text in metadata.items()),
        writer=None if writer is None else str(writer),
        title=title(metadata),
        description=description(metadata),
        author=_text(metadata, "modelspec.author"),
        license=_text(metadata, "modelspec.license"),
        usage_hint=_text(metadata, "modelspec.usage_hint", most=2_000),
        recommended_strength=recommended_strength(metadata),
        tags=_tags(metadata),
        names=tuple(safe_name(key) for key in list(metadata)[:_MOST_NAMES]),
    )


def _tags(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tags of ``modelspec.tags``, which are separated by commas (ModelSpec 1.0.0)."""
    text = first_text(metadata, "modelspec.tags", most=2_000) or ""
    found = (" ".join(tag.casefold().split()) for tag in text.split(","))
    return tuple(dict.fromkeys(tag for tag in found if tag))[:_MOST_TAGS]


def _text(metadata: Mapping[str, str], key: str, most: int = 200) -> str | None:
    text = first_text(metadata, key, most=4 * most)
    return None if text is None else public_text(text, most)
