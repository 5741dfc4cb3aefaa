"""Checks every number of a file while it is read: whether it is finite, and whether it is zero.

NaN, infinity and zero are recognised by their bits, so that types that numpy doesn't have (bf16,
fp8) need no conversion. Without the sign bit, floats sort like their bits: 0 is zero, and
everything from the pattern with all exponent bits set is infinite or NaN. E4M3FN has no infinity
and one NaN; the FNUZ types have one NaN in place of −0. Source: IEEE 754; Micikevicius et al. 2022,
"FP8 Formats for Deep Learning"; ONNX, "Float stored in 8 bits".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from blake3 import blake3
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from lorary.anatomy import Finding
from lorary.anatomy.keys.tensor_names import split_key
from lorary.safetensors import Header
from registry.scan.value_digests import Values

#: Bytes checked at once, so that they stay in the processor's cache.
STEP = 256 * 1024

#: Maximum number of names in a finding.
MAX_NAMES = 20


#: Factors of a product: if one of them is zero, the product is zero.
_PRODUCTS: tuple[frozenset[str], ...] = (
    frozenset({"down", "up", "mid", "part_down", "part_up", "singular"}),
    frozenset({"embedding_down", "embedding_up"}),
    frozenset({f"hada_{part}" for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")}),
    frozenset(
        {f"lokr_{part}" for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t1", "t2")}
    ),
    frozenset({"glora_a1", "glora_a2"}),
    frozenset({"glora_b1", "glora_b2"}),
)
#: Tensors that change nothing if they are zero: differences, and rotations before training.
_NEUTRAL_ZEROS = frozenset(
    {"diff", "diff_b", "w_norm", "b_norm", "up_bias", "ia3_weight", "oft_blocks", "oft_r", "boft_r"}
)
#: Tensors that change nothing if they are one: multipliers.
_NEUTRAL_ONES = frozenset({"ia3_l", "rescale", "boft_s"})
#: Tensors that change nothing by themselves.
_INERT = frozenset({"alpha", "on_input"})


class _Bits(NamedTuple):
    """A float type as unsigned integers.

    ``mask`` removes the sign; ``limit`` is the first value that isn't finite.
    """

    dtype: str
    mask: int
    limit: int


_FLOATS = {
    "F64": _Bits("<u8", 0x7FFF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000),
    "F32": _Bits("<u4", 0x7FFF_FFFF, 0x7F80_0000),
    "F16": _Bits("<u2", 0x7FFF, 0x7C00),
    "BF16": _Bits("<u2", 0x7FFF, 0x7F80),
    "C64": _Bits("<u4", 0x7FFF_FFFF, 0x7F80_0000),
    "F8_E5M2": _Bits("u1", 0x7F, 0x7C),
    "F8_E4M3": _Bits("u1", 0x7F, 0x7F),
    "F8_E8M0": _Bits("u1", 0xFF, 0xFF),
}
_ONE_NAN = {"F8_E4M3FNUZ", "F8_E5M2FNUZ"}
_NO_FLOAT = _Bits("u1", 0xFF, 0x100)

_ONES = {"F64": 0x3FF0_0000_0000_0000, "F32": 0x3F80_0000, "F16": 0x3C00, "BF16": 0x3F80}


class _Part(NamedTuple):
    """A tensor of a module; ``is_neutral`` if its values alone change nothing."""

    module: str
    role: str
    name: str
    is_neutral: bool


class Numbers:
    """Reads the data section of a file in blocks of any length that do not split a number.

    A valid header has no gaps or overlaps, so the tensors in order make up the whole data section.
    Only the digest of each is kept.
    """

    def __init__(self, header: Header) -> None:
        rows = sorted(header.tensors.items(), key=lambda item: item[1].begin)
        self._rows = [row for row in rows if row[1].size_bytes]
        self._names = frozenset(header.tensors)
        self._values = Values(header)
        self._at = 0
        self._digests: list[bytes] = []
        self._scratch = np.empty(STEP, dtype=np.uint8)
        self._broken: list[str] = []
        self._parts: list[_Part] = []
        self._has_others = False
        self._begin()

    def _begin(self) -> None:
        """Prepare for the next tensor."""
        self._is_finite = self._is_neutral = True
        if self._at < len(self._rows):
            self._name, self._info = self._rows[self._at]
            self._bits = _FLOATS.get(self._info.dtype, _NO_FLOAT)
            form = f"{self._info.dtype} {list(self._info.shape)} "
            self._digest = blake3(form.encode())
            self._module, self._role = self._split(self._name)
            self._values.begin(self._info, self._module, self._role)

    def _split(self, name: str) -> tuple[str, str]:
        """Return module and role. LyCORIS' (IA)³ weights have the name of ordinary weights."""
        split = split_key(name)
        if split is not None:
            return split[0], split[1].name
        module = name.removesuffix(".weight")
        is_ia3 = module != name and f"{module}.on_input" in self._names
        return (module, "ia3_weight") if is_ia3 else (name, "")

    def update(self, begin: int, block: memoryview) -> None:
        """Add the block that begins at this byte of the data section."""
        end = begin + len(block)
        while self._at < len(self._rows) and (place := max(begin, self._info.begin)) < end:
            stop = min(end, self._info.end)
            self._take(block[place - begin : stop - begin])
            if stop < self._info.end:
                return
            self._close()

    def _take(self, piece: memoryview) -> None:
        self._digest.update(piece)
        self._values.take(piece)
        for start in range(0, len(piece), STEP):
            self._check(piece[start : start + STEP])

    def _check(self, piece: memoryview) -> None:
        values = np.frombuffer(piece, dtype=self._bits.dtype)
        if self._info.dtype in _ONE_NAN:
            self._is_finite = self._is_finite and not bool((values == 0x80).any())
        room = self._scratch.view(self._bits.dtype)[: len(values)]
        np.bitwise_and(values, room.dtype.type(self._bits.mask), out=room)
        largest = int(room.max())
        if self._role in _NEUTRAL_ONES:
            one = _ONES.get(self._info.dtype)
            self._is_neutral = self._is_neutral and bool((values == one).all())
        else:
            self._is_neutral = self._is_neutral and not largest
        self._is_finite = self._is_finite and largest < self._bits.limit

    def _close(self) -> None:
        """Record the results of a tensor, and go on to the next one."""
        self._digests.append(self._digest.digest())
        if not self._is_finite:
            self._broken.append(self._name)
        if self._role:
            self._parts.append(_Part(self._module, self._role, self._name, self._is_neutral))
        elif not self._is_neutral:
            self._has_others = True
        self._values.close()
        self._at += 1
        self._begin()

    def digest(self) -> str:
        """Return a digest of the tensors that ignores their order and names.

        Each tensor gives the BLAKE3 of ``F16 [4, 320] `` (number format, shape) and its bytes; the
        result is the BLAKE3 of the sorted digests. So it stays the same when a tool renames the
        keys.
        """
        return blake3(b"".join(sorted(self._digests))).hexdigest()

    def weights(self) -> dict[str, str]:
        """Return the digests of the values, by kind (``registry.scan.value_digests``)."""
        return self._values.results()

    def findings(self) -> Iterator[Finding]:
        """Yield findings about the numbers."""
        if self._broken:
            yield Finding(
                "numbers_not_finite",
                "error",
                ngettext(
                    "%(n)d tensor has NaN or infinite values, which make images black. Export an "
                    "earlier checkpoint.",
                    "%(n)d tensors have NaN or infinite values, which make images black. Export an "
                    "earlier checkpoint.",
                    len(self._broken),
                )
                % {"n": len(self._broken)},
                {"count": len(self._broken), "tensors": self._broken[:MAX_NAMES]},
            )
        else:
            yield from self._silent_modules()

    def _silent_modules(self) -> Iterator[Finding]:
        """Yield a finding about modules that change nothing; an error if all of them do."""
        modules: dict[str, dict[str, bool]] = {}
        for part in self._parts:
            modules.setdefault(part.module, {})[part.role] = part.is_neutral
        silent = {name for name, roles in modules.items() if _is_silent(roles)}
        if not silent:
            return
        count = len(silent)
        zeros = [part.name for part in self._parts if part.module in silent and part.is_neutral]
        evidence: dict[str, object] = {"count": count, "tensors": zeros[:MAX_NAMES]}
        if count == len(modules) and not self._has_others:
            message = _(
                "All modules are zero, so the file changes nothing. It was saved before the "
                "training, or a conversion lost its values. Export it again."
            )
            yield Finding("changes_nothing", "error", message, evidence)
            return
        message = ngettext(
            "%(n)d module is all zero and changes nothing.",
            "%(n)d modules are all zero and change nothing.",
            count,
        ) % {"n": count}
        yield Finding("modules_silent", "warning", message, evidence)


def _is_silent(neutral: Mapping[str, bool]) -> bool:
    """Return whether a module certainly changes nothing.

    DoRA's magnitudes, for one, can change the base even beside a pair of zeros.

    Args:
        neutral: Role of each of its tensors, and whether all of its values are zero (or one, for
            ``_NEUTRAL_ONES``).
    """
    rest = set(neutral) - _INERT - {"scalar"}
    is_scaled_away = neutral.get("scalar", False)
    products = [own for group in _PRODUCTS if (own := rest & group)]
    if not all(is_scaled_away or any(neutral[role] for role in own) for own in products):
        return False
    for own in products:
        rest -= own
    single = rest <= _NEUTRAL_ZEROS | _NEUTRAL_ONES and all(neutral[role] for role in rest)
    return single and bool(products or rest)
