"""Reads the JSON tables of this package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def read_table(path: str) -> Any:  # noqa: ANN401 - each table has its own shape
    """Return the content of a table, such as `claims/stop_words.json`."""
    return json.loads((resources.files("lorary.anatomy") / path).read_text("utf-8"))
