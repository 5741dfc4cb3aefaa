"""No regular expression of ours takes memory or time out of proportion to a stranger's text."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys

import pytest

from lorary.anatomy import inspect_bytes
from lorary.anatomy.claims.metadata import public_text
from tools.fuzz.hostile_text import MEMORY_BYTES, MEMORY_TIMES, Breach, measured
from tools.fuzz.patterns import EXEMPT, MOST, ROOT, compiled, parser, risks


def test_every_pattern_repeats_within_limits() -> None:
    found = {f"{one.place} {one.text[:80]}": risks(one.tree) for one in compiled()}
    assert len(found) > 250
    assert {place: faults for place, faults in found.items() if faults} == {}


def test_every_exempt_file_is_there_and_compiles_patterns() -> None:
    for file in EXEMPT:
        assert "re.compile(" in (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:ab|b)*",
        "(?:ab)+c",
        "a*b",
        "a+?",
        f"a{{1,{MOST + 1}}}b",
        "(a|b*)c",
        "(?:a*){3}",
        "(?=a*b)c",
    ],
)
def test_a_repetition_that_may_be_taken_back_has_a_limit(pattern: str) -> None:
    assert risks(parser.parse(pattern))


@pytest.mark.parametrize(
    "pattern", ["a*", "[ab]+", "x(?:c|a*)", f"a{{1,{MOST}}}b", "(?:ab){0,64}c*", "(?:ab){2}"]
)
def test_a_character_may_repeat_for_ever_where_the_pattern_ends(pattern: str) -> None:
    assert risks(parser.parse(pattern)) == []


def whole(text: str) -> bytes:
    tensor = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    raw = json.dumps({"__metadata__": {"x": text}, "a": tensor}).encode()
    return struct.pack("<Q", len(raw)) + raw


@pytest.mark.parametrize(
    "unit",
    [
        "/home/a/",
        "C:\\\\Users\\\\a\\\\",
        "file:///a b/",
        "-eyJaaaaaaaa",
        "\\\\\\\\a",
        "sk-a",
        "/media/a",
    ],
)
def test_a_text_of_one_piece_over_and_over_costs_little(unit: str) -> None:
    data = whole(unit * (2_000_000 // len(unit)))
    spent = measured(
        lambda: inspect_bytes(data, name="x.safetensors", size=len(data) + 1), cpu_s=20
    )
    assert spent.rss_bytes < MEMORY_BYTES + MEMORY_TIMES * len(data) / 10
    assert spent.cpu_s < 10


def test_what_follows_the_longest_part_of_a_path_is_not_told_either() -> None:
    folder = "/home/anna/" + "x" * 1_500 + "/secret name/" + "y" * 1_500
    assert "secret" not in public_text(f"--out={folder}/end", 8_000)
    assert "anna" not in public_text(f"--out={folder}/end", 8_000)


def test_a_private_key_is_removed_to_its_end() -> None:
    key = "-----BEGIN PRIVATE KEY-----\n" + "A" * 6_000 + "tail"
    assert "tail" not in public_text(key, 9_000)


def test_a_pattern_that_goes_back_over_everything_is_a_breach() -> None:
    pattern, text = re.compile(r"\beyJ[\w\-]{8,}\.x"), "-eyJaaaaaaaa" * 100_000
    with pytest.raises(Breach, match="ended"):
        measured(lambda: pattern.search(text), cpu_s=0)


def test_hostile_texts_of_a_fixed_seed_break_no_limit() -> None:
    run = [sys.executable, "-m", "tools.fuzz.hostile_text", "--short", "--inputs", "120"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "120 inputs (seed 1)" in done.stdout
