"""Published files: whatever they hold, their documents have the one shape."""

from __future__ import annotations

import json

import pytest

from lorary.anatomy import analyse
from tests.lorary import documents, reference

if not reference.IS_HERE:
    pytest.skip("no reference files (set LORARY_REFERENCE)", allow_module_level=True)

FOLDERS = ("lora_headers", "lora_metadata")


@pytest.mark.parametrize(
    ("folder", "name"),
    [(folder, name) for folder in FOLDERS for name in reference.names(folder)],
)
def test_the_document_has_its_shape(folder: str, name: str) -> None:
    description = reference.load(folder, name)
    description.setdefault("tensors", {})
    found = analyse(reference.header_of(description), name=f"{name}.safetensors")
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert documents.faults(document) == []
