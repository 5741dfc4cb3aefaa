"""Tables of known checkpoints: import, refusals, and what they say about an anatomy."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from lorary.anatomy import inspect_bytes
from registry.lineages import selectors, services, tables
from registry.models import Event, KnownCheckpoint
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django import DjangoAssertNumQueries

SHA = "1f" * 32
HEADER = "sha256,autov2,autov1,number,lineage,name,source\n"
ROW = f"{SHA},,,4711,Pony,House mix v3,https://studio.example/bases\n"

pytestmark = pytest.mark.django_db


def _file(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _run(*arguments: str) -> str:
    out = StringIO()
    call_command("lineages", *arguments, stdout=out)
    return out.getvalue().strip()


def test_a_table_is_imported_listed_and_removed(tmp_path: Path) -> None:
    path = str(_file(tmp_path, HEADER + ROW + "\n,0xABCDEF1234,,,NoobAI,,the studio\n"))
    assert _run("import", path) == "3 ids imported"
    assert json.loads(_run("import", path, "--json")) == {"imported": 3}
    rows = json.loads(_run("list", "--json"))["checkpoints"]
    assert [(row["kind"], row["value"]) for row in rows] == [
        ("autov2", "abcdef1234"), ("number", "4711"), ("sha256", SHA),
    ]  # fmt: skip
    assert _run("list", "noobai") == "autov2  abcdef1234  NoobAI  the studio"
    assert _run("remove", "pONY", "abcdef1234") == "3 ids removed"
    with pytest.raises(CommandError, match="no entry Pony"):
        _run("remove", "Pony")
    counts = Event.objects.order_by("pk").values_list("verb", "facts__count")
    assert list(counts) == [*[("checkpoints_imported", 3)] * 2, ("checkpoints_removed", 3)]


def test_json_says_the_same_and_replaces_what_was_there(tmp_path: Path) -> None:
    services.import_table(path=_file(tmp_path, HEADER + ROW))
    row = {"sha256": SHA, "number": 4711, "lineage": "Illustrious", "source": "x"}
    services.import_table(path=_file(tmp_path, json.dumps([row]), "t.json"))
    found = KnownCheckpoint.objects.values_list("lineage", "name")
    assert list(found) == [("Illustrious", ""), ("Illustrious", "")]


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "no hash at all": (f"{HEADER}{ROW},,,,Pony,,x\n", "Line 3: one of sha256"),
    "a short hash": (f"{HEADER}abc,,,,Pony,,x\n", "Line 2: 'abc' is not a valid sha256"),
    "hash of nothing": (f"{HEADER},e3b0c44298,,,Pony,,x\n", "Line 2: e3b0c44298 is the hash"),
    "no lineage": (f"{HEADER},,,1,,,x\n", "Line 2: lineage is missing"),
    "no source": (f"{HEADER},,,1,Pony,,\n", "Line 2: source is missing"),
    "a long name": (f"{HEADER},,,1,Pony,{'a' * 201},x\n", "Line 2: name is longer"),
    "a control character": (f"{HEADER},,,1,Po\x07ny,,x\n", "Line 2: lineage is longer"),
    "two lineages": (
        f"{HEADER}{ROW}{SHA},,,,NoobAI,,x\n",
        "Line 3: .* has another lineage in line 2: Pony",
    ),
    "another column": ("sha256,colour\n", "Line 1: 'colour' is not a column"),
    "too many cells": (f"{HEADER}{ROW.strip()},1,2\n", "Line 2: more cells than columns"),
    "an open quote": (f'{HEADER}"{ROW}', r"Line \d: unexpected end of data"),
    "nothing": (HEADER, "has no rows"),
    "not text": (b"\xff\xfe\x00", "not UTF-8"),
    "a field that is too long": (f"{HEADER}{'a' * 200_000},,,,a,,x\n", "field larger"),
}


def test_a_bad_row_is_named_by_its_line_and_nothing_is_imported(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for what, (text, message) in REFUSED.items():
        with subtests.test(what):
            with pytest.raises(CommandError, match=message) as refusal:
                _run("import", str(_file(tmp_path, text)))
            assert str(refusal.value).endswith("Nothing was imported.")
            assert not KnownCheckpoint.objects.exists()


def test_json_that_is_no_list_of_entries_is_refused(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    texts = {
        "{": "not JSON", "{}": "not a list", "[1]": "Line 1: not an object",
        "[" * 9_000: "not JSON",
        '[{"colour": 1}]': "'colour' is not a key",
        '[{"number": true, "lineage": "a", "source": "x"}]': "one of",
    }  # fmt: skip
    for text, message in texts.items():
        with subtests.test(text[:20]), pytest.raises(tables.TableInvalid, match=message):
            tables.read(_file(tmp_path, text, "t.json"))


def test_large_tables_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path, HEADER + "".join(f",,,{n},Pony,,x\n" for n in range(1, 5)))
    monkeypatch.setattr(tables, "MOST_ROWS", 3)
    with pytest.raises(tables.TableInvalid, match="more than 3 rows"):
        tables.read(path)
    monkeypatch.setattr(tables, "MOST_BYTES", 50)
    with pytest.raises(tables.TableInvalid, match="larger than 50 bytes"):
        tables.read(path)
    with pytest.raises(tables.TableInvalid, match="cannot be read"):
        tables.read(tmp_path / "missing.csv")


def _known(**metadata: str) -> list[dict[str, Any]]:
    found = inspect_bytes(kohya(DENOISERS["sdxl", "sgm"], metadata=metadata))
    assert found.anatomy is not None
    document = selectors.with_known(found.anatomy.to_dict())
    assert document["base"]["lineage"] == found.anatomy.base.lineage
    assert document["base"]["confidence"] == found.anatomy.base.confidence
    return [one for one in document["base"]["lineage_evidence"] if one["rule"] == "known_hash"]


def test_what_trainers_write_is_matched_and_stays_an_estimate(
    tmp_path: Path, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    services.import_table(path=_file(tmp_path, f"{HEADER}{ROW},,0a1b2c3d,,Old mix,,x\n"))
    for key, value in (
        ("ss_new_sd_model_hash", SHA), ("ss_new_sd_model_hash", f"0x{SHA[:10].upper()}"),
        ("ss_sd_model_name", "/bases/4711.safetensors"),
    ):  # fmt: skip
        (found,) = _known(**{key: value})
        assert (found["lineage"], found["stance"], found["confidence"]) == (
            "Pony", "for", "estimated",
        )  # fmt: skip
        assert (found["source"], found["keys"]) == ("https://studio.example/bases", [key])
        assert "House mix v3" in found["text"]
    both = _known(ss_new_sd_model_hash=SHA, ss_sd_model_hash="0A1B2C3D")
    assert [one["lineage"] for one in both] == ["Pony", "Old mix"]
    rest = f",{SHA[:10]},,,Short,,x\n,,,47110,Other,,x\n{SHA[:10]}{'0' * 54},,,,Long,,x\n"
    services.import_table(path=_file(tmp_path, HEADER + rest))
    with django_assert_num_queries(1):
        several = _known(ss_new_sd_model_hash=SHA[:10], ss_sd_model_name="4711.safetensors")
    assert [(one["lineage"], one["keys"][0]) for one in several] == [
        ("Pony", "ss_new_sd_model_hash"), ("Long", "ss_new_sd_model_hash"),
        ("Short", "ss_new_sd_model_hash"),
    ]  # fmt: skip
    assert [one["lineage"] for one in _known(ss_new_sd_model_hash=SHA)] == ["Pony", "Short"]
    assert _known(ss_new_sd_model_hash="2f" * 32) == _known(ss_sd_model_name="house") == []


def test_an_autov2_is_found_by_the_whole_hash(tmp_path: Path) -> None:
    services.import_table(path=_file(tmp_path, f"{HEADER},{SHA[:10]},,,Pony,,x\n"))
    assert [one["lineage"] for one in _known(ss_new_sd_model_hash=SHA)] == ["Pony"]
