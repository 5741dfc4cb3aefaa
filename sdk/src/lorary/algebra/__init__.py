"""Algebra of adapters on their factors: convert, resize, merge, compare, rewrite and extract.

It needs numpy and ml_dtypes (`pip install 'lorary[algebra]'`), which are imported at the first use
of a name. `docs/algebra.md` has the formulas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.lazy import names_of

if TYPE_CHECKING:
    from lorary.algebra.comparing import compare, measure
    from lorary.algebra.conversion.converting import Conversion, convert
    from lorary.algebra.errors import AlgebraError
    from lorary.algebra.extracting import extract
    from lorary.algebra.files import PlannedTensor, WeightFile, write_weights
    from lorary.algebra.merging.merge import MergeSettings, merge
    from lorary.algebra.metadata.rewrite import rewrite
    from lorary.algebra.modules import open_adapter
    from lorary.algebra.resize import resize_to_bytes, resize_to_rank, resize_to_share

__all__ = [
    "AlgebraError",
    "Conversion",
    "MergeSettings",
    "PlannedTensor",
    "WeightFile",
    "compare",
    "convert",
    "extract",
    "measure",
    "merge",
    "open_adapter",
    "resize_to_bytes",
    "resize_to_rank",
    "resize_to_share",
    "rewrite",
    "write_weights",
]

__getattr__, __dir__ = names_of(
    __name__,
    {
        "lorary.algebra.comparing": ["compare", "measure"],
        "lorary.algebra.conversion.converting": ["Conversion", "convert"],
        "lorary.algebra.errors": ["AlgebraError"],
        "lorary.algebra.extracting": ["extract"],
        "lorary.algebra.files": ["PlannedTensor", "WeightFile", "write_weights"],
        "lorary.algebra.merging.merge": ["MergeSettings", "merge"],
        "lorary.algebra.metadata.rewrite": ["rewrite"],
        "lorary.algebra.modules": ["open_adapter"],
        "lorary.algebra.resize": ["resize_to_bytes", "resize_to_rank", "resize_to_share"],
    },
)
