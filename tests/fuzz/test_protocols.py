"""A short visit of what `protocols.py` does for long, and what its promises are worth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tools.fuzz.endpoints.addresses import CIVITAI, HUGGING_FACE, addresses, route_of
from tools.fuzz.endpoints.garbage import garbage
from tools.fuzz.endpoints.promises import broken_promises, twin_difference
from tools.fuzz.endpoints.requests import (
    BOB,
    OWNER,
    STRANGER,
    FuzzRequest,
    caller_of,
    request_for,
    turns,
)
from tools.fuzz.endpoints.rows import Row, changes
from tools.fuzz.endpoints.wire import SILENT, Answer
from tools.fuzz.endpoints.words import MARK, Known, Private

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
REQUESTS, TIMEOUT_S = 300, 400
KNOWN = Known(
    tokens={BOB: "lor_bob"},
    private=Private("hidden", "0000000005", "0000000006", "0000000007", "12" * 32, "34" * 20),
    numbers=("1", "2"),
    digests=("56" * 32,),
    commits=("78" * 20,),
)
WORDS = {"x-error-message": "No.", "x-content-type-options": "nosniff"}
SAID = b'{"error": "No.", "code": "not_found"}'


def request(**fields: Any) -> FuzzRequest:
    usual: dict[str, Any] = {
        "caller": STRANGER,
        "method": "GET",
        "target": b"/x",
        "data": b"GET /x",
    }
    return FuzzRequest(**{**usual, "body": b"", "is_cut": False, "is_sound": True, **fields})


def test_every_address_of_a_door_is_on_the_list() -> None:
    def views(patterns: Sequence[Any], before: str = "") -> Iterator[tuple[str, str]]:
        for one in patterns:
            if isinstance(one, URLResolver):
                yield from views(one.url_patterns, f"{before}{one.pattern}")
            elif isinstance(one, URLPattern):
                yield one.callback.__module__, f"{before}{one.pattern}"

    mine = {route for module, route in views(get_resolver().url_patterns)
            if module.startswith("hub.protocols.")}  # fmt: skip
    assert {one.route for one in addresses()} == mine
    assert {one.protocol for one in addresses()} == {HUGGING_FACE, CIVITAI}


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_short_visit_breaks_no_promise(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.fuzz.protocols", "--json", "--keep", str(tmp_path)]
    done = subprocess.run(
        [*command, "--requests", str(REQUESTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.stdout, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert told["faults"] == []
    assert done.returncode == 0
    assert set(told["asked"]) == {f"{one.protocol}: /{one.route}" for one in addresses()}
    assert sum(sum(row["answers"].values()) for row in told["counts"]) >= REQUESTS
    assert min(told["twins"], told["garbage"], told["rows"], told["files"]) > 0


def test_a_request_follows_from_seed_and_number() -> None:
    everything = turns(addresses())
    some = [request_for(3, number, everything, KNOWN) for number in range(200)]
    assert some == [request_for(3, number, everything, KNOWN) for number in range(200)]
    assert some != [request_for(4, number, everything, KNOWN) for number in range(200)]
    assert garbage(Random("1:2")) == garbage(Random("1:2"))


def test_a_twin_speaks_of_nothing_in_as_many_bytes() -> None:
    everything, twins = turns(addresses()), 0
    for number in range(400):
        mine = request_for(3, number, everything, KNOWN)
        its = request_for(3, number, everything, KNOWN.without_private)
        assert (mine.caller, mine.method, len(mine.data)) == (its.caller, its.method, len(its.data))
        twins += its.is_twin_of(mine, KNOWN)
        for word in (KNOWN.private.name, KNOWN.private.digest, KNOWN.private.adapter):
            assert word.encode() not in its.data
        assert MARK.encode() not in mine.data + its.data
    assert twins > 50


def test_every_kind_of_caller_comes() -> None:
    assert {caller_of(1, number) for number in range(60)} >= {STRANGER, OWNER, BOB}


def test_an_address_is_found_as_the_hub_finds_it() -> None:
    assert route_of(b"/api/models/ada/noir/refs?x=%00#y").endswith("<str:name>/refs")
    assert route_of(b"/api/models/ada/%FF%FE/refs").endswith("<str:name>/refs")
    assert route_of(b"/a/b/c/d/e/f") == ""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(404, WORDS, SAID), ""),
        (Answer(501, WORDS, SAID), ""),
        (Answer(400, {}, b"<html>"), ""),  # of the server in front
        (Answer(503, {**WORDS, "retry-after": "5"}, SAID), ""),
        (Answer(200, WORDS, b'{"id": "ada/noir"}'), ""),
        (Answer(500, WORDS, SAID), "status 500"),
        (Answer(507, WORDS, SAID), "status 507"),
        (Answer(503, WORDS, SAID), "503 without Retry-After"),
        (Answer(SILENT, trouble="reset"), "no answer: reset"),
        (Answer(404, WORDS, b"<html>"), "a 404 without words in JSON"),
        (Answer(404, {**WORDS, "x-error-message": ""}, SAID), "a 404 without X-Error-Message"),
        (Answer(200, WORDS, b"Traceback (most recent call last)"), "a traceback in the answer"),
        (Answer(200, WORDS, MARK.encode()), f"{MARK} in an answer that was not asked for it"),
        (Answer(200, WORDS, b"ada/hidden"), "ada/hidden in an answer that was not asked for it"),
    ],
)  # fmt: skip
def test_what_an_answer_breaks_is_told(answer: Answer, said: str) -> None:
    assert list(broken_promises(request(), HUGGING_FACE, answer, KNOWN)) == [said] * bool(said)


def test_an_owner_hears_of_her_own_and_whoever_asks_by_name_may_hear_it_again() -> None:
    answer = Answer(404, WORDS, b'{"error": "No ada/hidden."}')
    assert not list(broken_promises(request(caller=OWNER), HUGGING_FACE, answer, KNOWN))
    named = request(data=b"GET /ada/hidden")
    assert not list(broken_promises(named, HUGGING_FACE, answer, KNOWN))


def test_a_private_adapter_is_told_apart_by_status_code_and_shape() -> None:
    nothing = Answer(404, {"x-error-code": "RepoNotFound"}, SAID)
    assert twin_difference(nothing, nothing) == ""
    assert twin_difference(Answer(429), nothing) == ""
    others = (
        Answer(403, nothing.headers, SAID),
        Answer(404, {"x-error-code": "GatedRepo"}, SAID),
        Answer(404, nothing.headers, b'{"error": "No.", "code": "gone"}'),
        Answer(404, {**nothing.headers, "etag": "x"}, SAID),
        Answer(404, nothing.headers, b'{"error": "No.", "code": "not_found", "more": 1}'),
    )
    assert all("told apart" in twin_difference(other, nothing) for other in others)


def test_changed_rows_are_told_but_for_those_of_whoever_was_at_work() -> None:
    before = {"Adapter 1": Row("ada", "a"), "Adapter 2": Row("bob", "b"), "Blob 1": Row("", "c")}
    assert changes(before, before) == []
    after = {"Adapter 1": Row("ada", "x"), "Upload 1": Row("bob", "u"), "Blob 1": Row("", "y")}
    assert changes(before, after) == [
        "Adapter 1 of ada is another",
        "Adapter 2 of bob is gone",
        "Blob 1 of nobody is another",
        "Upload 1 of bob is new",
    ]
    assert changes(before, after, besides="bob") == ["Adapter 1 of ada is another"]
    brought = ("BlobRelation 1", "BlobSketch 1", "WeightSketch 1")
    uploaded = before | {name: Row("", "s") for name in brought}
    assert changes(before, uploaded) == [f"{name} of nobody is new" for name in brought]
    assert changes(before, uploaded, besides="bob") == []
    taken = {
        **before,
        "Adapter 2": Row("ada", "b"),
        "Event 1": Row("ada", "e"),
        "Tag 1": Row("", "t"),
    }
    assert changes(before, taken, besides="bob") == [
        "Adapter 2 of bob went to ada",
        "Event 1 of ada is new",
    ]
