"""The output of `lorary inspect` for one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lorary.anatomy import (
    FAMILIES,
    KIND_TITLES,
    Anatomy,
    Base,
    Finding,
    Inspection,
    algorithm_title,
    family_title,
)
from lorary.anatomy.claims.base_models import FILE_NAME
from lorary.cli.output.text import ADVICE, SEVERITY_STYLES, columns, plain, strong, styled, wrap
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from lorary.anatomy.base_models.narrowing import Evidence
    from lorary.anatomy.report import Layers

_LABEL = 11
_WORD = 7
_MOST_WORDS = 12
_MOST_TAGS = 8
_MOST_RANKS = 6
_MOST_REASONS = 8
_MOST_AGAINST = 3  # maximum number of excluded related models shown; the JSON document has all
_AGAINST = frozenset({"absent", "shape"})
CONFIDENCE_STYLES = {"proven": "green", "narrowed": "yellow", "claimed": "yellow"}
"""Confidence to the style of the base model."""
_SAID_AT_THE_TOP = frozenset(
    {"family_ambiguous", "family_unknown", "metadata_conflict", "not_an_adapter"}
)
_FACTS = {
    "epochs": "{} epochs",
    "images": "{} images",
    "resolution": "{}",
    "steps": "{} steps",
    "trainer": "{}",
}
_SAID_BY_THE_CLAIM = frozenset({"base_version", "base_model_hash"})
_PARTS = {
    "denoiser": "denoiser",
    "text_encoder": "text encoder",
    "text_encoder_2": "text encoder 2",
    "text_encoder_3": "text encoder 3",
}
_TRUST = {
    "high": "stated",
    "medium": "from the training set-up",
    "low": "guessed from the captions",
}


def page_of(name: str, inspection: Inspection) -> Iterator[str]:
    """Yield the lines about one file."""
    anatomy = inspection.anatomy
    if anatomy is None:
        yield strong(_heading(name))
        yield from _refusal(inspection)
        return
    yield f"{strong(_heading(name))}  {styled(count_bytes(anatomy.file.size_bytes), 'dim')}"
    yield ""
    if anatomy.kind == "adapter":
        yield from _verdict(anatomy.base)
        yield ""
        yield from _fields(_build(anatomy))
        yield from _words(anatomy)
        yield from _section("training", _training(anatomy))
    else:
        yield from _other_kind(anatomy)
    yield from _section("notes", _notes(anatomy))
    yield from _findings(inspection.findings)


def summary_of(inspection: Inspection) -> Iterator[str]:
    """Yield some lines about an adapter: base model, method, rank, trigger words and notes."""
    anatomy = inspection.anatomy
    if anatomy is None or anatomy.kind != "adapter":
        return
    build = dict(_build(anatomy))
    rows = [("base model", " — ".join(_headline(anatomy.base)))]
    yield from _fields([*rows, *((label, build[label]) for label in ("method", "rank"))])
    yield from _words(anatomy)
    yield from _section("notes", _notes(anatomy))


def _heading(name: str) -> str:
    """Return the name as given; for a URL without its query, which may contain a signature."""
    return plain(name.partition("?")[0] if "://" in name else name)


def _refusal(inspection: Inspection) -> Iterator[str]:
    refusal = inspection.refusal
    if refusal is not None:
        word = "FAILED" if refusal.code == "unreadable" else "REFUSED"
        yield ""
        yield from _message_lines(
            word, ("bold", "red"), refusal.message, refusal.code, at=refusal.at
        )


def _verdict(base: Base) -> Iterator[str]:
    title, how = _headline(base)
    style = CONFIDENCE_STYLES.get(base.confidence, "red")
    head, *more = wrap(f"{title} — {how}", columns() - 2)
    shown = head.replace(title, styled(title, "bold", style), 1)
    yield f"  {shown}"
    yield from (f"  {line}" for line in more)
    yield from _grounds(base, title, how)
    if base.family is None and not is_only_claimed(base):
        code = "family_ambiguous" if base.candidates else "family_unknown"
        yield from _advice(code, 4)


def _grounds(base: Base, title: str, how: str) -> Iterator[str]:
    """Yield what the file claims, and the evidence for the base model."""
    claim = "" if is_only_claimed(base) else _claim(base)
    if base.agreement == "conflict":
        yield from _indented(f"CONFLICT: {claim}", 2, "bold", "red")
    elif claim:
        yield from _indented(claim, 2)
    if base.lineage and base.lineage != title:
        source = base.claimed.get("lineage_source")
        how = f"according to {_place(source)}" if source else "as its tensors show"
        yield from _indented(f"Trained on {base.lineage}, {how}.", 2)
    yield from _refuted(base)
    for reason in _reasons(base):
        if reason.text != how:
            yield from _indented(reason.text, 4, "dim", mark="· ")


def _refuted(base: Base) -> Iterator[str]:
    """Yield the checkpoints that the file names but the tensors rule out."""
    lineages = base.claimed.get("lineages")
    for one in lineages if isinstance(lineages, list) else ():
        if one["is_refuted"]:
            place = "Its file name" if one["source"] == FILE_NAME else one["source"]
            text = f"{place} names {one['lineage']} as the checkpoint ({one['value']})"
            yield from _indented(f"{text}, but the tensors rule it out.", 2)


def _place(source: object) -> str:
    return "its file name" if source == FILE_NAME else str(source)


def _reasons(base: Base) -> list[Evidence]:
    """Return the reasons to show; only the first few that exclude related models."""
    against = [reason for reason in base.evidence if reason.rule in _AGAINST]
    left_out = against[_MOST_AGAINST:]
    return [reason for reason in base.evidence if reason not in left_out][:_MOST_REASONS]


def _headline(base: Base) -> tuple[str, str]:
    """Return the base model, and how it was determined."""
    titles = [family_title(name) for name in base.candidates]
    first = base.evidence[0].text if base.evidence else ""
    if base.family is not None:
        hows = {
            "proven": "proven by its tensors.",
            "narrowed": "likely, but not proven.",
        }
        if base.deciding_claim is not None:
            word = "file name" if base.deciding_claim == FILE_NAME else "metadata"
            return titles[0], f"according to its {word}; the tensors fit others too."
        return titles[0], hows.get(base.confidence, first)
    if titles and base.confidence == "unknown":
        how = "its tensors fit, but may belong to another model."
        return f"Perhaps {_listed(titles, 'or')}", how
    if base.likely is not None:
        others = [family_title(name) for name in base.candidates if name != base.likely]
        how = f"adapters for {_listed(others, 'or')} have the same structure."
        return f"Likely {family_title(base.likely)}", how
    if len(titles) > 1:
        return _listed(titles, "or"), "the tensors fit each of them."
    if is_only_claimed(base):
        source = f"{base.claimed['source']}: {base.claimed['value']}"
        how = f"according to its metadata ({source}). No known base model has these layers."
        return claimed_title(base), how
    return "Unknown base model", "the tensors fit no known base model."


def is_only_claimed(base: Base) -> bool:
    """Return whether only the metadata names the base model, and nothing contradicts it."""
    return base.confidence == "claimed" and not base.candidates and base.agreement == "agree"


def claimed_title(base: Base) -> str:
    """Return the name of the claimed base model, even if it is not a known one."""
    claimed = str(base.claimed["family"])
    if claimed in FAMILIES:
        return family_title(claimed)
    return base.lineage or family_title(claimed)


def _claim(base: Base) -> str:
    claimed = base.claimed.get("family")
    if claimed is None:
        return ""
    if base.claimed["source"] == FILE_NAME:
        return f"Its file name suggests {claimed_title(base)}."
    claim = f"its metadata says {claimed_title(base)}"
    source = f" ({base.claimed['source']}: {base.claimed['value']})"
    if base.agreement == "conflict":
        return f"{claim}{source}, but the tensors contradict this. The tensors decide."
    if base.family == claimed:
        return f"Its metadata says the same{source}."
    return f"{claim[0].upper()}{claim[1:]}{source}."


def _build(anatomy: Anatomy) -> list[tuple[str, str]]:
    layers = anatomy.layers
    method = algorithm_title(anatomy.algorithm) if anatomy.algorithm else "unknown"
    if len(anatomy.algorithms) > 1:
        counts = [f"{algorithm_title(name)} {n:,}" for name, n in anatomy.algorithms.items()]
        method += f" ({', '.join(counts)})"
    return [
        ("method", method),
        ("format", f"{anatomy.convention or 'unknown'}, {', '.join(anatomy.dtypes)}"),
        ("rank", _ranks(anatomy)),
        ("alpha", _alpha(anatomy)),
        ("parts", _parts(anatomy.parts)),
        ("layers", _layers(layers)),
        ("parameters", f"{anatomy.parameters:,} in {_tensors(anatomy)}"),
    ]


def _parts(parts: Mapping[str, int]) -> str:
    """Return the adapted parts; empty if only the denoiser is adapted."""
    if set(parts) == {"denoiser"}:
        return ""
    shown = sorted(parts.items(), key=lambda item: item[0] != "denoiser")
    return " · ".join(f"{_PARTS.get(part, part)} {count:,}" for part, count in shown)


def _tensors(anatomy: Anatomy) -> str:
    count = anatomy.file.tensors
    return "one tensor" if count == 1 else f"{count:,} tensors"


def _ranks(anatomy: Anatomy) -> str:
    layers = anatomy.layers
    if not anatomy.ranks:
        return "" if anatomy.rank is None else f"{anatomy.rank}, from the metadata"
    if len(anatomy.ranks) == 1:
        return str(anatomy.rank)
    if layers.conv and layers.linear:
        return f"linear {_histogram(layers.linear)} · conv {_histogram(layers.conv)}"
    return _histogram(anatomy.ranks)


def _histogram(counts: Mapping[int, int]) -> str:
    """Return `16 (264×), 8 (12×)`, most common first."""
    if len(counts) == 1:
        return str(next(iter(counts)))
    shown = [f"{rank} ({count:,}×)" for rank, count in list(counts.items())[:_MOST_RANKS]]
    if len(counts) > _MOST_RANKS:
        shown.append(f"{len(counts) - _MOST_RANKS} more up to {max(counts)}")
    return ", ".join(shown)


def _alpha(anatomy: Anatomy) -> str:
    if anatomy.alpha is None:
        return "read, but none is a number" if anatomy.alphas_read else ""
    shown = f"{anatomy.alpha:g}"
    if anatomy.rank and anatomy.ranks:
        shown += f" (scales by {anatomy.alpha / anatomy.rank:.4g})"
    return shown if anatomy.alphas_read else f"{shown}, from the metadata"


def _layers(layers: Layers) -> str:
    kinds = " · ".join(f"{kind} {count:,}" for kind, count in layers.kinds.items() if count)
    here, whole = layers.comparable, layers.expected
    if not whole or not 0 < here <= whole:
        return f"{layers.modules:,}: {kinds}"
    of = f" of {whole:,} that trainers adapt by default"
    if here == whole:
        of = ", all that trainers adapt by default"
    norms = layers.modules - here
    beside = ", and norms" if norms else ""
    return f"{here:,}{of}{beside}: {kinds}"


def _words(anatomy: Anatomy) -> Iterator[str]:
    rows = [
        (word.text, f"{_TRUST.get(word.confidence, word.confidence)}, {word.source}")
        for word in anatomy.trigger_words[:_MOST_WORDS]
    ]
    lines: list[str] = []
    for text, source in rows:
        *first, last = wrap(f"“{text}”", columns() - 4 - _LABEL)
        lines += first
        lines.append(last)
        lines += [styled(line, "dim") for line in wrap(source, columns() - 4 - _LABEL)]
    yield from _section("words", lines)
    if anatomy.common_tags:
        tags = [f"{tag.text} {tag.share:.0%}" for tag in anatomy.common_tags[:_MOST_TAGS]]
        yield from _section("tags", wrap(", ".join(tags), columns() - 4 - _LABEL))


def _training(anatomy: Anatomy) -> list[str]:
    facts = [
        _stated(name, value)
        for name, value in anatomy.training.items()
        if name not in _SAID_BY_THE_CLAIM
    ]
    return wrap(" · ".join(facts), columns() - 4 - _LABEL) if facts else []


def _stated(name: str, value: object) -> str:
    text = _FACTS.get(name, f"{name.replace('_', ' ')} {{}}").format(_fact(name, value))
    return text.removesuffix("s") if value == 1 and name in {"epochs", "images", "steps"} else text


def _fact(name: str, value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    if isinstance(value, list):
        return " × ".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool) and name != "seed":
        return f"{value:,}"
    return str(value)


def _notes(anatomy: Anatomy) -> list[str]:
    notes = anatomy.metadata
    lines = []
    for label, value in (
        ("", notes.title),
        ("by ", notes.author),
        ("licence ", notes.license),
        ("strength ", notes.recommended_strength),
        ("", notes.usage_hint),
        ("", notes.description),
    ):
        if value is not None:
            lines += wrap(f"{label}{value}", columns() - 4 - _LABEL)[:4]
    return lines


def _other_kind(anatomy: Anatomy) -> Iterator[str]:
    head, *more = wrap(f"Not an adapter: this is {KIND_TITLES[anatomy.kind]}.", columns() - 2)
    yield f"  {head.replace('Not an adapter', styled('Not an adapter', 'bold', 'yellow'), 1)}"
    yield from (f"  {line}" for line in more)
    if _claim(anatomy.base):
        yield from _indented(_claim(anatomy.base), 2)
    dtypes = ", ".join(anatomy.dtypes)
    yield f"  {_tensors(anatomy)}{f', {dtypes}' if dtypes else ''}"


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    for found in findings:
        if found.code not in _SAID_AT_THE_TOP:
            style = SEVERITY_STYLES.get(found.severity, "dim")
            yield ""
            yield from _message_lines(found.severity, (style,), found.message, found.code)


def _message_lines(
    word: str, styles: tuple[str, ...], message: str, code: str, *, at: int | None = None
) -> Iterator[str]:
    """Yield a word and its message, with advice if the message has only one sentence."""
    indent = _WORD + 4
    place = f" (byte {at:,})" if at else ""
    head, *more = wrap(f"{message}{place} [{code}]", columns() - indent)
    yield f"  {styled(word.ljust(_WORD), *styles)}  {head}"
    yield from (f"{' ' * indent}{line}" for line in more)
    if ". " not in message:
        yield from _advice(code, indent)


def _advice(code: str, indent: int) -> Iterator[str]:
    if code in ADVICE:
        yield from _indented(ADVICE[code], indent, "dim", mark="→ ")


def _section(label: str, lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"  {styled((label if number == 0 else '').ljust(_LABEL), 'dim')} {line}"


def _fields(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    for label, text in rows:
        if text:
            yield from _section(label, wrap(text, columns() - 4 - _LABEL))


def _indented(text: str, indent: int, *styles: str, mark: str = "") -> Iterator[str]:
    for number, line in enumerate(wrap(text, columns() - indent - len(mark))):
        lead = mark if number == 0 else " " * len(mark)
        yield f"{' ' * indent}{styled(lead + line, *styles)}"


def _listed(names: Sequence[str], word: str) -> str:
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last
