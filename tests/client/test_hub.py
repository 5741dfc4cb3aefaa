"""The hub as an object, and the shortcuts of the package."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import is_dataclass
from typing import TYPE_CHECKING

import pytest

import lorary
from lorary.client import Reference, curation, errors, models, packs
from tests.client.conftest import SDK

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from lorary.client import Hub
    from tests.client.fakehub import FakeHub


def test_search_asks_for_pages_as_they_are_needed(hub: Hub, fake: FakeHub) -> None:
    for number in range(5):
        fake.publish(f"ada/noir{number}", {"a.safetensors": bytes([number])})
    found = hub.search("noir")
    assert next(found).full_name == "ada/noir0"
    assert len(fake.seen) == 1
    assert [adapter.full_name for adapter in found] == [f"ada/noir{n}" for n in range(1, 5)]
    assert len(fake.seen) == 3
    assert len(list(hub.search(limit=3))) == 3
    assert list(hub.search("nothing")) == []


def test_empty_filters_are_not_sent(hub: Hub, fake: FakeHub) -> None:
    list(hub.search(family="sdxl", limit=500))
    assert fake.seen[0].path == "/api/v1/adapters?family=sdxl&limit=100"


def test_a_family_that_does_not_exist_is_answered_with_similar_ones(
    hub: Hub, fake: FakeHub
) -> None:
    refused = b'{"code":"validation_failed","detail":"No.","fields":{"family":["Unknown."]}}'
    for family, meant in (("sdlx", "sdxl"), ("Stable Difusion XL", "sdxl")):
        for search in (hub.search, hub.packs):
            fake.answers = [("family=", 400, {}, refused)]
            with pytest.raises(errors.Invalid, match=rf"Did you mean {meant}\b") as caught:
                next(search("noir", family=family))
            assert "hidream" not in caught.value.detail  # not all of them


def test_a_search_sends_its_request_when_results_are_asked_for(hub: Hub, fake: FakeHub) -> None:
    found = hub.search(family="newer9")  # one that only the hub knows
    assert fake.seen == []
    assert list(found) == []
    assert len(fake.seen) == 1
    refused = b'{"code":"validation_failed","detail":"No.","fields":{"kind":["Unknown."]}}'
    fake.answers = [("kind=odd", 400, {}, refused)]
    with pytest.raises(errors.Invalid, match="No\\."):  # not of the family
        list(hub.search(family="newer9", kind="odd"))


def test_info_versions_and_one_version(hub: Hub, fake: FakeHub) -> None:
    fake.publish("ada/noir", {"a.safetensors": b"1"})
    second = fake.publish("ada/noir", {"a.safetensors": b"2"}, trigger_words=["noir"])
    assert hub.info("ada/noir").latest_version == "v2"
    assert [version.name for version in hub.versions("ada/noir")] == ["v1", "v2"]
    for rev in ("", "v2", second["revision"]):
        version = hub.version(Reference("ada", "noir", rev))
        assert (version.name, version.trigger_words) == ("v2", ("noir",))
    assert version.data["label"] == ""


def test_files_have_the_hashes_and_the_json_of_the_hub(hub: Hub, fake: FakeHub) -> None:
    row = {"path": "a.safetensors", "size": 1, "sha256": "0" * 64, "hashes": {"autov2": "c450"}}
    fake.adapters["ada/noir"] = fake.adapter("ada/noir")
    fake.commit("ada/noir", [row])
    (file,) = hub.files("ada/noir@v1")
    assert (file.hashes, file.data["id"]) == ({"autov2": "c450"}, 0)


@pytest.mark.parametrize("module", [curation, models, packs])
def test_all_values_of_a_response_keep_its_json(module: ModuleType) -> None:
    values = [one for one in vars(module).values() if is_dataclass(one) and hasattr(one, "read")]
    assert len(values) > 3
    document = {"sha256": "0" * 64, "manifest_sha256": "0" * 64, "revision": "0" * 40, "newer": 1}
    for value in values:
        assert value.read(document).data == document, value


def test_whoami_and_inspect(hub: Hub, fake: FakeHub, lora: Path) -> None:
    assert hub.whoami().name == "ada"
    look = hub.inspect(lora)
    assert look.anatomy == {"schema": 1, "kind": "adapter"}
    assert fake.seen[-1].path == (
        f"/api/v1/inspect?name=noir.safetensors&size={lora.stat().st_size}"
    )


def test_tokens_are_listed_made_and_ended(hub: Hub, fake: FakeHub) -> None:
    token = b'{"id":3,"name":"ci","scopes":["read"],"token":"lor_new"}'
    fake.answers = [
        ("tokens$", 200, {}, b'{"results":[' + token + b'],"next":null}'),
        ("tokens$", 201, {}, token),
        ("tokens/3$", 204, {}, b""),
        ("tokens/4$", 204, {}, b""),
    ]
    assert [row.name for row in hub.tokens()] == ["ci"]
    made = hub.create_token("ci", ["read"])
    assert made.secret == "lor_new"
    hub.revoke_token(made)
    hub.revoke_token(4)
    assert [seen.method for seen in fake.seen] == ["GET", "POST", "DELETE", "DELETE"]


def test_withdrawn_version_is_gone(hub: Hub, fake: FakeHub) -> None:
    fake.publish("ada/noir", {"a.safetensors": b"1"}, state="withdrawn", reason="Stolen.")
    with pytest.raises(errors.Gone, match="Stolen"):
        hub.pull("ada/noir")


def test_version_without_weights_is_its_folder(hub: Hub, fake: FakeHub) -> None:
    version = fake.publish("ada/noir", {"README.md": b"1"})
    version["files"][0]["primary"] = False
    pulled = hub.pull("ada/noir")
    assert pulled.path == pulled.folder


def test_shortcuts_take_the_hub_from_the_environment(
    fake: FakeHub, lora: Path, tmp_path: Path
) -> None:
    assert lorary.inspect(lora).anatomy.family == "sd1"  # type: ignore[union-attr]
    seen: list[lorary.Progress] = []
    pushed = lorary.push(lora, "ada/noir", on_progress=seen.append)
    assert pushed.version.name == "v1"
    path = lorary.pull("ada/noir@v1", to=tmp_path / "out", on_progress=seen.append)
    assert [*dict.fromkeys(one.stage for one in seen)] == ["hash", "send", "check", "fetch"]
    assert path.read_bytes() == lora.read_bytes()
    assert [adapter.full_name for adapter in lorary.search("noir")] == ["ada/noir"]
    assert fake.requests("GET .*files/")


def test_package_is_light_and_complete() -> None:
    """Importing it loads neither the anatomy nor HTTP."""
    code = (
        "import sys, lorary; before = set(sys.modules); assert 'Hub' in dir(lorary);"
        "heavy = {'http.client', 'ssl', 'rich', 'lorary.client', 'lorary.anatomy', 'argparse'};"
        "assert not heavy & before, heavy & before;"
        "[getattr(lorary, name) for name in lorary.__all__];"
        "assert 'rich' not in sys.modules and 'django' not in sys.modules"
    )
    place = f"import sys; sys.path.insert(0, {str(SDK)!r});"
    subprocess.run([sys.executable, "-I", "-c", place + code], check=True)
    with pytest.raises(AttributeError, match="nothing"):
        lorary.nothing  # noqa: B018
