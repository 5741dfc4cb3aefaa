"""The catalogue of findings: documented, used, and in plain JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lorary.anatomy.findings.finding import (
    ANATOMY_CODES,
    counted,
    finding,
    finding_codes,
    from_error,
)
from lorary.safetensors import HeaderError
from lorary.safetensors.errors import HEADER_CODES

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.+?) \| (.+?) \|$", re.MULTILINE)
SECTION = re.compile(r"^## .+?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
DOCS = (ROOT / "docs" / "findings.md").read_text("utf-8")


def test_every_code_is_documented_with_its_severity() -> None:
    documented = {code: severity for code, severity, _, _ in ROW.findall(DOCS)}
    catalogue = dict.fromkeys(HEADER_CODES, "error")
    catalogue.update(ANATOMY_CODES)
    assert set(catalogue) == finding_codes()
    assert {code: documented.get(code) for code in catalogue} == catalogue


def test_codes_stand_in_order_within_a_section() -> None:
    for section in SECTION.findall(DOCS)[1:]:
        codes = [code for code, *_ in ROW.findall(section)]
        assert len(codes) == len(set(codes))
        if "something else" not in section:
            assert codes == sorted(codes), section[:40]


def test_every_code_is_given_somewhere() -> None:
    sources = "".join(
        path.read_text("utf-8")
        for folder in ("sdk/src/lorary/anatomy", "registry")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "finding.py"
    )
    assert [code for code in ANATOMY_CODES if f'"{code}"' not in sources] == []


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 module has"), (2, "2 modules have"), (1200, "1,200 modules have")]
)
def test_numbers_come_with_their_noun_and_verb(count: int, text: str) -> None:
    assert counted(count, "module", "has", "have") == text


def test_a_finding_is_plain_json_with_the_catalogued_severity() -> None:
    found = finding("rank_differs", "A message.", declared=1, found=[2])
    assert json.loads(json.dumps(found.to_dict())) == {
        "code": "rank_differs",
        "severity": "info",
        "message": "A message.",
        "evidence": {"declared": 1, "found": [2]},
    }


def test_a_refused_header_is_a_finding_with_its_facts() -> None:
    error = HeaderError("A hole.", code="hole", offset=12, facts={"bytes": 4})
    found = from_error(error)
    assert (found.code, found.severity) == ("hole", "error")
    assert found.evidence == {"bytes": 4, "offset": 12}
