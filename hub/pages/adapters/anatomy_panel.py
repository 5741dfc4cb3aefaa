"""The anatomy panel: tables and facts about the modules that a file changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from hub.pages.adapters.base_model_panel import layers
from hub.pages.labels import count, percentage
from hub.templatetags.lorary import size
from lorary.anatomy import ALGORITHM_TITLES
from lorary.anatomy.display_names import natural

Document = Mapping[str, Any]

MAX_BLOCKS = 80
MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class Share:
    """A row of a table with a bar; ``percent`` is relative to the largest number."""

    name: str
    numbers: tuple[str, ...]
    percent: int


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact about the file."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Contents of the tab; empty if the header has not been read.

    Attributes:
        shows_energy: Whether blocks are compared by energy; otherwise by trained parameters.
        strongest: The block with the most of it.
        blocks: Changed blocks in natural order: number of layers, and energy or parameters.
        facts: Facts about the file.
        kinds: Number of changed layers by kind.
        ranks: Number of linear and convolution layers by rank.
        training: The most important facts about the training, from the metadata.
        more: The other facts about the training.
        tags: Frequent caption tags with the share of pictures that have them.
        keys: Names of metadata keys.
        notes: A sentence about the amount of metadata.
    """

    shows_energy: bool = False
    strongest: str = ""
    blocks: list[Share] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    kinds: list[Share] = field(default_factory=list)
    ranks: list[Share] = field(default_factory=list)
    training: list[Fact] = field(default_factory=list)
    more: list[Fact] = field(default_factory=list)
    tags: list[Fact] = field(default_factory=list)
    keys: Sequence[str] = ()
    notes: str = ""


def anatomy_of(document: Document, energies: Mapping[str, float]) -> Anatomy:
    """Return the panel of an anatomy document (empty: not read).

    Args:
        energies: Energy by block; empty if it is not known.
    """
    if not document:
        return Anatomy()
    rows: Sequence[Document] = document["layers"]["blocks"]
    amounts = {row["name"]: row["parameters"] for row in rows}
    if energies:
        amounts = {name: energies.get(name, 0.0) for name in amounts}
    metadata = document["metadata"]
    return Anatomy(
        shows_energy=bool(energies),
        strongest=max(amounts, key=amounts.__getitem__, default=""),
        blocks=list(_blocks(rows, amounts, sum(energies.values()))),
        facts=[fact for fact in _facts(document) if fact.text],
        kinds=_kinds(document["layers"]),
        ranks=_ranks(document["layers"]),
        training=training_facts(document),
        more=other_facts(document),
        tags=[Fact(tag["text"], f"{tag['share']:.0%}") for tag in document["common_tags"]],
        keys=metadata["names"],
        notes=_notes(metadata),
    )


def _blocks(
    rows: Sequence[Document], amounts: Mapping[str, float], energy: float
) -> Iterator[Share]:
    """Yield the blocks in natural order.

    Args:
        amounts: Energy or number of parameters by block.
        energy: The energy of all blocks; 0 if amounts are numbers of parameters.
    """
    most = max(amounts.values(), default=1) or 1
    for row in sorted(rows, key=lambda row: natural(row["name"]))[:MAX_BLOCKS]:
        amount = amounts[row["name"]]
        text = percentage(amount / energy) if energy else count(int(amount))
        yield Share(row["name"], (count(row["modules"]), text), _percent(amount, most))


def _facts(document: Document) -> Iterator[Fact]:
    layer_counts = document["layers"]
    yield Fact(_("Method"), _methods(document))
    yield Fact(_("Key format"), document["convention"] or "")
    yield Fact(_("Layers"), layers(layer_counts))
    yield Fact(_("Trained parts"), parts_text(document["parts"]))
    yield Fact(_("Alpha"), _alpha(document["alpha"]))
    yield Fact(_("Parameters"), count(document["parameters"]) if document["parameters"] else "")
    dtypes = document["dtypes"].items()
    yield Fact(_("Precision"), ", ".join(f"{name.lower()} ({count(n)})" for name, n in dtypes))
    header = {
        "n": count(document["file"]["tensors"]),
        "size": size(document["file"]["header_bytes"]),
    }
    yield Fact(_("Header"), _("%(n)s tensors, %(size)s") % header)


def method_title(algorithm: str | None) -> str:
    """Return the name of a method; unknown and combined ones are returned unchanged."""
    return str(ALGORITHM_TITLES.get(algorithm or "", algorithm or ""))


def _methods(document: Document) -> str:
    """Return the leading method, and the number of layers of each if there are several."""
    found = document["algorithms"]
    title = method_title(document["algorithm"])
    if len(found) < 2:
        return title
    each = ", ".join(f"{method_title(name)} ({count(n)})" for name, n in found.items())
    return f"{title}: {each}"


def parts_text(parts: Mapping[str, int]) -> str:
    """Return the changed parts of the base model with their number of layers."""
    return ", ".join(f"{part.replace('_', ' ')} ({count(n)})" for part, n in parts.items())


def _alpha(alpha: Document) -> str:
    if alpha["mode"] is None:
        return _("none: loaders use the rank")
    values = {"alpha": f"{alpha['mode']:g}", "n": count(alpha["values_read"])}
    if alpha["values_read"]:
        return _("%(alpha)s, read from %(n)s layers") % values
    return _("%(alpha)s, from the metadata") % values


def _kinds(layer_counts: Document) -> list[Share]:
    titles = {
        "attention": _("attention"),
        "mlp": _("feed-forward"),
        "conv": _("convolution"),
        "norm": _("norm"),
        "modulation": _("modulation"),
        "embedder": _("embedding"),
        "other": _("other"),
    }
    kinds = {name: n for name, n in layer_counts["kinds"].items() if n}
    most = max(kinds.values(), default=1)
    return [
        Share(titles.get(name, name), (count(n),), _percent(n, most)) for name, n in kinds.items()
    ]


def _ranks(layer_counts: Document) -> list[Share]:
    """Return the histogram, the largest rank first."""
    linear, conv = layer_counts["linear"], layer_counts["conv"]
    sums = {rank: linear.get(rank, 0) + conv.get(rank, 0) for rank in {*linear, *conv}}
    most = max(sums.values(), default=1)
    return [
        Share(
            rank,
            tuple(count(found[rank]) if rank in found else "" for found in (linear, conv)),
            _percent(sums[rank], most),
        )
        for rank in sorted(sums, key=int, reverse=True)
    ]


def _percent(number: float, most: float) -> int:
    return max(1, round(100 * number / most))


def _notes(metadata: Document) -> str:
    if not metadata["keys"]:
        return _("The file has no metadata.")
    values = {"n": count(metadata["keys"]), "size": size(metadata["bytes"])}
    text = ngettext("%(n)s key, %(size)s", "%(n)s keys, %(size)s", metadata["keys"]) % values
    writer = metadata["writer"]
    return text + (_(", written by %(writer)s") % {"writer": writer} if writer else "")


def _training_titles() -> dict[str, str]:
    """Return the titles of the most important facts, in order."""
    return {
        "trainer": _("Trained with"),
        "base_model": _("Trained on"),
        "steps": _("Steps"),
        "epochs": _("Epochs"),
        "images": _("Pictures"),
        "repeats": _("Repeats"),
        "resolution": _("Resolution"),
        "batch_size": _("Batch"),
        "learning_rate": _("Learning rate"),
        "optimizer": _("Optimizer"),
        "scheduler": _("Schedule"),
        "finished_at": _("Finished"),
    }


def training_facts(document: Document) -> list[Fact]:
    """Return the most important facts about the training, from the metadata."""
    training: Document = document.get("training") or {}
    return _listed(
        {title: (name, training.get(name)) for name, title in _training_titles().items()}
    )


def other_facts(document: Document) -> list[Fact]:
    """Return the other facts about the training, under the names in the metadata."""
    training: Document = document.get("training") or {}
    first = _training_titles()
    return _listed({_name(key): (key, training[key]) for key in training if key not in first})


def _listed(values: Mapping[str, tuple[str, object]]) -> list[Fact]:
    facts = [
        Fact(title, _fact_text(*fact)) for title, fact in values.items() if fact[1] is not None
    ]
    return [fact for fact in facts if fact.text]


def _fact_text(name: str, value: object) -> str:
    return _day(value) if name.endswith("_at") and isinstance(value, str) else _text(value)


def _name(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _text(value: object) -> str:
    """Return a fact's value as text: sizes as ``w × h``, times as days, maps as a list."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items())[:MAX_TEXT]
    if isinstance(value, list | tuple):
        return " × ".join(_text(part) for part in value)[:MAX_TEXT]
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int):
        return number_format(value, 0, use_l10n=True)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)[:MAX_TEXT]


def _day(value: str) -> str:
    """Return the day of a time; other texts are returned unchanged."""
    try:
        moment = parse_datetime(value)
    except ValueError:
        moment = None
    return date_format(moment, "j M Y") if moment else value[:MAX_TEXT]
