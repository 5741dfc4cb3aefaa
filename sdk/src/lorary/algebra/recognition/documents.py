"""The sketch of a file as a JSON document that a hub can look up."""

from __future__ import annotations

import base64

from lorary.algebra.recognition.relating import Facts
from lorary.algebra.recognition.sketch import FORM, sketch_file
from lorary.anatomy import inspect_file
from lorary.replacing import StrPath


def sketch_document(path: StrPath) -> dict[str, object] | None:
    """Return the sketch of a file with the facts of its header; None if it can't be sketched.

    Raises:
        HeaderError: The header breaks a rule.
        OSError: The file can't be read.
    """
    sketch = sketch_file(path)
    anatomy = inspect_file(path).anatomy
    if sketch is None or anatomy is None:
        return None
    facts = Facts.of(anatomy.to_dict())
    weights = base64.b64encode(sketch.to_bytes()).decode()
    return {"form": FORM, "weights": weights, **facts._asdict()}
