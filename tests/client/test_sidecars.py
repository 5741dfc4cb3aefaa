"""Sidecars that pull and sync write, read back as their tools do, against a hub of this process."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorary import library
from lorary.client import Adapter as FoundAdapter
from lorary.client import Version as FoundVersion
from lorary.client.cards import card_text
from lorary.client.errors import ProjectInvalid
from lorary.client.transfers.folders import Folder as Target
from lorary.library.project import Project
from lorary.library.sidecars.beside import companions_in
from lorary.library.sidecars.formats import Facts, sidecar
from lorary.library.sidecars.formats import Target as Place
from lorary.library.sidecars.reading import Value, read_sidecar
from lorary.library.sidecars.writing import Known, Writer
from previews.samples import services as samples
from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.client.projects import Folder
from tests.previews.sample_files import files

if TYPE_CHECKING:
    from collections.abc import Callable

    from lorary.client import Hub
    from registry.models import Adapter, User, Version
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

live = pytest.mark.django_db(transaction=True)

TOOLS = "civitai,a1111,lora-manager,swarmui"
NAMES = {"noir.civitai.info", "noir.json", "noir.metadata.json", "noir.swarm.json"}
PREVIEW = "noir.preview.webp"


def weights(number: int) -> bytes:
    return kohya(DENOISERS["sd1", "diffusers"], metadata={"n": str(number)})


@pytest.fixture
def noir(live_server: Any, ada: User, monkeypatch: pytest.MonkeyPatch) -> Adapter:
    monkeypatch.setenv("LORARY_ENDPOINT", live_server.url)
    monkeypatch.delenv("LORARY_TOKEN")
    return adapters.create(
        actor=ada, name="noir", title="Noir", summary="Rain & <neon>", tags=["film", "rain"],
        maturity="mature", licence="cc-by-4.0", kind="style",
    )  # fmt: skip


@pytest.fixture
def version(noir: Adapter, ada: User) -> Version:
    details = Details(trigger_words=["noir style", "rain"], optional_trigger_words=["neon"],
                      strength=0.8, strength_min=0.5, strength_max=1.0)  # fmt: skip
    made = catalogue.release(noir, weights(1), details)
    illustrate(made, ada)
    return made


def illustrate(version: Version, actor: User) -> None:
    """Give a version a picture."""
    stream = io.BytesIO(files.png())
    samples.read(sample=samples.add(actor=actor, version=version, stream=stream, name="rain.png"))


def actions(ran: Ran) -> dict[str, str]:
    """What became of each sidecar."""
    assert ran.code == 0, ran.err
    return {Path(row["sidecar"]).name: row["action"] for row in ran.documents[1:]}


def told(place: Path) -> dict[str, object]:
    """What the SDK's reader finds in a sidecar."""

    def plain(value: Value) -> object:
        return list(value.value) if isinstance(value.value, tuple) else value.value

    return {value.field: plain(value) for value in read_sidecar(place)}


def names(folder: Path) -> set[str]:
    return {place.name for place in folder.iterdir() if not place.name.startswith((".", "lorary."))}


@live
def test_sidecars_are_what_their_tools_read(
    run: Run, version: Version, live_server: Any, tmp_path: Path
) -> None:
    to = tmp_path / "loras"
    ran = run("pull", "ada/noir", "--to", to, "--sidecars", TOOLS, "--json")
    assert actions(ran) == dict.fromkeys({*NAMES, PREVIEW}, "add")
    found = companions_in(path.name for path in to.iterdir())["noir"]
    assert {*found.sidecars, *found.previews} == {*NAMES, PREVIEW}
    page = f"{live_server.url}/ada/noir?v=v1"
    sha256 = version.files.get(is_primary=True).sha256
    card = told(to / "noir.json")
    assert card["trigger_words"] == ["noir style, rain"]
    assert (card["strength"], card["base"]) == (0.8, "SD1")
    assert str(card["card"]).splitlines()[1:] == ["Rating: mature", "Optional words: neon", page]
    info = told(to / "noir.civitai.info")
    assert (info["title"], info["base"], info["rating"]) == ("Noir", "SD 1.5", "mature")
    assert info["trigger_words"] == ["noir style", "rain", "neon"]
    manager = told(to / "noir.metadata.json")
    assert (manager["title"], manager["base"], manager["strength"]) == ("Noir", "SD 1.5", 0.8)
    assert manager["tags"] == ["film", "rain"]
    swarm = told(to / "noir.swarm.json")
    assert (swarm["title"], swarm["licence"], swarm["author"]) == ("Noir", "cc-by-4.0", "ada")
    for name in NAMES:
        text = (to / name).read_text("utf-8")
        assert (page in text, sha256 in text.lower()) == (True, True)
    assert (to / PREVIEW).read_bytes().startswith(b"RIFF")
    _check_keys(to)


def _check_keys(to: Path) -> None:
    """Numbers of this hub would stand for other models at Civitai, which tools ask."""
    info = json.loads((to / "noir.civitai.info").read_text())
    assert not {"id", "modelId", "air"} & {*info, *info["images"][0], *info["files"][0]}
    assert {"name", "baseModel", "trainedWords", "model", "files", "images"} <= info.keys()
    assert info["model"]["type"] == "LORA"
    manager = json.loads((to / "noir.metadata.json").read_text())
    assert manager["preview_url"] == (to / PREVIEW).as_posix()
    assert (manager["from_civitai"], manager["preview_nsfw_level"] > 1) == (False, True)
    assert json.loads(manager["usage_tips"]) == {
        "strength": 0.8, "strength_min": 0.5, "strength_max": 1.0,
    }  # fmt: skip
    assert manager["size"] == (to / "noir.safetensors").stat().st_size
    assert "<neon>" not in manager["modelDescription"]
    swarm = json.loads((to / "noir.swarm.json").read_text())
    assert swarm["modelspec.trigger_phrase"] == "noir style, rain"
    assert swarm["modelspec.lora_default_weight"] == "0.8"
    assert all(isinstance(value, str) for value in swarm.values())


def test_numbers_of_a_hub_are_left_out_at_any_depth(fake: FakeHub, tmp_path: Path) -> None:
    said = fake.publish("ada/noir", {"noir.safetensors": b"noir"})
    resources = [{"type": "lora", "modelVersionId": 12, "weight": 0.8}]
    image = {"id": 5, "type": "image", "meta": {"seed": 7, "civitaiResources": resources}}
    document = {"id": 12, "modelId": 1, "air": "urn:air", "files": [{"id": 3}], "images": [image]}
    adapter = FoundAdapter.read(fake.adapters["ada/noir"])
    facts = Facts(adapter, FoundVersion.read(said), document)
    info = json.loads(sidecar("civitai", facts, Place(tmp_path / "noir.safetensors", "", None)))
    resources = [{"type": "lora", "weight": 0.8}]
    image = {"type": "image", "meta": {"seed": 7, "civitaiResources": resources}}
    assert info == {"files": [{}], "images": [image], "url": facts.version.url}


@live
def test_the_card_is_the_description_if_there_is_no_summary(
    run: Run, version: Version, noir: Adapter, ada: User, live_server: Any, tmp_path: Path
) -> None:
    adapters.describe(actor=ada, adapter=noir, summary="", card="# Noir\n\n*black* and `white`")
    ran = run("pull", "ada/noir", "--to", tmp_path, "--sidecars", TOOLS)
    assert ran.code == 0, ran.err
    page = f"{live_server.url}/ada/noir?v=v1"
    for name in ("noir.json", "noir.metadata.json", "noir.swarm.json"):
        text = " ".join(str(told(tmp_path / name)["card"]).split())
        assert text.startswith("Noir black and white ")
        assert text.endswith(page)


def test_a_card_is_read_as_plain_text() -> None:
    card = (
        "---\na: b\n---\n<!-- x -->\n> a **b** snake_case\n![p](p.png)\n"
        "```\ncode\n```\n---\n- c &amp; d"
    )
    assert card_text(card, 100) == "a b snake_case\nc & d"
    assert card_text("word " * 50, 20) == "word word word word…"
    assert card_text("x" * 50, 10) == "xxxxxxxxx…"
    assert card_text("a<!-- x\n-->b <!---->c <!-- d", 50) == "ab c <!-- d"
    started = time.process_time()
    assert card_text("<!--" * 5000, 8) == "<!--<!-…"
    assert time.process_time() - started < 1


@live
def test_what_a_person_or_a_tool_wrote_stays(
    run: Run, version: Version, noir: Adapter, ada: User, tmp_path: Path
) -> None:
    (tmp_path / "noir.preview.png").write_bytes(b"mine")
    (tmp_path / "noir.json").write_text("{}")
    command = ("pull", "ada/noir", "--to", tmp_path, "--force", "--sidecars", "a1111,swarmui")
    assert run(*command[:-2]).code == 0
    ran = run("pull", "ada/noir@v1", *command[2:], "--offline")
    assert (ran.code, "sidecars of noir.safetensors were not written" in ran.err) == (3, True)
    assert run(*command).code == 0
    assert not (tmp_path / PREVIEW).exists()
    os.utime(tmp_path / "noir.swarm.json")
    catalogue.release(noir, weights(2), Details(trigger_words=["dusk"]))
    ran = run(*command)
    assert ran.code == 0
    assert f"{tmp_path / 'noir.json'} stays: a person or a tool wrote or changed it" in ran.err
    assert (tmp_path / "noir.json").read_text() == "{}"
    assert told(tmp_path / "noir.swarm.json")["trigger_words"] == ["dusk"]
    assert (tmp_path / "noir.preview.png").read_bytes() == b"mine"


@live
def test_a_picture_that_comes_later_is_added(
    run: Run, noir: Adapter, ada: User, tmp_path: Path
) -> None:
    made = catalogue.release(noir, weights(1), Details(trigger_words=["noir style"]))
    command = ("pull", "ada/noir", "--to", tmp_path, "--sidecars", "lora-manager,civitai", "--json")
    first = run(*command)
    assert (first.code, "ada/noir v1 has no picture yet" in first.err) == (0, True)
    assert "picture" not in run(*command).err
    illustrate(made, ada)
    manager, info = "noir.metadata.json", "noir.civitai.info"
    assert actions(run(*command)) == {manager: "replace", info: "replace", PREVIEW: "add"}
    shown = json.loads((tmp_path / manager).read_text())["preview_url"]
    assert shown == (tmp_path / PREVIEW).as_posix()
    everything = {manager: "here", info: "here", PREVIEW: "here"}
    assert actions(run(*command)) == everything
    assert actions(run("pull", "ada/noir@v1", *command[2:], "--offline")) == everything
    made.downloads += 1
    made.save()
    assert actions(run(*command)) == everything


@live
def test_edited_sidecars_stay_unless_that_is_forced(
    run: Run, version: Version, noir: Adapter, ada: User, tmp_path: Path
) -> None:
    command = ("pull", "ada/noir", "--to", tmp_path, "--sidecars", "a1111,swarmui", "--json")
    assert run(*command).code == 0
    (tmp_path / "noir.json").write_text("{}")
    cards.edit_adapter(actor=ada, adapter=noir, title="Night")
    expected = {"noir.json": "kept", "noir.swarm.json": "replace", PREVIEW: "here"}
    assert actions(run(*command)) == expected
    assert told(tmp_path / "noir.swarm.json")["title"] == "Night"
    assert (tmp_path / "noir.json").read_text() == "{}"
    assert actions(run(*command, "--force"))["noir.json"] == "replace"
    assert told(tmp_path / "noir.json")["trigger_words"] == ["noir style, rain"]


def test_pictures_of_another_version_go(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    to, png, webp = tmp_path / "loras", b"\x89PNG\r\n\x1a\n", b"RIFF"

    def pictures_after(picture: bytes, number: int) -> set[str]:
        said = fake.publish("ada/noir", {"noir.safetensors": str(number).encode()})
        hub.pull("ada/noir", to=to, force=True)
        folder = Target(to)
        folder.load()
        adapter = FoundAdapter.read(fake.adapters["ada/noir"])
        facts = Facts(adapter, FoundVersion.read(said), {})
        Writer(folder, ["a1111"]).write("noir.safetensors", Known(facts, picture))
        return names(to) - {"noir.safetensors", "noir.json"}

    assert pictures_after(png, 1) == {"noir.preview.png"}
    assert pictures_after(webp, 2) == {PREVIEW}
    assert pictures_after(b"", 3) == set()
    (to / "noir.preview.jpg").write_bytes(b"mine")
    assert pictures_after(png, 4) == {"noir.preview.jpg"}


def project_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A project that wants the adapter, as the working directory."""
    project = Folder(tmp_path / "project")
    project.want({"ada/noir": "*"})
    monkeypatch.chdir(project.path)
    return project


@live
def test_sync_writes_them_once_and_prunes_its_own(
    run: Run, version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_in(tmp_path, monkeypatch)
    toml = project.path / "lorary.toml"
    plain = toml.read_text()
    toml.write_text(f'sidecars = ["a1111", "civitai"]\n{plain}')
    mine = {"noir.json", "noir.civitai.info", PREVIEW}
    planned = {row["path"]: row["action"] for row in run("sync", "--dry-run", "--json").documents}
    assert planned == dict.fromkeys({"noir.safetensors", *mine}, "add")
    assert names(project.path) == set()
    assert run("sync").out.endswith("\n4 added.\n")
    assert names(project.path) == {"noir.safetensors", *mine}
    again = run("sync", "--frozen", "--offline", "--json")
    assert {row["action"] for row in again.documents} == {"here"}
    (project.path / "noir.json").write_text("{}")
    kept = [row["path"] for row in run("sync", "--json").documents if row["action"] == "kept"]
    assert kept == ["noir.json"]
    weights_here = project.path / "noir.safetensors"
    data = weights_here.read_bytes()
    weights_here.unlink()
    weights_here.write_bytes(b"edited")
    failed = run("sync")
    assert (failed.code, "= noir.json" in failed.out) == (1, True)
    assert failed.out.endswith("1 failed, 1 changed by you or a tool, kept.\n")
    weights_here.write_bytes(data)
    toml.write_text(plain)
    assert run("sync", "--prune").code == 0
    assert names(project.path) == {"noir.safetensors", "noir.json"}


@live
def test_sync_adds_a_picture_and_new_facts_later(
    run: Run, noir: Adapter, ada: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = catalogue.release(noir, weights(1), Details(trigger_words=["noir style"]))
    project = project_in(tmp_path, monkeypatch)
    toml = project.path / "lorary.toml"
    toml.write_text(f'sidecars = ["lora-manager"]\n{toml.read_text()}')
    assert "1 of the new files has no picture yet" in run("sync").err
    illustrate(made, ada)

    def done(*options: str) -> dict[str, str]:
        ran = run("sync", *options, "--json")
        assert ran.code == 0, ran.err
        return {row["path"]: row["action"] for row in ran.documents[:]}

    here, manager = {"noir.safetensors": "here"}, "noir.metadata.json"
    assert done("--frozen") == {**here, manager: "here"}
    changes = {**here, manager: "replace", PREVIEW: "add"}
    assert done("--dry-run") == changes
    assert done() == changes
    everything = {**here, manager: "here", PREVIEW: "here"}
    assert done() == everything
    assert done("--offline") == everything
    (project.path / manager).write_text("{}")
    assert done()[manager] == "kept"
    assert done("--force")[manager] == "replace"


@live
def test_sidecars_that_cannot_be_asked_for_do_not_fail_a_sync(
    run: Run, version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_in(tmp_path, monkeypatch)
    toml = project.path / "lorary.toml"
    assert run("sync").code == 0
    toml.write_text(f'sidecars = ["a1111", "swarmui"]\n{toml.read_text()}')
    (project.path / "noir.safetensors").unlink()
    ran = run("sync", "--frozen", "--offline")
    assert (ran.code, ran.err.count("2 sidecars were not written or renewed")) == (0, 1)
    assert names(project.path) == {"noir.safetensors"}
    rows = run("sync", "--frozen", "--offline", "--json").documents
    assert [row["action"] for row in rows] == ["here", "skipped", "skipped"]
    assert library.sync(project.path, frozen=True).steps


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('sidecars = "a1111"', "must be a list"),
        ("sidecars = [1]", "must be a list"),
        ('sidecars = ["x"]', "no sidecars are known for “x”"),
    ],
)
def test_a_wrong_line_of_a_project_is_named(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "lorary.toml").write_text(f"{line}\n")
    with pytest.raises(ProjectInvalid, match=told):
        Project.load(tmp_path)


@pytest.mark.parametrize("words", [["--to", "x", "--sidecars", "x"], ["--sidecars", "a1111"]])
def test_wrong_options_are_refused(run: Run, words: list[str]) -> None:
    assert run("pull", "ada/noir", *words).code == 2
