"""A short pass of what `mutate.py` does for long, and the same rules for hypothesis to break."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorary.safetensors.errors import HEADER_CODES
from tests.builders.malformed import ATTACKS
from tests.builders.weights import file_of
from tools.fuzz import seeds
from tools.fuzz.checks import check, declared_size, official_verdict
from tools.fuzz.mutate import Broken, Run, main
from tools.fuzz.mutations import bulk, mutated

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)

_NAMES = st.one_of(
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(seeds.PREFIX_TEXTS),
            st.from_regex(r"[a-z_]{1,9}(\.[0-9]{1,2})?(\.[a-z_0-9]{1,9}){0,2}", fullmatch=True),
            st.sampled_from(seeds.SUFFIX_TEXTS),
        ),
    ),
    st.sampled_from(seeds.FOREIGN),
    st.text(max_size=20),
)
_SHAPES = st.lists(st.one_of(st.integers(0, 9), st.sampled_from(seeds.SIZES)), max_size=5)
_ENTRIES = st.dictionaries(_NAMES, st.tuples(st.sampled_from(seeds.DTYPES), _SHAPES), max_size=9)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)
_METADATA = st.dictionaries(
    st.sampled_from(seeds.KEYS),
    st.one_of(st.text(max_size=60), st.sampled_from(seeds.WORDS), _VALUES.map(json.dumps)),
    max_size=6,
)


@SETTINGS
@given(_ENTRIES, _METADATA, st.sampled_from((None, *seeds.CONFIGS)))
def test_whatever_is_well_laid_out_has_an_anatomy(
    entries: dict[str, seeds.Entry], metadata: dict[str, str], config: bytes | None
) -> None:
    header: dict[str, Any] = {"__metadata__": metadata, **seeds.layout(entries)}
    assert check(file_of(header), config=config) in {"accepted", *HEADER_CODES}


@SETTINGS
@given(st.dictionaries(_NAMES, _VALUES, max_size=4), _VALUES, st.integers(-3, 3))
def test_any_json_is_read_or_refused(
    members: dict[str, Any], metadata: object, missing: int
) -> None:
    raw = file_of({"__metadata__": metadata, **members})
    assert check(raw, len(raw) + missing) in {"accepted", *HEADER_CODES}


@SETTINGS
@given(st.binary(max_size=400), st.booleans(), st.sampled_from((None, *seeds.CONFIGS)))
def test_any_bytes_are_read_or_refused(noise: bytes, framed: bool, config: bytes | None) -> None:
    assert check(file_of(b"{" + noise) if framed else noise, config=config)


@pytest.mark.parametrize("seed", range(4))
def test_changed_headers_break_no_rule(seed: int) -> None:
    run = Run(seed)
    run.batch(500)
    assert run.answers["accepted"] > 50
    assert len(run.answers) > 8
    assert run.measured == 2


def test_large_headers_break_no_rule() -> None:
    run = Run(0)
    for seed in range(12):
        run.measured_check(bulk(Random(seed)), None)
    assert run.measured == 12
    assert 0 < run.most_times < 20


def test_changes_of_one_seed_are_always_the_same() -> None:
    first, second = (mutated(Random(f"1:{turn}")) for turn in (0, 0))
    assert first == second


def test_a_broken_rule_is_told_with_its_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> str:
        msg = "surprise"
        raise KeyError(msg)

    monkeypatch.setattr("tools.fuzz.mutate.check", fail)
    with pytest.raises(Broken, match="KeyError: 'surprise'"):
        main(["--runs", "10", "--seed", "5", "--keep", str(tmp_path / "kept")])
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_bytes() == mutated(Random("5:0"))
    assert str(kept) in capsys.readouterr().out


def test_a_run_goes_on_where_it_was_stopped_and_reports(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    main(["--runs", "300", "--seed", "6", "--state", str(state)])
    assert json.loads(state.read_text())["done"] == 300
    main(["--runs", "400", "--seed", "6", "--state", str(state), "--report", str(tmp_path)])
    (report,) = tmp_path.glob("*-fuzzing.md")
    assert "400 changed headers (seed 6)" in report.read_text("utf-8")


def test_the_official_reader_is_asked_about_the_whole_file() -> None:
    sound = file_of(seeds.layout({"a": ("F16", [3])}))
    assert official_verdict(sound, declared_size(sound)) is True
    assert official_verdict(ATTACKS["size and shape differ"].data, 100) is False
    assert official_verdict(sound, 10**9) is None
