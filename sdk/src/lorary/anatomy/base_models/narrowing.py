"""Narrows the families that modules and shapes allow by weaker evidence.

Each step takes the remaining families and returns some of them with its evidence; none returns an
empty list. In order: text encoders, depth, complete cover, the trainer's targets, the trainer's
network, the file convention. Last comes a claim that only one of the families can have: it chooses
among what the tensors allow. How much a family is used doesn't count here: it only decides which of
the remaining families is the likely one (`verdict`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lorary.anatomy.base_models.module_index import pattern_of
from lorary.anatomy.claims.base_models import FILE_NAME, Claims
from lorary.anatomy.claims.vocabulary import covers, parent_of
from lorary.anatomy.families import Family, encoders, families, family_title

if TYPE_CHECKING:
    from lorary.anatomy.base_models.survey import Survey

_COVERAGE = 0.9  # of a family's blocks, for the depth of a file to matter
_NETWORK = "ss_network_module"
_ALL_LINEAR = "all-linear"
_MAX_KEYS = 5


class Evidence(NamedTuple):
    """One reason for a verdict.

    Attributes:
        keys: Up to five names of modules, tensors or metadata fields that support it.
    """

    rule: str  # name of the rule
    text: str  # a sentence for people
    keys: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {"rule": self.rule, "text": self.text, "keys": list(self.keys[:_MAX_KEYS])}


def listed(names: Iterable[str], joiner: str = "and") -> str:
    """Return a list of the families' titles for a sentence."""
    titles = [family_title(name) for name in names]
    if len(titles) < 3:
        return f" {joiner} ".join(titles)
    return f"{', '.join(titles[:-1])} {joiner} {titles[-1]}"


def narrow_by_encoders(found: list[str], seen: Survey, evidence: list[Evidence]) -> list[str]:
    """Keep the families that have the adapted text encoders."""
    fits = seen.encoder_fits
    if not fits:
        return found
    keys = tuple(modules.columns.names[0] for modules in seen.encoders.values())[:5]
    kept = [name for name in found if has_encoders(families()[name], seen)]
    if not kept:
        text = "The text-encoder modules fit none of them and were ignored."
        evidence.append(Evidence("encoders", text, keys))
        return found
    if len(kept) < len(found):
        known = encoders()
        titles = {
            known[name].title
            for family in kept
            for part, names in fits.items()
            for name in names
            if name in families()[family].text_encoders.get(part, ())
        }
        verb = "has" if len(kept) == 1 else "have"
        text = f"Only {listed(kept)} {verb} the adapted text encoders: {', '.join(sorted(titles))}."
        evidence.append(Evidence("encoders", text, keys))
    return kept


def has_encoders(family: Family, seen: Survey) -> bool:
    """Return whether a family may have all text encoders of a file, each in its place."""
    return all(
        not set(names).isdisjoint(family.text_encoders.get(part, ()))
        for part, names in seen.encoder_fits.items()
    )


def narrow(found: list[str], seen: Survey, claims: Claims, evidence: list[Evidence]) -> list[str]:
    """Apply the steps between the text encoders and the claim until one family is left."""
    for step in _STEPS:
        if len(found) < 2:
            break
        kept, reason = step(found, seen, claims)
        if kept and len(kept) < len(found):
            found = kept
            if reason is not None:
                evidence.append(reason)
    return found


_Result = tuple[list[str], Evidence | None]


def _by_depth(found: list[str], seen: Survey, claims: Claims) -> _Result:
    """Prefer families whose last blocks are the last ones of the file.

    Only for files that cover nearly all blocks: an adapter of blocks 2 and 3 doesn't show how many
    follow.
    """
    known = families()
    shares = {name: seen.coverage(known[name]) for name in found}
    kept = [
        name
        for name, share in shares.items()
        if share >= 1 or (share >= _COVERAGE and seen.ends_with(known[name]))
    ]
    rest = [name for name in found if name not in kept]
    text = f"The file has as many blocks as {listed(kept)}"
    if rest:
        text += f"; {listed(rest)} would have more of them"
    ends = [f"{stack}.{max(numbers)}" for stack, numbers in seen.stacks.items() if numbers]
    return kept, Evidence("depth", f"{text}.", _block_keys(seen, ends))


def _block_keys(seen: Survey, blocks: Collection[str]) -> tuple[str, ...]:
    columns = seen.denoiser.columns
    rows = zip(columns.blocks, columns.names, strict=True)
    keys = {block: name for block, name in rows if block in blocks}
    return tuple(keys.values())[:5]


def _by_cover(found: list[str], seen: Survey, claims: Claims) -> _Result:
    """Prefer a family if every linear layer of it is adapted, embedders and last layer included.

    A related family with more layers would have been adapted in them too, unless trainers exclude
    exactly these.
    """
    known = families()
    full = [name for name in found if seen.fitting[name] >= known[name].linear[seen.naming(name)]]
    missing = {name: _missing(name, seen) for name in full}
    kept = [name for name in full if not missing[name]]
    if not kept:
        return kept, None
    kept = [name for name in found if name in kept or _lacks_only_sets(name, seen)]
    rest = [name for name in found if name not in kept]
    text = f"Every linear layer of {listed(kept)} is adapted, including the first and the last"
    if rest:
        text += f"; {listed(rest)} would have more, such as `{_missing(rest[0], seen)[0]}`"
    return kept, Evidence("cover", f"{text}.", ())


def _by_targets(found: list[str], seen: Survey, claims: Claims) -> _Result:
    """Drop families in which PEFT's targets would have selected more layers."""
    targets = claims.targets
    if targets is None or (isinstance(targets.modules, str) and targets.modules != _ALL_LINEAR):
        return found, None  # regular expressions in files are untrusted
    wanted = targets.modules
    missing = {
        name: [
            path
            for path in _missing(name, seen, only_linear=isinstance(wanted, str))
            if (isinstance(wanted, str) or _ends(path, wanted))
            and not _ends(path, targets.excluded)
        ]
        for name in found
    }
    kept = [name for name in found if not missing[name]]
    return kept, _lacking("targets", "The trainer's targets", found, kept, missing)


def _by_network(found: list[str], seen: Survey, claims: Claims) -> _Result:
    """Drop families in which the trainer's network would have adapted more layers."""
    known = families()
    made = [claim for claim in (claims.first, *claims.others) if claim and claim.source == _NETWORK]
    networks = {claim.value for claim in made}
    if not networks or not all(networks & known[name].adapts_all for name in found):
        return found, None
    missing = {
        name: [
            path for path in _missing(name, seen) if not known[name].left_out_sets(pattern_of(path))
        ]
        for name in found
    }
    kept = [name for name in found if not missing[name]]
    reason = _lacking("network", f"The network {min(networks)}", found, kept, missing)
    return kept, reason._replace(keys=(_NETWORK,))


def _by_convention(found: list[str], seen: Survey, claims: Claims) -> _Result:
    """Keep the families whose trainers alone write such names."""
    written = set(seen.denoiser.columns.conventions)
    known = families()
    kept = [name for name in found if written <= known[name].conventions]
    text = f"Only trainers of {listed(kept)} write names like these."
    return kept, Evidence("convention", text, tuple(seen.denoiser.columns.names[:1]))


def narrow_by_claim(found: list[str], claims: Claims, evidence: list[Evidence]) -> list[str]:
    """Apply the first claim. A parent's label is also written on derived families."""
    first = claims.first
    if first is None or len(found) < 2:
        return found
    named = kept = [name for name in found if covers(first.family, name)]
    if kept and not claims.is_specific:
        known = families()
        parents = {name: known[name].parents | {parent_of(name)} for name in found}
        kept = [name for name in found if name in kept or parents[name] & set(kept)]
    if not kept or len(kept) == len(found):
        return found
    says = "file name suggests" if first.source == FILE_NAME else "metadata says"
    text = f"The {says} {listed(named)}, and the tensors fit it"
    also = [name for name in kept if name not in named]
    if also:
        text += f"; adapters of {listed(also)} often have the same label"
    evidence.append(Evidence("claim", f"{text}.", (first.source,)))
    return kept


_STEPS: tuple[Callable[[list[str], Survey, Claims], _Result], ...] = (
    _by_depth,
    _by_cover,
    _by_targets,
    _by_network,
    _by_convention,
)


def _missing(name: str, seen: Survey, *, only_linear: bool = True) -> list[str]:
    """Return a family's modules that the file lacks, in the naming that the file follows."""
    return [
        path for path, shape in seen.missing(name).items() if not (only_linear and len(shape) != 2)
    ]


def _lacks_only_sets(name: str, seen: Survey) -> bool:
    """Return whether a file lacks only whole sets of a family's modules that trainers exclude."""
    family = families()[name]
    included = seen.included(family)
    return all(family.left_out_sets(pattern_of(path)) - included for path in _missing(name, seen))


def _ends(path: str, endings: Sequence[str]) -> bool:
    return path in endings or path.endswith(tuple(f".{ending}" for ending in endings))


def _lacking(
    rule: str, subject: str, found: list[str], kept: list[str], missing: dict[str, list[str]]
) -> Evidence:
    rest = [name for name in found if name not in kept]
    text = f"{subject} would have selected more layers in {listed(rest, 'or')}"
    if rest:
        text += f", such as `{missing[rest[0]][0]}`"
    return Evidence(rule, f"{text}.", ())
