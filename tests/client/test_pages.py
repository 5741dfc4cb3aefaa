"""References that people paste: addresses of pages, and names of packs without “pack:”."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.client.test_packs import PACK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NOIR = "studio/noir"


@pytest.mark.parametrize("page", ["/studio/noir", "/studio/noir/?v=v1#card", "/studio/noir?v=v1"])
def test_the_address_of_a_page_stands_for_its_adapter(
    fake: FakeHub, run: Run, tmp_path: Path, page: str
) -> None:
    fake.publish(NOIR, {"noir.safetensors": b"noir"})
    ran = run("pull", f"{fake.url}{page}", "--to", tmp_path, "--json")
    assert (ran.code, ran.document["adapter"], ran.document["version"]) == (0, NOIR, "v1")
    assert run("info", f"{fake.url}{page}").code == 0


def test_the_page_of_a_pack_stands_for_the_pack(fake: FakeHub, run: Run) -> None:
    refused = run("pull", f"{fake.url}/packs/studio/dusk?v=v2")
    assert (refused.code, [seen.path for seen in fake.seen]) == (
        3, ["/api/v1/packs/studio/dusk/versions/v2"],
    )  # fmt: skip
    shown = run("info", f"{fake.url}/packs/studio/dusk")
    assert (shown.code, "use lorary pack show studio/dusk" in shown.err) == (2, True)


@pytest.mark.parametrize(
    ("page", "hint"),
    [
        ("https://other.example/studio/noir", "the hub in use. For another hub, write owner/name"),
        ("{hub}/studio/noir/files/1", "not the page of an adapter or a pack: write owner/name"),
        ("{hub}/search", "not the page of an adapter or a pack: write owner/name"),
    ],
)
def test_other_addresses_are_refused_with_a_hint(
    fake: FakeHub, run: Run, page: str, hint: str
) -> None:
    for command in ("pull", "info"):
        ran = run(command, page.format(hub=fake.url))
        assert (ran.code, hint in ran.err, fake.seen) == (2, True, [])


@pytest.mark.parametrize("words", [["pull", "studio/dusk"], ["info", "studio/dusk"],
                                   ["pull", "studio/dusk", "studio/rain"]])  # fmt: skip
def test_a_pack_with_the_name_of_a_missing_adapter_is_named(
    fake: FakeHub, run: Run, words: list[str]
) -> None:
    headers = {"Content-Type": "application/json"}
    fake.answers.append(("/packs/studio/dusk$", 200, headers, json.dumps(PACK).encode()))
    ran = run(*words)
    assert ran.code == 3
    assert ran.err.count("A pack has this name: lorary pull pack:studio/dusk") == 1
