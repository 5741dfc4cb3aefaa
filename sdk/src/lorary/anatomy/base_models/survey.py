"""Counts the modules of a file by their entries in the tables.

A file has thousands of modules but only dozens of different ones: the same layer in every block. So
questions about the base model are answered by these groups, not by module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from lorary.anatomy.families import Family, encoder_index, encoders, families, family_index
from lorary.anatomy.modules.module_table import Module, Modules, modules_of

if TYPE_CHECKING:
    from lorary.anatomy.base_models.module_index import Row, Weights

_DIFFERENCES = frozenset(
    {"w_norm", "b_norm", "diff_b", "diff_m", "alpha", "weight", "tokens", "scale"}
)


Sizes = tuple["int | None", "int | None"]


class Group(NamedTuple):
    """Modules that have the same table entry and the same sizes."""

    weights: Weights  # their table entry
    bits: int  # families whose weights have these sizes
    sizes: Sizes  # rows and columns of these weights, None if unknown
    number: int  # number of modules
    name: str  # name of the first one
    file_modules: Modules  # all modules of the file
    indices: Sequence[int]  # indices of these modules

    @property
    def modules(self) -> Modules:
        """The modules themselves."""
        return self.file_modules.at(self.indices)


@dataclass(frozen=True)
class Survey:
    """What a file's names and shapes show."""

    denoiser: Modules  # modules of the denoiser that matter
    groups: list[Group]  # those that a table has
    unknown: Modules  # those that no table has
    encoders: dict[str, Modules]  # text encoder to its modules
    _missing: dict[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)
    _rows: dict[str, tuple[str, list[tuple[Row, int]]]] = field(default_factory=dict)

    @cached_property
    def has_shapes(self) -> bool:
        """Whether the sizes of at least half of the modules are known."""
        alike = [(group.sizes, group.number) for group in self.groups]
        alike += [(dims[:2], 1) for dims in self.unknown.columns.dims]
        known = sum(count for sizes, count in alike if sizes != (None, None))
        return 2 * known >= len(self.denoiser)

    @cached_property
    def named(self) -> dict[str, int]:
        """Family to the number of modules whose names it has."""
        return self._totals(by_shape=False)

    @cached_property
    def fitting(self) -> dict[str, int]:
        """Family to the number of modules whose names and shapes it has."""
        return self._totals(by_shape=True)

    def _totals(self, *, by_shape: bool) -> dict[str, int]:
        sets: dict[int, int] = {}
        found = 0
        for group in self.groups:
            bits = group.bits if by_shape else group.weights.owners
            sets[bits] = sets.get(bits, 0) + group.number
            found |= bits
        return {
            name: sum([number for bits, number in sets.items() if bits & bit])
            for name, bit in family_index().bits.items()
            if found & bit
        }

    def only(self, family: str) -> list[Group]:
        """Groups whose names no other family has."""
        bit = family_index().bits[family]
        return [group for group in self.groups if group.weights.owners == bit]

    def groups_of(self, family: str) -> Iterator[Group]:
        """Groups that a family has."""
        bit = family_index().bits[family]
        return (group for group in self.groups if group.bits & bit)

    @cached_property
    def stacks(self) -> dict[str, dict[int, int]]:
        """Stack of blocks to number of the block to its modules."""
        found: dict[str, dict[int, int]] = {}
        for block, count in Counter(self.denoiser.columns.blocks).items():
            stack, _, number = block.rpartition(".")
            if number.isascii() and number.isdigit():
                found.setdefault(stack, {})[int(number)] = count
        return found

    def rows(self, family: Family) -> tuple[str, list[tuple[Row, int]]]:
        """Return the naming of a family that the file follows, and its rows with their counts."""
        found = self._rows.get(family.id)
        if found is None:
            found = self._rows[family.id] = self._rows_of(family)
        return found

    def _rows_of(self, family: Family) -> tuple[str, list[tuple[Row, int]]]:
        by_naming: dict[str, list[tuple[Row, int]]] = {}
        for group in self.groups_of(family.id):
            for row in group.weights.rows_of(family.id):
                by_naming.setdefault(row.naming, []).append((row, group.number))
        if not by_naming:
            return family.kohya, []
        return max(by_naming.items(), key=lambda item: sum(count for _, count in item[1]))

    def naming(self, family: str) -> str:
        """Return the naming of a family that the file follows."""
        return self.rows(families()[family])[0]

    def is_respelled(self, family: str) -> bool:
        """Return whether a family has some flattened names only as ComfyUI spells them.

        ComfyUI's names come from converters, which keep the dots; trainers flatten the model's own
        names.
        """
        return any(
            "." not in group.name
            and all(row.naming == "comfyui" for row in group.weights.rows_of(family))
            for group in self.groups_of(family)
        )

    def missing(self, family: str) -> Mapping[str, tuple[int, ...]]:
        """Return a family's modules that the file lacks, in the naming that the file follows."""
        found = self._missing.get(family)
        if found is None:
            present: set[str] = set()
            for group in self.groups_of(family):
                places = [place for place in group.modules.columns.places if place is not None]
                if group.weights.has_one_pattern:
                    present.update(place.path for place in places)
                else:
                    present.update(path for place in places for path in place.paths_of(family))
            modules = families()[family].namings[self.naming(family)]
            found = {path: shape for path, shape in modules.items() if path not in present}
            self._missing[family] = found
        return found

    def coverage(self, family: Family) -> float:
        """Return the share of a family's modules that the file has, of the kinds that it has.

        The file shows which kinds of layers the trainer selected; each of them counts in every
        block of the family.
        """
        naming, rows = self.rows(family)
        targets = {row.target for row, _ in rows}
        total = sum(family.targets[naming][target] for target in targets)
        return sum(count for _, count in rows) / total if total else 0.0

    def ends_with(self, family: Family) -> bool:
        """Return whether the stacks of blocks are as deep as the family's."""
        return all(
            max(numbers) + 1 == family.depths.get(stack, 0)
            for stack, numbers in self.stacks.items()
        )

    @cached_property
    def encoder_fits(self) -> dict[str, list[str]]:
        """Part to the text encoders that have all of its modules."""
        index = encoder_index()
        found: dict[str, list[str]] = {}
        for part, modules in self.encoders.items():
            bits = -1
            columns = modules.columns
            for place, dims in zip(columns.places, columns.dims, strict=True):
                bits &= 0 if place is None else place.weights.fitting(dims.out, dims.fan_in)
            found[part] = index.names(bits)
        return found

    @cached_property
    def is_llm(self) -> bool:
        """Whether all modules are those of a language model that is adapted for its own sake."""
        known = encoders()
        return not self.denoiser and any(
            module.convention.startswith(("peft", "bare"))
            and any(known[name].is_llm for name in self.encoder_fits[part])
            for part, modules in self.encoders.items()
            for module in modules[:1]
        )

    def included(self, family: Family) -> frozenset[int]:
        """Return numbers of the sets of usually excluded modules that the file has a module of."""
        rows = self.rows(family)[1]
        return frozenset().union(*{family.left_out_sets(row.pattern) for row, _ in rows})

    def expected(self, family: Family) -> int | None:
        """Return the modules of an unrestricted file of a family, in this file's parts."""
        naming, rows = self.rows(family)
        included = self.included(family)
        count = sum(
            number for sets, number in family.usual[naming].items() if rows and sets <= included
        )
        for part, fits in self.encoder_fits.items():
            own = [name for name in family.text_encoders.get(part, ()) if name in fits]
            count += encoders()[own[0]].modules if own else 0
        return count or None


def survey(modules: Sequence[Module]) -> Survey:
    """Return counts of a file's modules."""
    modules = modules_of(modules)
    parts, groups = modules.groups.parts, list(_by_size(modules))
    unknown = [index for index in modules.groups.unknown if _matters(modules[index])]
    ignored = set(modules.groups.unknown).difference(unknown)
    denoiser: Sequence[int] = parts.get("denoiser", ())
    if ignored:
        denoiser = [index for index in denoiser if index not in ignored]
    return Survey(
        modules.at(denoiser),
        groups,
        modules.at(unknown),
        {part: modules.at(own) for part, own in parts.items() if part != "denoiser"},
    )


def _by_size(modules: Modules) -> Iterator[Group]:
    """Yield groups in the order of their first modules."""
    names, dims = modules.columns.names, modules.columns.dims
    found: list[tuple[Weights, Sizes, Sequence[int]]] = []
    for weights, indices in modules.groups.weights:
        own = [dims[index] for index in indices]
        if own.count(own[0]) == len(own):  # nearly always
            found.append((weights, own[0][:2], indices))
            continue
        by_size: dict[Sizes, list[int]] = {}
        for index, size in zip(indices, own, strict=True):
            by_size.setdefault(size[:2], []).append(index)
        found += [(weights, sizes, alike) for sizes, alike in by_size.items()]
    found.sort(key=lambda group: group[2][0])
    for weights, sizes, members in found:
        bits, name = weights.fitting(*sizes), names[members[0]]
        yield Group(weights, bits, sizes, len(members), name, modules, members)


def _matters(module: Module) -> bool:
    """Return whether an unknown module counts: tables have no norms and biases."""
    roles = module.roles
    if _DIFFERENCES.issuperset(roles):
        return False
    return "diff" not in roles or module.dims.fan_in is not None
