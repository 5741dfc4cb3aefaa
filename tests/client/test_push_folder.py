"""Pushing a folder: the output of a training run becomes the versions of one adapter."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorary.library.importing.journal import NAME
from tests.builders.adapters import DENOISERS, kohya
from tests.client.conftest import CLI
from tests.client.tiny import adapter, wan

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

ENDS = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9"}
PNG = b"\x89PNG\r\n\x1a\n" + ENDS[".png"]
CARD = """---
license: mit
tags:
- ink
base_model:
widget:
- text: noir
---
# Noir
"""
LONG = (pytest.mark.long, pytest.mark.timeout(3600))


def fill(place: Path, files: dict[str, bytes | str]) -> Path:
    """Write files into a folder; samples get the last bytes of a whole picture."""
    for name, data in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        end = ENDS.get(path.suffix, b"") if name.startswith("sample") else b""
        path.write_bytes((data if isinstance(data, bytes) else data.encode()) + end)
    return place


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """What sd-scripts leaves: epochs, samples, the state; and a card and a sidecar of a person."""
    files: dict[str, bytes | str] = {
        "noir-000001-state/model.safetensors": adapter(50),
        "noir-000001-state/optimizer.bin": b"state",
        "noir_20260102-030405.json": "{}",
        "README.md": CARD,
        "noir.json": json.dumps({"activation text": "film noir", "preferred weight": 0.8}),
        "noir.png": PNG + b"own",
        "sample/other_e000001_00_20260102030405_42.png": PNG,
        "sample/noir_e000000_00_20260102030405_42.png": PNG,
    }
    for epoch in (1, 2, 10):
        name = f"noir{'' if epoch == 10 else f'-{epoch:06}'}.safetensors"
        files[name] = adapter(epoch, ss_session_id="7", ss_epoch=str(epoch))
        for picture in (0, 1):
            name = f"sample/noir_e{epoch:06}_{picture:02}_20260102030405_42.png"
            files[name] = PNG + name.encode()
    return fill(tmp_path / "output", files)


def uploaded(fake: FakeHub, full_name: str) -> list[list[str]]:
    """The paths of each version."""
    return [[file["path"] for file in one["files"]] for one in fake.versions[full_name]]


def galleries(fake: FakeHub, full_name: str) -> list[list[str]]:
    """The pictures of each version."""
    return [[one["name"] for one in v.get("samples", [])] for v in fake.versions[full_name]]


def planned(ran: Ran) -> list[dict[str, Any]]:
    return [one for one in ran.documents if one["state"] == "planned"]


def test_a_dry_run_says_what_would_be_published_and_asked(
    run: Run, fake: FakeHub, output: Path
) -> None:
    ran = run("push", output, "--to", "ada/noir", "--dry-run", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert {seen.path for seen in fake.seen if seen.method != "GET"} == {"/api/v1/hashes"}
    rows = planned(ran)
    assert [Path(row["files"][0]).name for row in rows] == [
        "noir-000001.safetensors", "noir-000002.safetensors", "noir.safetensors",
    ]  # fmt: skip
    assert [row["label"] for row in rows] == ["epoch 1", "epoch 2", "epoch 10"]
    last = rows[-1]
    assert last["attached"] == ["README.md"]
    assert [Path(path).name for path in last["previews"]] == [
        "noir.png",
        "noir_e000010_00_20260102030405_42.png",
        "noir_e000010_01_20260102030405_42.png",
    ]
    assert last["fields"]["trigger_words"]["source"] == "noir.json"
    assert last["anatomy"][0]["algorithm"] == "lora"
    assert "family_unknown" in {found["code"] for found in last["findings"]}
    assert [one["field"] for one in last["asks"]] == ["family", "kind"]
    assert [one["field"] for one in rows[0]["asks"]] == ["family", "kind"]
    assert rows[0]["fields"]["trigger_words"]["value"] == ["film noir"]  # of the same run
    (skipped,) = [one for one in ran.documents if one["state"] == "skipped"]
    assert (skipped["reason"], Path(skipped["files"][0]).name) == (
        "training_state", "model.safetensors",
    )  # fmt: skip
    text = run("push", output, "--to", "ada/noir", "--dry-run", "--kind", "style").out
    assert "3 new versions" in text
    assert "7 pictures, README.md; ada/noir is new and public." in text
    assert ("(--family)" in text, "(--kind)" in text) == (True, False)


def test_a_run_becomes_versions_of_one_adapter_and_only_new_ones_follow(
    run: Run, fake: FakeHub, output: Path, home: Path
) -> None:
    words = ("push", output, "--to", "ada/noir", "--private", "--trigger", "noir, grain", "--json")
    ran = run(*words)
    assert (ran.code, ran.err) == (0, "")
    published = [(one["version"], one["previews"]) for one in ran.documents if "version" in one]
    assert published == [("v1", 2), ("v2", 2), ("v3", 3)]
    assert uploaded(fake, "ada/noir")[2] == ["noir.safetensors", "README.md"]
    assert [len(one) for one in galleries(fake, "ada/noir")] == [2, 2, 3]
    assert fake.requests("PATCH") == []  # details are those of the first version
    made = fake.adapters["ada/noir"]
    assert (made["visibility"], made["title"], made["card"], made["licence"]) == (
        "private", "Noir", "", "",
    )  # fmt: skip
    sent = [json.loads(seen.body) for seen in fake.requests("POST .*/noir/versions$")]
    assert {(tuple(one["trigger_words"]), one.get("notes")) for one in sent} == {
        (("noir, grain",), None)
    }
    fake.versions["ada/noir"][0]["samples"].clear()
    (output / "noir-000003.safetensors").write_bytes(adapter(3, ss_session_id="7", ss_epoch="3"))
    ran = run(*words)
    assert [(one["state"], one.get("version")) for one in ran.documents] == [
        ("here", "v1"), ("here", "v2"), ("here", "v3"), ("skipped", None), ("published", "v4"),
    ]  # fmt: skip
    assert galleries(fake, "ada/noir")[0] == []  # a person removed them
    late = output / "sample/noir_e000003_00_20260102030405_42.png"
    late.write_bytes(PNG)  # trainers write pictures after the weights
    ran = run(*words)
    assert [one["previews"] for one in ran.documents if one["state"] == "here"][-1] == 1
    shutil.rmtree(home)  # another computer asks the hub
    fake.seen.clear()
    assert run(*words).code == 0
    assert {seen.path for seen in fake.seen if seen.method != "GET"} == {"/api/v1/hashes"}


def test_what_a_person_wrote_for_an_empty_adapter_stays(
    run: Run, fake: FakeHub, output: Path
) -> None:
    mine = {"title": "Mine", "kind": "object", "visibility": "unlisted", "versions": []}
    fake.adapters["ada/noir"] = fake.adapter("ada/noir", **mine)
    assert run("push", output, "--to", "ada/noir", "--kind", "pose", "--yes").code == 0
    shown = fake.adapters["ada/noir"]
    assert (shown["title"], shown["kind"], shown["visibility"]) == ("Mine", "pose", "unlisted")


def test_pictures_that_a_trainer_still_writes_follow(
    run: Run, fake: FakeHub, output: Path, home: Path
) -> None:
    """Two of four are there when a checkpoint is pushed; a person then removes one on the hub."""
    words = ("push", output, "--to", "ada/noir", "--json")
    assert run(*words).code == 0
    fake.versions["ada/noir"][1]["samples"].pop()
    for number in (2, 3):
        late = output / f"sample/noir_e000002_{number:02}_20260102030405_42.png"
        late.write_bytes(PNG[:10])
        assert {one["state"] for one in run(*words).documents} == {"here", "skipped"}
        late.write_bytes(bytes([number]) + PNG)
        text = run(*words[:-1], "--dry-run").out
        assert "3 versions are on the hub already.\n1 of them lacks pictures" in text
        ran = run(*words)
        added = {one["version"]: one["previews"] for one in ran.documents if one.get("previews")}
        assert (ran.code, added) == (0, {"v2": 1})
    names = [name.rpartition("_2026")[0] for name in galleries(fake, "ada/noir")[1]]
    assert names == ["noir_e000002_00", "noir_e000002_02", "noir_e000002_03"]


def test_pictures_of_an_earlier_run_are_left_out(run: Run, fake: FakeHub, output: Path) -> None:
    late = "sample/noir_e000002_00_20260103000000_42.png"
    fill(
        output, {late: PNG, "noir-000002.safetensors": adapter(22, ss_session_id="8", ss_epoch="2")}
    )
    ran = run("push", output, "--to", "ada/noir", "--dry-run", "--json")
    names = [Path(path).name for path in planned(ran)[1]["previews"]]
    assert names == [
        "noir_e000002_00_20260103000000_42.png",
        "noir_e000002_01_20260102030405_42.png",
    ]


def test_sidecars_come_before_the_card_and_the_card_before_headers(
    run: Run, fake: FakeHub, output: Path
) -> None:
    words = json.dumps({"10_ohwx": {"ohwx": 10}})
    data = adapter(1, ss_session_id="7", ss_epoch="1", ss_tag_frequency=words)
    fill(output, {"noir-000001.safetensors": data, "README.md": "---\ninstance_prompt: ink\n---\n"})
    first = ("push", output, "--to", "ada/noir", "--dry-run", "--json")
    found = planned(run(*first))[0]["fields"]["trigger_words"]
    assert (found["value"], found["source"]) == (["film noir"], "noir.json")
    (output / "noir.json").unlink()
    (row, *_) = planned(run(*first))
    assert "trigger_words" not in row["fields"]  # the hub reads them from the card
    (output / "README.md").unlink()
    (row, *_) = planned(run(*first))
    assert row["fields"]["trigger_words"]["source"] == "ss_tag_frequency"


TRAINERS: dict[str, dict[str, bytes | str]] = {
    "ai-toolkit": {
        "noir_000000250.safetensors": adapter(1), "noir_000000500.safetensors": adapter(2),
        "noir.safetensors": adapter(3), "config.yaml": "job: x", "optimizer.pt": b"",
        "samples/1767323045000__000000000_0.jpg": b"base",
        "samples/1767323045001__000000250_0.jpg": b"1",
        "samples/1767323045002__000000500_0.jpg": b"2",
        "samples/1767323045003__000000750_0.jpg": b"3",
    },
    "OneTrainer": {
        "save/2026-01-02_03-04-05-save-250-1-0.safetensors": adapter(1),
        "save/2026-01-02_03-05-05-save-500-2-0.safetensors": adapter(2),
        "backup/2026-01-02_03-05-05-backup-500-2-0/lora/lora.safetensors": adapter(2, width=4),
        "samples/0 - noir/2026-01-02_03-04-06-training-sample-250-1-0.png": b"1",
        "samples/1 - rain/2026-01-02_03-05-06-training-sample-500-2-0.png": b"2",
    },
    "diffusers": {
        "checkpoint-250/pytorch_lora_weights.safetensors": adapter(1),
        "checkpoint-1000/pytorch_lora_weights.safetensors": adapter(2),
        "checkpoint-1000/optimizer.bin": b"", "pytorch_lora_weights.safetensors": adapter(3),
    },
    "PEFT": {"adapter_model.safetensors": adapter(1), "adapter_config.json": '{"r": 4}'},
    "ai-toolkit, a pair": {
        "pan_000000500_high_noise.safetensors": wan(1), "pan_high_noise.safetensors": wan(3),
        "pan_000000500_low_noise.safetensors": wan(2), "pan_low_noise.safetensors": wan(4),
        "samples/1767323045001__000000500_0.jpg": b"1",
    },
    "ai-toolkit, with headers": {
        f"noir{name}.safetensors": adapter(step, training_info=f'{{"step": {step}, "epoch": 3}}')
        for name, step in (("_000000500", 500), ("", 750))
    },
    "OneTrainer, finished": {
        "save/2026-01-02_03-04-05-save-250-1-0.safetensors": adapter(1, ss_epoch="1"),
        "lora.safetensors": adapter(2),
        "samples/0 - noir/2026-01-02_03-04-05-training-sample-250-1-0.png": b"1",
        "samples/0 - noir/2026-01-02_03-04-06-training-sample-400-2-0.png": b"2",
        "samples/0 - noir/2026-01-02_03-04-07-training-sample-450-2-0.png": b"3",
    },
    "sd-scripts, by step": {
        "noir-000001.safetensors": adapter(1, ss_epoch="1", ss_steps="100"),
        "noir-step00000150.safetensors": adapter(2, ss_epoch="1", ss_steps="150"),
        "noir.safetensors": adapter(3, ss_epoch="2", ss_steps="200"),
        "sample/noir_e000001_00_20260102030405_42.png": b"1",
        "sample/noir_000150_00_20260102030406_42.png": b"2",
        "sample/noir_e000002_00_20260102030407_42.png": b"3",
        "sample/noir_000200_00_20260102030407_42.png": b"4",
    },
    "a pair": {
        "pan_high_noise-000004.safetensors": wan(1), "pan_low_noise-000004.safetensors": wan(2),
        "pan_high_noise.safetensors": wan(3), "pan_low_noise.safetensors": wan(4),
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("trainer", "labels", "pictures"),
    [
        ("ai-toolkit", ["step 250", "step 500", "final"], [1, 1, 1]),
        ("ai-toolkit, with headers", ["step 500", "step 750"], [0, 0]),
        ("OneTrainer", ["step 250", "step 500"], [1, 1]),
        ("OneTrainer, finished", ["step 250", "final"], [1, 1]),
        ("sd-scripts, by step", ["epoch 1", "step 150", "epoch 2"], [1, 1, 2]),
        ("diffusers", ["step 250", "step 1000", "final"], [0, 0, 0]),
        ("PEFT", [None], [0]),
        ("a pair", ["epoch 4", "final"], [0, 0]),
        ("ai-toolkit, a pair", ["step 500", "final"], [1, 0]),
    ],
)
def test_the_folders_of_trainers_are_read(
    run: Run, tmp_path: Path, trainer: str, labels: list[str | None], pictures: list[int]
) -> None:
    folder = fill(tmp_path / trainer, TRAINERS[trainer])
    ran = run("push", folder, "--to", "ada/my-noir", "--dry-run", "--json")
    assert ran.code == 0, ran.err
    rows = planned(ran)
    assert [row["label"] for row in rows] == labels
    assert [len(row["previews"]) for row in rows] == pictures
    attached = ["adapter_config.json"] if trainer == "PEFT" else []
    assert all(row["attached"] == attached for row in rows)


def test_the_title_of_a_run_without_one_is_that_of_its_adapter(
    run: Run, fake: FakeHub, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "out", TRAINERS["diffusers"])
    assert run("push", folder, "--to", "ada/my-noir").code == 0
    assert fake.adapters["ada/my-noir"]["title"] == "My noir"
    assert len(fake.versions["ada/my-noir"]) == 3


def test_files_of_different_adapters_are_refused(run: Run, fake: FakeHub, tmp_path: Path) -> None:
    folder = fill(tmp_path / "out", {"a.safetensors": adapter(1), "b.safetensors": adapter(2)})
    ran = run("push", folder, "--to", "ada/noir", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "several_adapters")
    assert "a.safetensors, b.safetensors" in ran.err
    for name in ("a", "b"):  # the header says that they are of one run
        data = adapter(ord(name), ss_session_id="7", ss_epoch=str(ord(name)))
        (folder / f"{name}.safetensors").write_bytes(data)
    assert run("push", folder, "--to", "ada/noir").code == 0
    assert len(fake.versions["ada/noir"]) == 2


def test_what_a_hook_needs_to_know_is_in_the_exit_code(
    run: Run, fake: FakeHub, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("push", output, "--to", "ada/noir", "--json")
    for extra in (["--draft"], ["--wait"], ["--label", "x"], [output]):
        assert run(*words, *extra).code == 2
    away = ("/uploads$", 503, {"Content-Type": "application/json"}, b"{}")
    fake.answers = [away] * 100
    ran = run(*words)
    assert (ran.code, fake.adapters) == (5, {})
    assert {one["state"] for one in ran.documents} == {"failed", "skipped"}
    fake.answers = []
    (output / "README.md").write_bytes(b"\xff")
    (output / "noir-000003.safetensors").write_bytes(b"\x10")  # the trainer is writing it
    ran = run(*words)
    assert (ran.code, len(fake.versions["ada/noir"])) == (1, 3)
    assert [one["reason"] for one in ran.documents if one["state"] == "skipped"] == [
        "training_state", "broken", "card_unreadable",
    ]  # fmt: skip
    (output / "noir-000003.safetensors").unlink()
    fake.adapters["ada/noir"]["can_write"] = False
    assert run(*words).code == 4
    monkeypatch.setenv("LORARY_TOKEN", "lor_wrong")
    assert run(*words).code == 4


def test_private_data_in_a_configuration_is_reported(
    run: Run, fake: FakeHub, tmp_path: Path
) -> None:
    config = json.dumps({"r": 4, "base_model_name_or_path": "/home/jane.doe/models/sd15"})
    folder = fill(
        tmp_path, {"adapter_model.safetensors": adapter(1), "adapter_config.json": config}
    )
    message = "adapter_config.json: The metadata contains file paths from a computer"
    for words in ([folder], [folder / "adapter_model.safetensors", folder / "adapter_config.json"]):
        (row,) = run("push", *words, "--to", "ada/noir", "--dry-run", "--json").documents
        assert [one["message"][: len(message)] for one in row["findings"]].count(message) == 1
        assert "private_data" in [one["field"] for one in row["asks"]]
        private = run("push", *words, "--to", "ada/noir", "--dry-run", "--json", "--private")
        assert "private_data" not in [one["field"] for one in private.document["asks"]]
    ran = run("push", folder, "--to", "ada/noir", "--json")
    assert (ran.code, message in ran.err) == (0, True)


def test_a_push_that_is_not_allowed_is_refused_once(run: Run, fake: FakeHub, output: Path) -> None:
    problem = json.dumps({"code": "forbidden", "detail": "Not yours.", "status": 403}).encode()
    fake.answers = [("/uploads$", 403, {"Content-Type": "application/problem+json"}, problem)] * 9
    ran = run("push", output, "--to", "ada/noir")
    assert (ran.code, len(fake.requests("POST .*/uploads$"))) == (4, 1)
    assert "lorary: noir-000001.safetensors and 2 more: Not yours.\n" in ran.err


def test_a_renamed_adapter_is_found_by_its_former_name(
    run: Run, fake: FakeHub, output: Path
) -> None:
    assert run("push", output, "--to", "ada/ink").code == 0
    moved = json.dumps(fake.adapters["ada/ink"]).encode()
    for words in ([output], [output / "noir.safetensors", "--dry-run"]):
        headers = {"Content-Type": "application/json"}
        fake.answers = [("adapters/ada/noir$", 200, headers, moved)]
        ran = run("push", *words, "--to", "ada/noir", "--title", "New", "--json")
        assert ran.code == 0, ran.err
        assert {one.get("version") for one in ran.documents} >= {"v3"}
        assert {one["state"] for one in ran.documents} <= {"here", "skipped"}
    assert list(fake.versions) == ["ada/ink"]


def test_a_dry_run_names_only_versions_of_others_that_can_be_had(
    run: Run, fake: FakeHub, lora: Path
) -> None:
    words = ("push", lora, "--to", "ada/noir", "--dry-run", "--json")
    files = {lora.name: lora.read_bytes()}
    for name, state in (("one", "withdrawn"), ("two", "yanked")):
        fake.publish(f"studio/{name}", files, state=state)
    fake.publish("ada/night", files)
    fake.adapters["ada/noir"] = fake.adapters["ada/night"]  # its former name
    known = [one for one in run(*words).document["findings"] if one["code"] == "weights_known"]
    assert [one["message"].partition(" A link")[0] for one in known] == [
        "These weights are already published: studio/two v1."
    ]


@pytest.mark.parametrize("options", [("--dry-run",), ("--yes",)])
def test_a_family_that_the_files_exclude_is_refused_before_the_report(
    run: Run, fake: FakeHub, tmp_path: Path, options: tuple[str, ...]
) -> None:
    place = fill(tmp_path / "out", {"noir.safetensors": kohya(DENOISERS["sdxl", "sgm"])})
    ran = run("push", place, "--to", "ada/noir", "--family", "flux1", *options)
    assert (ran.code != 0, "do not fit flux1; they fit sdxl" in ran.err, ran.out) == (
        True,
        True,
        "",
    )
    assert fake.adapters == {}


def test_files_can_be_pushed_dry(run: Run, fake: FakeHub, lora: Path) -> None:
    words = ("push", lora, "--to", "ada/noir", "--dry-run", "--trigger", "noir")
    document = run(*words, "--json").document
    assert (document["state"], document["version"]) == ("planned", None)
    assert document["fields"]["trigger_words"]["value"] == ["noir"]
    assert [one["field"] for one in document["asks"]] == ["kind", "licence"]
    assert document["anatomy"][0]["base"]["family"] == "sd1"
    text = run(*words).out
    assert "1 new version; ada/noir is new and public." in text
    assert f"{lora.name}  title: Noir; trigger words: noir [--trigger]\n" in text
    assert "  base model  Stable Diffusion 1.x — proven by its tensors.\n" in text
    assert "  method      LoRA\n  rank        4\n" in text
    assert {seen.path for seen in fake.seen if seen.method != "GET"} == {"/api/v1/hashes"}
    fake.publish("ada/noir", {lora.name: lora.read_bytes()})
    assert run(*words, "--json").document["version"] == "v1"
    assert "These files are already v1." in run(*words).out
    broken = lora.with_name("broken.safetensors")
    broken.write_bytes(b"\x80")
    assert run("push", broken, "--to", "ada/noir", "--dry-run").code == 1


def test_a_folder_is_asked_about_at_a_terminal(
    fake: FakeHub, output: Path, environment: dict[str, str]
) -> None:
    leak = adapter(1, ss_session_id="7", ss_train_data_dir="/home/jane.doe/me")
    (output / "noir-000001.safetensors").write_bytes(leak)
    for answer, extra, code in (
        ("n\n", [], 1), ("n\n", ["--json"], 1), ("", ["--yes"], 0), ("y\n", [], 0),
    ):  # fmt: skip
        ours, theirs = os.openpty()
        os.write(ours, answer.encode())
        command = [*CLI, "push", str(output), "--to", "ada/noir", *extra]
        ran = subprocess.run(
            command, env=environment, stdin=theirs, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        os.close(ours)
        os.close(theirs)
        assert ran.returncode == code, ran.stderr
        assert ("can read the private data. Publish this?" in ran.stderr) == (
            bool(answer) and not fake.adapters
        )
        assert bool(fake.adapters) == (code == 0)


def test_two_pushes_at_once_publish_and_add_everything_once(
    fake: FakeHub, output: Path, environment: dict[str, str]
) -> None:
    fake.put_pause_s = 0.05
    command = [*CLI, "push", str(output), "--to", "ada/noir"]
    jobs = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [job.communicate(timeout=120)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], said
    assert len(fake.versions["ada/noir"]) == 3
    assert [len(one) for one in galleries(fake, "ada/noir")] == [2, 2, 3]


@pytest.mark.parametrize(
    "moments",
    [[0.1, 0.6, 1.2], pytest.param([step / 20 for step in range(50)], marks=LONG)],
)
def test_a_killed_push_goes_on_and_publishes_nothing_twice(
    run: Run, fake: FakeHub, output: Path, home: Path, environment: dict[str, str],
    moments: list[float],
) -> None:  # fmt: skip
    for epoch in range(11, 41):
        name = f"noir-{epoch:06}.safetensors"
        (output / name).write_bytes(adapter(epoch, ss_session_id="7", ss_epoch=str(epoch)))
        (output / f"sample/noir_e{epoch:06}_00_20260102030405_42.png").write_bytes(PNG)
    command = [*CLI, "push", str(output), "--to", "ada/noir"]
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
    assert run("push", output, "--to", "ada/noir").code == 0
    weights = Counter(
        file["sha256"]
        for version in fake.versions["ada/noir"]
        for file in version["files"]
        if file["role"] == "weights"
    )
    assert (len(weights), set(weights.values())) == (33, {1})
    assert [len(one) for one in galleries(fake, "ada/noir")] == [2, 2, 3, *[1] * 30]
