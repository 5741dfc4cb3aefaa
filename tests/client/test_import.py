"""Publishing a folder with what headers, sidecars and pictures say of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorary.cli.output import text as output
from lorary.client.errors import Unreachable
from lorary.client.names import Reference
from lorary.client.transfers import publishing
from lorary.library.importing.journal import NAME
from tests.builders.adapters import DENOISERS, kohya
from tests.client.conftest import CLI
from tests.client.tiny import adapter, wan

if TYPE_CHECKING:
    from collections.abc import Callable

    from lorary.client.http.session import Session
    from lorary.client.transfers.publishing import Pushed
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

PNG = b"\x89PNG\r\n\x1a\n"

LONG = (pytest.mark.long, pytest.mark.timeout(3600))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as people have it: sidecars of four tools, a run, a pair, copies, a broken file."""
    place = tmp_path / "loras"
    (place / "more").mkdir(parents=True)
    files = {
        "noir.safetensors": adapter(1, ss_output_name="noir_v2_final"),
        "more/noir copy.safetensors": adapter(1, ss_output_name="noir_v2_final"),
        "ink.safetensors": adapter(2), "wash.safetensors": adapter(3),
        "fog.safetensors": adapter(4),
        "broken.safetensors": b"\x80\x02}q\x00.",
        "pan_high_noise.safetensors": wan(1), "pan_low_noise.safetensors": wan(2),
    }  # fmt: skip
    for epoch in (1, 2, 10):
        name = f"run{'' if epoch == 10 else f'-{epoch:06}'}.safetensors"
        files[name] = adapter(20 + epoch, ss_session_id="77", ss_epoch=str(epoch))
    for name, data in files.items():
        (place / name).write_bytes(data)
    civitai = {
        "name": "v2", "baseModel": "SD 1.5", "trainedWords": ["film noir", " noir, rain "],
        "model": {"name": "Noir", "nsfw": True, "tags": ["style", "Film"],
                  "description": "<p>Dark &amp; wet.</p><script>x()</script>"},
    }  # fmt: skip
    sidecars: dict[str, Any] = {
        "noir.civitai.info": civitai,
        "noir.json": {"activation text": "film noir, grain", "preferred weight": 0.8},
        "ink.metadata.json": {"model_name": "Ink!", "base_model": "SD 1.5", "tags": ["ink"],
                              "usage_tips": '{"strength": "0.7"}', "notes": "my notes",
                              "civitai": {"trainedWords": ["inked"]}},
        "wash.swarm.json": {"modelspec.title": "Wash", "modelspec.trigger_phrase": "washed"},
        "fog.cm-info.json": {"ModelName": "Fog", "TrainedWords": ["foggy"], "Nsfw": False},
    }  # fmt: skip
    for name, document in sidecars.items():
        (place / name).write_text(json.dumps(document))
    for name in ("noir.png", "noir.preview.jpeg", "run.webp"):
        (place / name).write_bytes(PNG + name.encode())
    return place


def sent(fake: FakeHub, pattern: str) -> list[dict[str, Any]]:
    """The JSON that requests brought."""
    return [json.loads(seen.body) for seen in fake.requests(pattern)]


def published(fake: FakeHub) -> dict[str, list[list[str]]]:
    """Adapter → the paths of each version."""
    return {
        name: [[file["path"] for file in version["files"]] for version in versions]
        for name, versions in fake.versions.items()
    }


RESULT = {
    "ada/noir": [["noir.safetensors"]],
    "ada/ink": [["ink.safetensors"]],
    "ada/wash": [["wash.safetensors"]],
    "ada/fog": [["fog.safetensors"]],
    "ada/run": [["run-000001.safetensors"], ["run-000002.safetensors"], ["run.safetensors"]],
    "ada/pan": [["pan_high_noise.safetensors", "pan_low_noise.safetensors"]],
}


def test_the_report_says_each_value_with_its_source_and_sends_nothing(
    run: Run, fake: FakeHub, folder: Path
) -> None:
    ran = run("import", folder, "--to", "ada", "--dry-run", "--json")
    assert ran.code == 0, ran.err
    assert [seen.path for seen in fake.seen] == ["/api/v1/me", "/api/v1/hashes"]
    planned = {Path(row["files"][0]).name: row for row in ran.documents}
    fields = planned["noir.safetensors"]["fields"]
    assert fields["trigger_words"] == {
        "value": ["film noir, grain"], "source": "noir.json", "confidence": "declared",
        "others": [{"value": ["film noir", "noir, rain"], "source": "noir.civitai.info",
                    "confidence": "claimed"}],
    }  # fmt: skip
    assert fields["title"]["value"] == "Noir"
    family = fields["family"]  # one module proves none, but allows this one
    assert (family["value"], family["source"]) == ("sd1", "noir.civitai.info")
    pan = planned["pan_high_noise.safetensors"]["fields"]["family"]  # one of those that fit
    assert (pan["value"], pan["source"], pan["confidence"]) == ("wan_14b", "file name", "guessed")
    assert (fields["kind"]["value"], fields["kind"]["confidence"]) == ("style", "guessed")
    assert fields["card"]["value"] == "Dark & wet."
    ink = planned["ink.safetensors"]["fields"]
    assert (ink["strength"]["value"], ink["notes"]["value"]) == (0.7, "my notes")
    skipped = {Path(row["files"][0]).name: row.get("reason") for row in ran.documents}
    assert skipped["broken.safetensors"] == "broken"
    assert skipped["noir copy.safetensors"] == "duplicate"
    assert len(planned["noir.safetensors"]["previews"]) == 2
    out = run("import", folder, "--to", "ada", "--dry-run").out
    assert "6 adapters, 8 versions" in out
    assert run("import", folder, "--to", "ada").code == 2  # nobody to ask


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (["neon (1)", "neon"], "neon"),
        (["a/neon", "neon"], "neon"),
        (["neon", "models/loras/neon (1)"], "models/loras/neon (1)"),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_of_copies_the_one_that_tidy_keeps_is_published(
    run: Run, tmp_path: Path, names: list[str], best: str, *, beside: bool
) -> None:
    paths = {name: tmp_path / "loras" / f"{name}.safetensors" for name in names}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(adapter(1))
    if beside:
        best = next(name for name in names if name != best)
        paths[best].with_suffix(".json").write_text('{"activation text": "neon"}')
    rows = run("import", tmp_path / "loras", "--to", "ada", "--dry-run", "--json").documents
    chosen = [row["files"] for row in rows if row["state"] == "planned"]
    moves = run("tidy", tmp_path / "loras", "--json").documents
    assert chosen == [[str(paths[best])]]
    assert {move["kept"] for move in moves if move["why"] == "duplicate"} == {str(paths[best])}


def test_a_kind_that_is_missing_is_said_and_one_that_is_given_is_set(
    run: Run, fake: FakeHub, folder: Path
) -> None:
    words = ("import", folder, "--to", "ada")
    assert "missing  kind of 5 new adapters; style is used (--kind)" in run(*words, "--dry-run").out
    rows = run(*words, "--dry-run", "--json").documents
    asked = {row["adapter"]: row["asks"] for row in rows if row["state"] == "planned"}
    kind = {"field": "kind", "option": "--kind", "default": "style"}
    assert kind not in asked["ada/noir"]  # a tag in a sidecar names it
    assert kind in asked["ada/ink"]
    ran = run(*words, "--kind", "pose", "--yes")
    assert (ran.code, "missing  kind" in ran.out) == (0, False)
    assert {one["kind"] for one in fake.adapters.values()} == {"pose"}
    (folder / "run-000003.safetensors").write_bytes(adapter(23, ss_session_id="77", ss_epoch="3"))
    out = run(*words, "--dry-run").out
    assert "missing  kind" not in out  # of an adapter that exists
    assert "missing  licence" not in out
    assert run(*words, "--kind", "odd", "--dry-run").code == 2


def test_the_report_says_what_nothing_states(run: Run, tmp_path: Path) -> None:
    full = {"modelspec.license": "CC0", "modelspec.trigger_phrase": "foggy"}
    (tmp_path / "fog.safetensors").write_bytes(kohya(DENOISERS["sd1", "diffusers"], metadata=full))
    (tmp_path / "ink.safetensors").write_bytes(adapter(2))
    words = ("import", tmp_path, "--to", "ada", "--dry-run")
    lines = run(*words).out.splitlines()
    for what, place in (
        ("base model", "“sd version” in FILE.json"),
        ("trigger words", "“activation text” in FILE.json"),
        ("licence", "“modelspec.license” in FILE.swarm.json"),
    ):
        assert f"  missing  {what} of ada/ink ({place})" in lines
    rows = run(*words, "--json").documents
    asked = {row["adapter"]: [one["field"] for one in row["asks"]] for row in rows}
    assert asked["ada/fog"] == ["kind"]
    assert asked["ada/ink"] == ["family", "trigger_words", "kind", "licence"]
    said: dict[str, dict[str, str]] = {}
    for one in next(row for row in rows if row["adapter"] == "ada/ink")["asks"]:
        if "sidecar" in one:
            value = {"family": "SDXL", "trigger_words": "ink", "licence": "mit"}[one["field"]]
            said.setdefault(one["sidecar"], {})[one["key"]] = value
    for name, document in said.items():
        (tmp_path / name).write_text(json.dumps(document))
    rows = run(*words, "--json").documents
    asked = {row["adapter"]: [one["field"] for one in row["asks"]] for row in rows}
    assert asked["ada/ink"] == ["kind"]


def test_the_report_names_other_adapters_that_have_a_file(
    run: Run, fake: FakeHub, folder: Path
) -> None:
    fake.publish("studio/night", {"n.safetensors": (folder / "noir.safetensors").read_bytes()})
    ran = run("import", folder, "--to", "ada", "--dry-run", "--json")
    planned = {Path(row["files"][0]).name: row.get("elsewhere") for row in ran.documents}
    assert planned["noir.safetensors"] == ["studio/night@v1"]
    assert planned["ink.safetensors"] == []
    text = " ".join(run("import", folder, "--to", "ada", "--dry-run").out.split())
    assert text.count("the hub has it as studio/night@v1") == 1


def test_files_that_the_hub_has_can_be_left_out(run: Run, fake: FakeHub, folder: Path) -> None:
    for name in ("noir", "run-000002", "pan_low_noise"):
        data = (folder / f"{name}.safetensors").read_bytes()
        fake.publish(f"studio/{name}", {"n.safetensors": data})
    fog = (folder / "fog.safetensors").read_bytes()
    fake.publish("studio/fog", {"n.safetensors": fog}, state="withdrawn")
    words = ("import", folder, "--to", "ada", "--skip-known")
    rows = run(*words, "--dry-run", "--json").documents
    known = {Path(row["files"][0]).stem: row["message"] for row in rows if "reason" in row
             and row["reason"] == "known"}  # fmt: skip
    assert known == {
        "noir": "the hub has it as studio/noir@v1",
        "run-000002": "the hub has it as studio/run-000002@v1",
    }
    ran = run(*words, "--yes")
    assert (ran.code, "noir.safetensors is left out: the hub has it as" in ran.err) == (0, True)
    expected = {name: paths for name, paths in RESULT.items() if name != "ada/noir"}
    expected["ada/run"] = [["run-000001.safetensors"], ["run.safetensors"]]
    mine = {name: paths for name, paths in published(fake).items() if name.startswith("ada/")}
    assert mine == expected
    assert "There is nothing to publish." in run(*words, "--dry-run").out


def test_the_report_breaks_no_name_on_a_narrow_terminal(
    run: Run, fake: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del fake
    monkeypatch.setattr(output, "terminal_columns", lambda: 60)
    lines = run("import", folder, "--to", "ada", "--dry-run").out.splitlines()
    noir = next(n for n, line in enumerate(lines) if line.endswith("  noir.safetensors"))
    assert lines[noir].startswith("ada/noir")
    block = [*takewhile(lambda line: line.startswith("  "), lines[noir + 1 :])]
    assert any("trigger words: film noir, grain [noir.json]" in line for line in block)
    assert all(len(line) <= 60 or "; " not in line for line in block)


def test_a_folder_is_published_once_with_what_is_known(
    run: Run, fake: FakeHub, folder: Path, home: Path
) -> None:
    ran = run("import", folder, "--to", "ada", "--yes", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert published(fake) == RESULT
    noir = fake.adapters["ada/noir"]
    assert (noir["visibility"], noir["title"], noir["kind"]) == ("private", "Noir", "style")
    assert (noir["maturity"], noir["tags"], noir["card"]) == (
        "mature", ["style", "film"], "Dark & wet.",
    )  # fmt: skip
    (version,) = [
        one for one in sent(fake, "POST .*/noir/versions$") if "trigger_words" in one
    ]  # fmt: skip
    assert version["trigger_words"] == ["film noir, grain"]
    assert (version["strength"], version["label"]) == (0.8, "v2")
    assert "trigger words: noir.json (declared)" in version["notes"]
    labels = [one["label"] for one in sent(fake, "POST .*/run/versions$")]
    assert labels == ["epoch 1", "epoch 2", "epoch 10"]
    assert [one["name"] for one in fake.versions["ada/noir"][0]["samples"]] == [
        "noir.png", "noir.preview.jpeg",
    ]  # fmt: skip
    assert "samples" not in fake.versions["ada/run"][0]
    assert len(fake.versions["ada/run"][2]["samples"]) == 1

    fake.adapters["ada/noir"]["title"] = "A better title"
    fake.versions["ada/noir"][0]["samples"].clear()
    for forget in (False, True):  # another computer knows it from the hub
        fake.seen.clear()
        if forget:
            shutil.rmtree(home)
        assert run("import", folder, "--to", "ada", "--yes").code == 0
        assert {seen.path for seen in fake.seen if seen.method != "GET"} == {"/api/v1/hashes"}
    assert fake.adapters["ada/noir"]["title"] == "A better title"
    assert fake.versions["ada/noir"][0]["samples"] == []


def test_a_plan_for_a_namespace_of_others_is_refused(
    run: Run, fake: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["--dry-run"], ["--json"], ["--yes"]):
        ran = run("import", folder, "--to", "nobody", *words)
        assert (ran.code, "not allowed to publish to nobody" in ran.err) == (4, True)
        assert "You may publish to: ada, guild." in ran.err
    assert {seen.path for seen in fake.seen} == {"/api/v1/me"}
    assert run("import", folder, "--to", "Guild", "--dry-run").code == 0
    ran = run("push", folder / "fog.safetensors", "--to", "nobody/fog", "--dry-run")
    assert (ran.code, "not allowed to publish to nobody" in ran.err) == (4, True)
    ran = run("push", folder / "more", "--to", "nobody/fog", "--dry-run")
    assert (ran.code, "not allowed to publish to nobody" in ran.err) == (4, True)
    monkeypatch.delenv("LORARY_TOKEN")
    ran = run("import", folder, "--to", "nobody", "--dry-run")
    assert (ran.code, "was not checked: sign in first" in ran.err) == (0, True)
    assert run("import", folder, "--to", "nobody", "--yes").code == 4
    ran = run("import", folder, "--to", "nobody", "--dry-run", "--offline")
    assert (ran.code, "offline" in ran.err, "sign in" in ran.err) == (3, True, False)


def test_a_token_for_one_adapter_publishes_new_versions_of_it(
    run: Run, fake: FakeHub, tmp_path: Path, home: Path
) -> None:
    place = tmp_path / "run"
    place.mkdir()
    (place / "run-000001.safetensors").write_bytes(adapter(1, ss_session_id="7", ss_epoch="1"))
    assert run("import", place, "--to", "ada", "--yes").code == 0
    shutil.rmtree(home)  # another computer knows the first epoch from the hub
    fake.bound_to = "ada/run"
    (place / "run-000002.safetensors").write_bytes(adapter(2, ss_session_id="7", ss_epoch="2"))
    (place / "run.safetensors").write_bytes(adapter(3, ss_session_id="7", ss_epoch="3"))
    assert run("import", place, "--to", "Ada", "--dry-run").code == 0
    ran = run("import", place, "--to", "ada", "--yes", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert [(row["adapter"], row["version"]) for row in ran.documents] == [
        ("ada/run", "v2"), ("ada/run", "v3"),
    ]  # fmt: skip
    assert run("import", place, "--to", "ada", "--yes").code == 0


def test_a_token_for_one_adapter_publishes_the_first_versions_of_it(
    run: Run, fake: FakeHub, tmp_path: Path
) -> None:
    (tmp_path / "noir.safetensors").write_bytes(adapter(1))
    fake.adapters["ada/noir"] = fake.adapter("ada/noir", versions=[])
    fake.bound_to = "ada/noir"
    assert run("import", tmp_path, "--to", "ada", "--yes").code == 0
    assert published(fake) == {"ada/noir": [["noir.safetensors"]]}


def test_adapters_that_a_token_for_one_adapter_does_not_cover_are_named(
    run: Run, fake: FakeHub, folder: Path
) -> None:
    fake.publish("ada/noir", {"other.safetensors": b"of a person"})
    fake.bound_to = "ada/noir"
    for words in (["--dry-run"], ["--dry-run", "--json"], ["--yes"]):
        ran = run("import", folder, "--to", "ada", *words)
        assert (ran.code, "This token is for ada/noir alone." in ran.err) == (4, True)
        assert "does not cover ada/fog, ada/ink, ada/noir-" in ran.err
        assert " and 1 more." in ran.err
    assert {seen.path for seen in fake.seen if seen.method != "GET"} == {"/api/v1/hashes"}
    assert {*fake.adapters} == {"ada/noir"}
    fake.seen.clear()
    ran = run("import", folder, "--to", "guild", "--yes")
    assert (ran.code, "not allowed to publish to guild" in ran.err) == (4, True)
    assert [seen.path for seen in fake.seen] == ["/api/v1/me"]


def test_a_sidecar_that_names_another_base_model_is_contradicted(run: Run, folder: Path) -> None:
    document = json.dumps({"sd version": "SD1", "activation text": "pan"})
    (folder / "pan_high_noise.json").write_text(document)
    text = " ".join(run("import", folder, "--to", "ada", "--dry-run").out.split())
    assert text.count("[file name], not SD1 [pan_high_noise.json]") == 1


def test_the_account_and_each_adapter_are_requested_once(
    run: Run, fake: FakeHub, folder: Path
) -> None:
    assert run("import", folder, "--to", "ada", "--yes").code == 0
    assert fake.requests("PATCH") == []
    assert len(fake.requests("GET .*/me$")) == 1
    asked = Counter(seen.path for seen in fake.requests("GET .*/adapters/ada/[a-z]+$"))
    assert asked == Counter(f"/api/v1/adapters/{name}" for name in RESULT)
    fake.seen.clear()
    run_folder = folder.with_name("run")
    run_folder.mkdir()
    for name in ("run-000001.safetensors", "run-000002.safetensors"):
        (run_folder / name).write_bytes(adapter(50 + int(name[9]), ss_session_id="5"))
    assert run("push", run_folder, "--to", "ada/other", "--yes").code == 0
    assert len(fake.versions["ada/other"]) == 2
    assert len(fake.requests("GET .*/me$")) == 1
    assert len(fake.requests("GET .*/adapters/ada/other$")) == 1


def test_a_no_to_the_question_ends_with_an_error(
    fake: FakeHub, folder: Path, environment: dict[str, str]
) -> None:
    ours, theirs = os.openpty()
    os.write(ours, b"n\n")
    command = [*CLI, "import", str(folder), "--to", "ada"]
    try:
        ran = subprocess.run(
            command, env=environment, stdin=theirs, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert (ran.returncode, "Nothing was sent." in ran.stderr) == (1, True)
    assert fake.adapters == {}


def test_an_option_for_new_adapters_is_said_to_leave_the_others(
    run: Run, fake: FakeHub, folder: Path
) -> None:
    assert run("import", folder, "--to", "ada", "--yes").code == 0
    ran = run("import", folder, "--to", "ada", "--public", "--dry-run")
    assert "--public is for new adapters" in ran.err
    assert "keep their visibility" in ran.err
    assert "new adapters" not in run("import", folder, "--to", "ada", "--dry-run").err


def test_later_epochs_join_their_adapter_and_foreign_names_are_left_alone(
    run: Run, fake: FakeHub, folder: Path, home: Path
) -> None:
    fake.publish("ada/noir", {"other.safetensors": b"of a person"})
    run("import", folder, "--to", "ada", "--yes")
    assert published(fake)["ada/noir"] == [["other.safetensors"]]
    assert ["noir.safetensors"] in published(fake)[next(
        name for name in fake.versions if name.startswith("ada/noir-")
    )]  # fmt: skip
    data = adapter(90, ss_session_id="77", ss_epoch="20")
    (folder / "renamed.safetensors").write_bytes(data)
    (folder / "noir-000003.safetensors").write_bytes(adapter(91))
    shutil.rmtree(home)
    ran = run("import", folder, "--to", "ada", "--yes", "--json")
    assert sorted((row["adapter"], row["version"]) for row in ran.documents) == [
        (next(name for name in fake.versions if name.startswith("ada/noir-")), "v2"),
        ("ada/run", "v4"),
    ]  # fmt: skip
    assert fake.requests("PATCH") == []


def test_later_epochs_join_an_adapter_whose_visibility_was_changed(
    run: Run, fake: FakeHub, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    place.mkdir()
    (place / "run-000001.safetensors").write_bytes(adapter(1, ss_session_id="7", ss_epoch="1"))
    assert run("import", place, "--to", "ada", "--yes").code == 0
    fake.adapters["ada/run"]["visibility"] = "public"
    (place / "run-000002.safetensors").write_bytes(adapter(2, ss_session_id="7", ss_epoch="2"))
    ran = run("import", place, "--to", "ada", "--yes", "--json")
    told = [(one["version"], one["visibility"]) for one in ran.documents if one.get("version")]
    assert (ran.code, told) == (0, [("v2", "public")]), ran.err
    (place / "run-000003.safetensors").write_bytes(adapter(3, ss_session_id="7", ss_epoch="3"))
    assert "ada/run is public, and stays so." in run("import", place, "--to", "ada", "--yes").out
    leak = adapter(4, ss_session_id="7", ss_epoch="4", ss_train_data_dir="/home/jane.doe/me")
    (place / "run-000004.safetensors").write_bytes(leak)
    ran = run("import", place, "--to", "ada", "--yes", "--json")
    assert ran.documents[0]["error"]["code"] == "private_data"
    assert fake.requests("PATCH") == []


def test_what_a_person_wrote_for_an_empty_adapter_stays(
    run: Run, fake: FakeHub, folder: Path
) -> None:
    mine = {"title": "Mine", "kind": "pose", "tags": ["own"], "versions": []}
    fake.adapters["ada/noir"] = fake.adapter("ada/noir", **mine)
    draft = fake.adapter("ada/ink", title="Draft", versions=[{"version": "v1", "state": "draft"}])
    fake.adapters["ada/ink"] = dict(draft)
    assert run("import", folder, "--to", "ada", "--yes").code == 0
    shown = fake.adapters["ada/noir"]
    assert (shown["title"], shown["kind"], shown["tags"]) == ("Mine", "pose", ["own"])
    assert (shown["card"], shown["visibility"]) == ("Dark & wet.", "private")
    assert (fake.adapters["ada/ink"], "ada/ink" in fake.versions) == (draft, False)
    assert len(fake.requests("PATCH")) == 1


def test_unrelated_files_are_separate_adapters_with_valid_names(
    run: Run, fake: FakeHub, tmp_path: Path
) -> None:
    place = tmp_path / "Downloads"
    place.mkdir()
    long = f"{'a' * 70}-b"
    names = ("lora", "lora (1)", f"{long}{'b' * 20}", f"{long}{'b' * 20}c", "pan", "Pan")
    for number, name in enumerate(names):
        data = wan(number) if name == "Pan" else adapter(number)
        (place / f"{name}.safetensors").write_bytes(data)
    (place / "pan\udcff.safetensors").write_bytes(adapter(9))
    os.mkfifo(place / "pan.png")
    ran = run("import", place, "--to", "ada", "--yes")
    assert (ran.code, "pan.png is not a regular file" in ran.err) == (1, True)
    assert "The name pan\\xff.safetensors is not UTF-8 text. Rename the file" in ran.err
    assert [len(versions) for versions in published(fake).values()] == [1] * 6
    for adapter_name in published(fake):
        assert str(Reference.parse(adapter_name)) == adapter_name
    titles = {one["title"] for one in fake.adapters.values()}
    assert all(title.isprintable() for title in titles)
    assert run("import", place, "--to", "a b").code == 2


def test_what_fails_is_reported_and_stops_nothing_else(
    run: Run, fake: FakeHub, folder: Path
) -> None:
    (folder / "wash.swarm.json").write_text("{no json")
    refusal = json.dumps({"status": 400, "code": "name_invalid", "detail": "Not this name."})
    fake.answers = [("/ink$", 400, {"Content-Type": "application/json"}, refusal.encode())]
    ran = run("import", folder, "--to", "ada", "--yes", "--jobs", "2")
    assert ran.code == 1
    assert "ink.safetensors: Not this name." in ran.err
    assert "7 versions published, 0 already there, 1 failed; 3 pictures added." in ran.out
    assert "wash.swarm.json is not valid JSON" in ran.err
    assert run("import", folder, "--to", "ada", "--yes").code == 0
    assert {name: sorted(paths) for name, paths in published(fake).items()} == {
        name: sorted(paths) for name, paths in RESULT.items()
    }


def test_a_hub_that_is_away_for_a_while_is_waited_for(
    run: Run, fake: FakeHub, folder: Path, waits: list[float]
) -> None:
    busy = ("/uploads$", 503, {"Content-Type": "application/json"}, b"{}")
    fake.answers = [busy] * 10
    ran = run("import", folder, "--to", "ada", "--yes", "--jobs", "1")
    assert (ran.code, 30.0 in waits) == (0, True), ran.err
    assert published(fake) == RESULT


def test_the_rest_of_a_run_joins_its_adapter_after_a_pause(
    run: Run, fake: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = publishing.push, ["run-000002.safetensors"]

    def push(session: Session, target: Reference, places: Any, *rest: Any, **more: Any) -> Pushed:
        if places[0].name in failures:
            failures.remove(places[0].name)
            raise Unreachable
        return real(session, target, places, *rest, **more)

    monkeypatch.setattr(publishing, "push", push)
    ran = run("import", folder, "--to", "ada", "--yes")
    assert (ran.code, published(fake)) == (0, RESULT)
    assert "8 versions published, 0 already there, 0 failed" in ran.out


def test_private_data_is_not_published_for_others(run: Run, fake: FakeHub, tmp_path: Path) -> None:
    place = tmp_path / "leaks"
    place.mkdir()
    leak = adapter(1, ss_train_data_dir="/home/jane.doe/pictures/me")
    (place / "leak.safetensors").write_bytes(leak)
    ran = run("import", place, "--to", "ada", "--public", "--yes", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "private_data")
    assert fake.adapters == {}
    assert run("import", place, "--to", "ada", "--yes").code == 0
    assert fake.adapters["ada/leak"]["visibility"] == "private"


@pytest.mark.parametrize(
    "moments",
    [[0.3, 1.0], pytest.param([step / 12 for step in range(50)], marks=LONG)],
)
def test_a_killed_import_goes_on_and_publishes_nothing_twice(
    run: Run, fake: FakeHub, folder: Path, home: Path, environment: dict[str, str],
    moments: list[float],
) -> None:  # fmt: skip
    for number in range(40):
        (folder / f"one{number:02}x.safetensors").write_bytes(adapter(200 + number))
        (folder / f"one{number:02}x.png").write_bytes(PNG)
    command = [*CLI, "import", str(folder), "--to", "ada", "--yes", "--jobs", "2"]
    for moment in moments:
        job = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while not (home / NAME).exists() and job.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(moment)
        finally:
            job.send_signal(signal.SIGKILL)
            job.wait()
    assert run("import", folder, "--to", "ada", "--yes").code == 0
    counts = Counter(
        file["sha256"]
        for versions in fake.versions.values()
        for version in versions
        for file in version["files"]
    )
    assert (len(counts), set(counts.values())) == (49, {1})
    for number in range(40):
        assert len(fake.versions[f"ada/one{number:02}x"][0]["samples"]) == 1
