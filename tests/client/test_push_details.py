"""Details of a push: refused before anything is created, and kept for an empty adapter."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from lorary.anatomy import inspect_file
from lorary.client import Details, errors
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lorary.client import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

REFUSED = b'{"code":"quota_exceeded","detail":"No room."}'


@pytest.mark.parametrize(
    ("options", "option", "reason"),
    [
        (["--strength", "-50"], "--strength", "from -10 to 10"),
        (["--strength", "nan"], "--strength", "from -10 to 10"),
        (["--label", "x" * 49], "--label", "at most 48 characters"),
        (["--title", "x" * 121], "--title", "at most 120 characters"),
        (["--trigger", "x" * 201], "--trigger", "at most 200"),
        (["--trigger", " "], "--trigger", "must not be empty"),
        (["--optional-trigger", "x"] * 33, "--optional-trigger", "at most 32"),
    ],
)
def test_invalid_details_are_wrong_usage_and_create_nothing(
    run: Run, fake: FakeHub, lora: Path, options: list[str], option: str, reason: str
) -> None:
    ran = run("push", lora, "--to", "ada/noir", *options)
    assert ran.code == 2
    assert option in ran.err
    assert reason in ran.err
    assert fake.seen == []


@pytest.mark.parametrize(
    ("details", "field"),
    [
        (Details(strength=-50), "strength"),
        (Details(strength=math.inf), "strength"),
        (Details(label="x" * 49), "label"),
        (Details(licence="x" * 65), "licence"),
        (Details(trigger_words=["x" * 201]), "trigger_words"),
    ],
)
def test_the_sdk_refuses_invalid_details_with_their_fields(
    hub: Hub, fake: FakeHub, lora: Path, details: Details, field: str
) -> None:
    with pytest.raises(errors.Invalid, match="Nothing was sent") as caught:
        hub.push(lora, "ada/noir", details=details)
    assert list(caught.value.facts["fields"]) == [field]  # type: ignore[call-overload]
    assert fake.adapters == {}


def test_a_family_that_the_hub_does_not_know_is_refused(
    run: Run, hub: Hub, fake: FakeHub, lora: Path
) -> None:
    refused = b'{"code":"validation_failed","detail":"No.","fields":{"family":["Unknown."]}}'
    fake.answers = [("adapters[?]family=sd15", 400, {}, refused)] * 2
    with pytest.raises(errors.Invalid, match=r"Did you mean sd1 .*\? Nothing was sent"):
        hub.push(lora, "ada/noir", details=Details(family="sd15"))
    ran = run("push", lora, "--to", "ada/noir", "--family", "sd15")
    assert (ran.code, "there is no family “sd15”; did you mean sd1" in ran.err) == (2, True)
    assert {seen.method for seen in fake.seen} == {"GET"}


@pytest.mark.parametrize(("given", "sent"), [("Stable Diffusion 1.x", "sd1"), ("newer9", "newer9")])
def test_a_family_can_be_named_or_be_one_that_only_the_hub_knows(
    run: Run, fake: FakeHub, lora: Path, given: str, sent: str
) -> None:
    assert run("push", lora, "--to", "ada/noir", "--family", given).code == 0
    (published,) = fake.requests("POST .*/noir/versions$")
    assert json.loads(published.body)["family"] == sent


def test_a_family_that_the_tensors_exclude_is_refused(
    hub: Hub, fake: FakeHub, tmp_path: Path
) -> None:
    place, some = tmp_path / "noir.safetensors", tmp_path / "some.safetensors"
    place.write_bytes(kohya(DENOISERS["sdxl", "sgm"]))
    some.write_bytes(kohya(DENOISERS["sd1", "diffusers"][:1]))
    found = inspect_file(some).anatomy
    assert found is not None
    assert found.base.confidence != "proven"
    fitting, last = ", ".join(found.base.allowed), found.base.allowed[-1]
    for file, fit in ((place, "sdxl"), (some, fitting)):
        with pytest.raises(errors.Invalid, match=f"do not fit flux1; they fit {fit}"):
            hub.push(file, "ada/noir", details=Details(family="flux1"))
    assert fake.adapters == {}
    assert hub.push(place, "ada/noir", details=Details(family="sdxl")).version.name == "v1"
    assert hub.push(some, "ada/some", details=Details(family=last)).version.name == "v1"


def test_a_push_that_the_hub_refuses_says_that_the_new_adapter_stays(
    hub: Hub, fake: FakeHub, lora: Path
) -> None:
    fake.answers = [("noir/versions$", 413, {}, REFUSED)]
    with pytest.raises(errors.QuotaExceeded, match="ada/noir was created and has no version yet"):
        hub.push(lora, "ada/noir")
    assert list(fake.adapters) == ["ada/noir"]


def test_a_push_whose_response_is_lost_does_not_say_that_there_is_no_version(
    hub: Hub, fake: FakeHub, lora: Path, waits: list[float]
) -> None:
    fake.answers = [("noir/versions$", 502, {}, b"")] * 50
    with pytest.raises(errors.Unreachable) as caught:
        hub.push(lora, "ada/noir")
    assert (len(waits) > 0, "no version yet" in str(caught.value)) == (True, False)
    assert list(fake.adapters) == ["ada/noir"]


def test_an_empty_adapter_takes_the_details_of_a_new_one(
    run: Run, fake: FakeHub, lora: Path
) -> None:
    empty: dict[str, Any] = fake.adapter("ada/noir", versions=[], title="Noir")
    fake.adapters["ada/noir"] = empty
    ran = run("push", lora, "--to", "ada/noir", "--private", "--kind", "pose", "--rating", "mature")
    assert (ran.code, "only a new adapter takes" in ran.err) == (0, False)
    shown = fake.adapters["ada/noir"]
    assert (shown["visibility"], shown["kind"], shown["maturity"], shown["title"]) == (
        "private", "pose", "mature", "Noir",
    )  # fmt: skip


def test_an_empty_adapter_that_somebody_made_meanwhile_takes_the_visibility(
    hub: Hub, fake: FakeHub, lora: Path
) -> None:
    fake.adapters["ada/noir"] = fake.adapter("ada/noir", versions=[], title="Noir", licence="mit")
    fake.answers = [("adapters/ada/noir$", 404, {}, b'{"code": "not_found"}')]
    hub.push(lora, "ada/noir", details=Details(visibility="private"))
    shown = fake.adapters["ada/noir"]
    assert (shown["visibility"], shown["title"], shown["licence"]) == ("private", "Noir", "mit")
    described, published = fake.requests("(PATCH|POST .*/versions$)")
    assert (described.method, published.method) == ("PATCH", "POST")


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize(
    ("header", "card", "options", "licence"),
    [
        ({}, "", [], ""),
        ({}, "", ["--licence", "mit"], "mit"),
        ({"modelspec.license": "CC-BY-4.0"}, "", [], "CC-BY-4.0"),
        ({"modelspec.license": "CC-BY-4.0"}, "", ["--licence", "mit"], "mit"),
        ({}, "---\nlicense: mit\n---\n", [], ""),  # the hub reads it
    ],
)
def test_a_licence_can_be_given_and_a_missing_one_is_said(
    run: Run, fake: FakeHub, tmp_path: Path, header: dict[str, str], card: str,
    options: list[str], licence: str, *, is_folder: bool,
) -> None:  # fmt: skip
    folder = tmp_path / "out"
    folder.mkdir()
    places = [folder / "noir.safetensors"]
    places[0].write_bytes(kohya(DENOISERS["sdxl", "sgm"], metadata=header))
    if card:
        places.append(folder / "README.md")
        places[-1].write_text(card)
    words = ("push", *([folder] if is_folder else places), "--to", "ada/noir", *options)
    is_missing = not (licence or card)
    asks = run(*words, "--dry-run", "--json").document["asks"]
    assert ("licence" in [one["field"] for one in asks]) == is_missing
    ran = run(*words)
    assert (ran.code, fake.adapters["ada/noir"]["licence"]) == (0, licence)
    assert ("licence" in (ran.out if is_folder else ran.err)) == (
        is_missing or (is_folder and bool(licence))  # its report shows the value
    )
    shown = f"licence     {licence or 'not stated'}"
    assert shown in run("info", "ada/noir").out


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        (None, "CC-BY-4.0"),
        ("---\ntags: [ink]\n---\n", "CC-BY-4.0"),
        ("---\nlicense: mit\n---\n", ""),
    ],
)
def test_the_licence_is_that_of_the_header_unless_the_card_has_one(
    hub: Hub, fake: FakeHub, tmp_path: Path, card: str | None, licence: str
) -> None:
    place = tmp_path / "noir.safetensors"
    place.write_bytes(kohya(DENOISERS["sdxl", "sgm"], metadata={"modelspec.license": "CC-BY-4.0"}))
    places = [place]
    if card is not None:
        places.append(tmp_path / "README.md")
        places[-1].write_text(card)
    hub.push(places, "ada/noir")
    assert fake.adapters["ada/noir"]["licence"] == licence
    hub.push(place, "ada/ink", details=Details(licence="mit"))
    assert fake.adapters["ada/ink"]["licence"] == "mit"
