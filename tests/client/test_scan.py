"""Scanning folders into the index, and listing what it knows."""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorary.anatomy.families import FAMILIES
from lorary.cli.commands.library import scan
from lorary.cli.output import text
from lorary.library.index.database import NAME, Counts, Index
from lorary.library.index.walking import Seen
from tests.builders.adapters import DENOISERS, Target, comfyui, kohya
from tests.builders.weights import file_of
from tests.client.conftest import CLI
from tests.client.tiny import adapter, wan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

OWN_WORDS = adapter(0, width=8, **{"modelspec.trigger_phrase": "own"})
LONG = (pytest.mark.long, pytest.mark.timeout(3600))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "loras"
    place.mkdir()
    return place


def listed(run: Run, *words: object) -> dict[str, dict[str, Any]]:
    ran = run("list", *words, "--json")
    assert ran.code == 0, ran.err
    return {Path(row["path"]).name: row for row in ran.documents}


def test_a_scan_reads_identity_anatomy_and_what_the_hub_has(
    run: Run, fake: FakeHub, folder: Path
) -> None:
    noir = adapter(1, ss_session_id="1", ss_network_module="networks.lora", ss_epoch="3")
    (folder / "noir.safetensors").write_bytes(noir)
    (folder / "ink.safetensors").write_bytes(adapter(2))
    fake.publish("ada/noir", {"noir.safetensors": noir}, trigger_words=["film noir"])
    ran = run("scan", folder, "--json")
    assert ran.code == 0, ran.err
    assert [row["path"] for row in ran.documents] == [
        str(folder / "ink.safetensors"), str(folder / "noir.safetensors"),
    ]  # fmt: skip
    row = ran.documents[1]
    sha256 = hashlib.sha256(noir).hexdigest()
    assert (row["sha256"], row["autov2"], row["kind"]) == (sha256, sha256[:10], "adapter")
    assert (row["rank"], row["session"], row["epochs"]) == (4, "1", 3)
    assert row["trainer"] == "sd-scripts"
    assert [(one["adapter"], one["version"]) for one in row["hub"]] == [("ada/noir", "v1")]
    assert [one["text"] for one in row["trigger_words"]] == ["film noir"]
    assert set(listed(run, "--not-on-hub")) == {"ink.safetensors"}
    assert set(listed(run, "--missing-triggers")) == {"ink.safetensors"}
    assert len(fake.requests("POST .*/hashes")) == 1


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_output_that_ends_early_says_nothing_of_the_index(
    run: Run, fake: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (folder / f"{number}.safetensors").write_bytes(adapter(number))
    run("scan", folder)

    def stop(_lines: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(scan, "_PAGE", 1)
    for name in ("show", "emit"):
        monkeypatch.setattr(scan, name, stop)
    for words in (["list"], ["list", "--json"]):
        ran = run(*words)
        assert ran.code == 1
        assert "index" not in ran.err
    gc.collect()


def test_unchanged_files_are_not_read_again_and_changes_are_seen(
    run: Run, fake: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        (folder / f"{number}.safetensors").write_bytes(adapter(number))
    assert "4 new" in run("scan", folder).out
    asked = len(fake.requests("POST .*/hashes"))
    (folder / "below").mkdir()
    assert "4 unchanged" in run("scan", folder / "below" / "..").out
    (folder / "0.safetensors").rename(folder / "below" / "moved.safetensors")
    (folder / "1.safetensors").write_bytes(adapter(9, a="b"))
    (folder / "2.safetensors").unlink()
    out = run("scan", folder).out
    assert "3 files: 1 new, 1 changed, 1 unchanged, 2 gone. 1 were read." in out
    assert len(fake.requests("POST .*/hashes")) == asked + 1
    assert set(listed(run)) == {"moved.safetensors", "1.safetensors", "3.safetensors"}
    monkeypatch.setattr("lorary.library.index.scanning.read_content", None)
    assert "0 were read" in run("scan", folder).out
    assert len(fake.requests("POST .*/hashes")) == asked + 1


def broken_files(folder: Path) -> Iterator[str]:
    """Write files that cannot be adapters; yield their names."""
    contents = {
        "empty": b"", "text": b"not found, sorry", "pickle": b"\x80\x02}q\x00.",
        "cut": adapter()[:40], "huge": (2**62).to_bytes(8, "little") + b"{}",
        "deep": file_of(b'{"a":' * 5000), "html": b"<!doctype html><p>no",
    }  # fmt: skip
    for name, data in contents.items():
        (folder / f"{name}.safetensors").write_bytes(data)
        yield f"{name}.safetensors"
    (folder / "away.safetensors").symlink_to(folder / "nowhere")
    yield "away.safetensors"
    os.mkfifo(folder / "pipe.safetensors")
    yield "pipe.safetensors"
    (folder / "away-\udcff.safetensors").symlink_to("/nowhere")
    yield "away-\udcff.safetensors"
    (folder / "loop").symlink_to(folder)


def test_hostile_files_are_reported_and_stop_nothing(run: Run, fake: FakeHub, folder: Path) -> None:
    del fake
    broken = set(broken_files(folder))
    odd = os.fsdecode(b"odd-\xff\n.safetensors")
    (folder / odd).write_bytes(adapter(5))
    (folder / "odd-\udcff\n.civitai.info").write_bytes(b"[" * 100_000)
    (folder / "odd-\udcff\n.json").write_text(f'{{"preferred weight": 1{"0" * 400}}}')
    os.mkfifo(folder / "odd-\udcff\n.swarm.json")
    ran = run("scan", folder, "--json")
    assert ran.code == 0, ran.err
    found = {row["path"].rpartition("/")[2]: row for row in ran.documents}
    assert {name for name, row in found.items() if "error" in row} == broken
    assert found["pickle.safetensors"]["error"]["code"] == "is_pickle"
    assert found["pipe.safetensors"]["error"]["code"] == "not_a_file"
    assert found[odd]["kind"] == "adapter"
    assert set(listed(run, "--broken")) == broken
    assert run("list").code == 0
    assert run("list", "--family", "\udcff").code == 2
    again = run("scan", folder, "--json", "--offline")
    assert (again.code, again.documents) == (0, [])
    assert run("scan", folder / "missing").code == 3


def test_duplicates_runs_and_halves_are_told(run: Run, folder: Path) -> None:
    (folder / "copy").mkdir()
    same, other = adapter(1), adapter(1, title="the same tensors")
    (folder / "a.safetensors").write_bytes(same)
    (folder / "copy" / "b.safetensors").write_bytes(same)
    (folder / "c.safetensors").write_bytes(other)
    os.link(folder / "a.safetensors", folder / "link.safetensors")
    for epoch in (1, 2, 10):
        data = adapter(20 + epoch, ss_session_id="77", ss_epoch=str(epoch))
        (folder / f"run{'' if epoch == 10 else epoch}.safetensors").write_bytes(data)
    for name in ("ink-000004", "ink-000008", "ink"):
        (folder / f"{name}.safetensors").write_bytes(adapter(hash(name) % 1000 + 50))
    (folder / "pan_high_noise.safetensors").write_bytes(wan(1))
    (folder / "pan_low_noise.safetensors").write_bytes(wan(2))
    run("scan", folder)
    found = listed(run)

    def names(name: str, key: str) -> list[str]:
        return [Path(path).name for path in found[f"{name}.safetensors"][key]]

    assert names("a", "same_bytes") == ["b.safetensors"]  # a hard link takes no room
    assert names("a", "same_tensors") == ["c.safetensors"]
    assert names("run1", "run") == ["run2.safetensors", "run.safetensors"]
    assert names("ink-000004", "run") == ["ink-000008.safetensors", "ink.safetensors"]
    assert found["pan_high_noise.safetensors"]["half"] == "high-noise"
    assert found["pan_high_noise.safetensors"]["pair"].endswith("pan_low_noise.safetensors")
    assert set(listed(run, "--duplicates")) == {
        "a.safetensors", "b.safetensors", "c.safetensors", "link.safetensors",
    }  # fmt: skip
    assert set(listed(run, "--family", "wan_14b")) == {
        "pan_high_noise.safetensors", "pan_low_noise.safetensors",
    }  # fmt: skip
    assert "same file as" in run("list", folder / "copy").out


def test_trigger_words_beside_a_file_count(run: Run, folder: Path) -> None:
    (folder / "noir.safetensors").write_bytes(adapter(1))
    run("scan", folder)
    assert set(listed(run, "--missing-triggers")) == {"noir.safetensors"}
    (folder / "noir.civitai.info").write_text(json.dumps({"trainedWords": ["film noir"]}))
    assert "1 unchanged" in run("scan", folder).out
    assert listed(run, "--missing-triggers") == {}
    assert listed(run)["noir.safetensors"]["trigger_words"][0]["text"] == "film noir"


def test_a_hub_that_is_away_costs_only_its_answers(
    run: Run, fake: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "noir.safetensors").write_bytes(adapter(1))
    monkeypatch.setenv("LORARY_ENDPOINT", "http://127.0.0.1:9")
    ran = run("scan", folder)
    assert (ran.code, "nothing was looked up on the hub" in ran.err) == (0, True)
    assert listed(run)["noir.safetensors"]["hub"] is None
    monkeypatch.setenv("LORARY_ENDPOINT", fake.url)
    run("scan", folder)
    assert listed(run)["noir.safetensors"]["hub"] == []


def test_a_hub_that_refuses_costs_only_its_answers(run: Run, fake: FakeHub, folder: Path) -> None:
    (folder / "noir.safetensors").write_bytes(adapter(1))
    fake.answers = [("/hashes$", 401, {"Content-Type": "application/json"}, b"{}")]
    ran = run("scan", folder)
    assert (ran.code, "nothing was looked up on the hub" in ran.err) == (0, True)
    assert "1 file: 1 new" in ran.out


def test_an_empty_index_says_how_to_fill_it(run: Run) -> None:
    assert "the index is empty" in run("list").err
    assert "no scanned file matches" in run("list", "--broken").err


def test_the_summary_of_a_scan_counts_each_file_once(run: Run, fake: FakeHub, folder: Path) -> None:
    for name, number in (("a", 1), ("b", 1), ("c", 2), ("noir", 3)):
        (folder / f"{name}.safetensors").write_bytes(adapter(number))
    (folder / "cut.safetensors").write_bytes(adapter(4)[:40])
    fake.publish("ada/noir", {"noir.safetensors": adapter(3)})
    rows = [line.split("  ") for line in run("scan", folder).out.splitlines()[1:]]
    found = {row[0]: next(cell for cell in row[1:] if cell).strip() for row in rows}
    assert found == {
        "on the hub": "1", "not on the hub": "3", "with a duplicate": "2", "cannot be read": "1",
        "without trigger words": "4",
    }  # fmt: skip
    names = {"a.safetensors", "b.safetensors", "c.safetensors"}
    assert set(listed(run, "--not-on-hub")) == names


def test_a_folder_that_was_not_scanned_is_named(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "noir.safetensors").write_bytes(adapter(1))
    other = tmp_path / "other"
    other.mkdir()
    run("scan", folder, "--offline")
    ran = run("list", other)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == (
        f"lorary: the index has no file from {other}; lorary scan {other} adds what is there\n"
    )
    ran = run("list", other, folder)
    assert ("noir.safetensors" in ran.out, "has no file from" in ran.err) == (True, True)
    ran = run("list", tmp_path / "nowhere", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (3, "file_missing")
    (folder / "noir.safetensors").unlink()
    folder.rmdir()
    assert "noir.safetensors" in run("list", folder).out  # as it was when it was scanned


@pytest.mark.parametrize("columns", [80, 400, None])
def test_paths_are_below_the_folder_and_never_broken(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, columns: int | None
) -> None:
    long = "a long name of an adapter/" + "x" * 90
    (folder / long).parent.mkdir()
    for name, number in (("noir", 1), (long, 1), ("ink", 2)):
        (folder / f"{name}.safetensors").write_bytes(adapter(number))
    run("scan", folder, "--offline")
    monkeypatch.setattr(text, "terminal_columns", lambda: columns)
    lines = run("list", folder).out.splitlines()
    assert len([line for line in lines if line.startswith(f"{long}.safetensors")]) == 1
    assert f"same file as {long}.safetensors" in "\n".join(lines)
    assert str(folder) not in "\n".join(lines)
    if columns == 80:
        assert lines[:2] == [f"{long}.safetensors", "  unknown  rank 4"]
        assert lines[2] == "  no trigger words; same file as noir.safetensors"
    else:
        assert len(lines) == 4
    assert f"{folder / long}.safetensors" in run("list").out


def test_a_list_names_the_adapter_that_a_file_was_pulled_from(
    run: Run, fake: FakeHub, folder: Path
) -> None:
    for owner, words in (("ada", ["loud"]), ("bob", ["calm", "grain"])):
        version = fake.publish(f"{owner}/noir", {"noir.safetensors": OWN_WORDS})
        version["trigger_words"] = words
    assert run("pull", "bob/noir", "--to", folder).code == 0
    (folder / "copy.safetensors").write_bytes(OWN_WORDS)
    run("scan", folder)
    lines = run("list", folder).out.splitlines()
    assert "own · loud · calm; ada/noir@v1 and 1 other adapter; " in lines[0]
    assert "calm · grain · own; bob/noir@v1 and 1 other adapter; " in lines[1]
    found = listed(run)
    assert found["noir.safetensors"]["hub"][0]["adapter"] == "bob/noir"
    sources = {
        name: [word["source"] for word in row["trigger_words"]] for name, row in found.items()
    }
    own = "modelspec.trigger_phrase"
    assert sources["noir.safetensors"] == ["bob/noir@v1", "bob/noir@v1", own, "ada/noir@v1"]
    assert sources["copy.safetensors"] == [own, "ada/noir@v1", "bob/noir@v1", "bob/noir@v1"]


def test_only_a_pull_from_the_same_hub_tells_the_origin(
    run: Run, fake: FakeHub, folder: Path
) -> None:
    for owner in ("ada", "bob"):
        fake.publish(f"{owner}/noir", {"styles/noir.safetensors": OWN_WORDS})
    assert run("pull", "bob/noir", "--to", folder).code == 0
    record = folder / ".lorary.json"
    assert (folder / "styles" / "noir.safetensors").is_file()
    run("scan", folder)
    assert listed(run)["noir.safetensors"]["hub"][0]["adapter"] == "bob/noir"
    record.write_text(record.read_text().replace(fake.url, "https://other.example"))
    assert listed(run)["noir.safetensors"]["hub"][0]["adapter"] == "ada/noir"


def test_copies_of_an_epoch_are_no_other_epochs(run: Run, folder: Path) -> None:
    (folder / "old").mkdir()
    for epoch in (1, 2):
        data = adapter(epoch, ss_session_id="77", ss_epoch=str(epoch))
        (folder / f"ink{epoch}.safetensors").write_bytes(data)
        (folder / "old" / f"z{epoch}.safetensors").write_bytes(data)
        other = adapter(epoch, ss_session_id="77", ss_epoch=str(epoch), title="other header")
        (folder / "old" / f"a{epoch}.safetensors").write_bytes(other)
    run("scan", folder)
    found = listed(run)
    assert found["ink1.safetensors"]["run"] == [str(folder / "ink2.safetensors")]
    assert found["z2.safetensors"]["run"] == [str(folder / "old" / "a1.safetensors")]
    assert "one of 2 in its run" in run("list", folder).out


def test_a_list_says_that_the_hub_has_all_files(run: Run, fake: FakeHub, folder: Path) -> None:
    for number in range(2):
        (folder / f"{number}.safetensors").write_bytes(adapter(number))
        fake.publish(f"ada/n{number}", {"n.safetensors": adapter(number)})
    run("scan", folder)
    assert "the hub has all 2 files" in run("list", "--not-on-hub").err
    (folder / "2.safetensors").write_bytes(adapter(2))
    run("scan", folder, "--offline")
    ran = run("list", "--not-on-hub")
    assert (ran.out, "1 file has not been looked up on the hub" in ran.err) == ("", True)


def test_a_list_has_the_signs_of_inspect(run: Run, folder: Path) -> None:
    shared = [
        Target(f"down_blocks.{number}.attentions.0.transformer_blocks.0.attn1.to_q", (wide, wide))
        for number, wide in enumerate((320, 640))
    ]
    files = {
        "claimed": kohya(shared, metadata={"ss_base_model_version": "sd_v1-5"}),
        "either": kohya(shared),
        "lying": kohya(DENOISERS["sd1", "diffusers"], metadata={"ss_base_model_version": "flux1"}),
        "named": comfyui([Target("a.0.b", (77, 99))], metadata={"ss_base_model_version": "flux1"}),
        "proven": kohya(DENOISERS["sd1", "diffusers"]),
        "unknown": comfyui([Target("a.0.b", (77, 99))]),
    }
    for name, data in files.items():
        (folder / f"{name}.safetensors").write_bytes(data)
    run("scan", folder, "--offline")
    lines = run("list", folder).out.splitlines()
    shown = {line.split(".")[0]: line.split("  ")[1:] for line in lines}
    bases = {name: next(text for text in shown[name] if text).strip() for name in files}
    either = "sd1? / bk_sdm_base / bk_sdm_small / bk_sdm_tiny / sd2 / stable_video_diffusion"
    assert bases == {
        "claimed": "sd1?", "either": either, "lying": "sd1≠",
        "named": "unknown≠", "proven": "sd1", "unknown": "unknown",
    }  # fmt: skip
    inspected = run("inspect", folder).out
    for short in ("SD 1.x? / BK-SDM Base / ", "SD 1.x≠", " SD 1.x?  ", " SD 1.x  "):
        assert short in inspected
    confidences = {row["path"]: row["confidence"] for row in run("list", "--json").documents}
    assert confidences[str(folder / "claimed.safetensors")] == "narrowed"


def test_families_are_listed_by_id_or_title_and_must_exist(run: Run, folder: Path) -> None:
    (folder / "pan.safetensors").write_bytes(wan())
    run("scan", folder, "--offline")
    ran = run("list", "--family", "wan_14")
    assert (ran.code, "no family “wan_14”; did you mean wan_14b" in ran.err) == (2, True)
    assert set(listed(run, "--family", FAMILIES["wan_14b"].upper())) == {"pan.safetensors"}
    ran = run("list", "--family", "Miniature")
    assert (ran.code, "no scanned file matches" in ran.err) == (0, True)


def test_scans_at_the_same_time_keep_what_the_other_saw(home: Path) -> None:
    seen = [Seen(b"/l/a.safetensors", "k", 1, "{}", "mark")]
    with Index(home) as index, Index(home) as other:
        first, second = index.begin(), other.begin()
        other.add_files(seen, second, Counts())
        assert index.add_files(seen, first, Counts()) == seen  # its sidecars were not read yet
        index.add_words([(["noir"], seen[0].path)])
        assert (index.drop_gone(b"/l", first), other.drop_gone(b"/l", second)) == (0, 0)
        assert index.add_files(seen, first, Counts()) == []


def test_a_damaged_index_is_named(run: Run, home: Path, folder: Path) -> None:
    home.mkdir()
    (home / NAME).write_bytes(b"no database" * 1000)
    ran = run("scan", folder)
    assert (ran.code, "Delete it and scan again" in ran.err) == (2, True)


def killed_scans(
    folder: Path, home: Path, environment: dict[str, str], moments: list[float]
) -> None:
    """Kill a scan at each of these moments after its start."""
    for moment in moments:
        scan = subprocess.Popen([*CLI, "scan", str(folder)], env=environment)
        try:
            deadline = time.monotonic() + 60
            while not (home / NAME).exists() and scan.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(moment)
        finally:
            scan.send_signal(signal.SIGKILL)
            scan.wait()


@pytest.mark.parametrize(
    "moments",
    [[0.1, 0.6], pytest.param([step / 25 for step in range(50)], marks=LONG)],
)
def test_a_killed_scan_goes_on(
    run: Run, home: Path, folder: Path, environment: dict[str, str], moments: list[float]
) -> None:
    expected = {}
    for number in range(300):
        data = adapter(number, width=64)
        expected[f"{number}.safetensors"] = hashlib.sha256(data).hexdigest()
        (folder / f"{number}.safetensors").write_bytes(data)
    killed_scans(folder, home, environment, moments)
    run("scan", folder)
    assert {name: row["sha256"] for name, row in listed(run).items()} == expected
    assert all(row["hub"] == [] for row in listed(run).values())


#: Runs a command and writes its seconds, those of the processor, and its most memory in KiB.
MEASURED = """
import json, sys, time
from lorary.cli import main
begin = time.monotonic()
code = main(sys.argv[1:])
status = open("/proc/self/status").read()  # getrusage would count the parent before exec
most = int(status.partition("VmHWM:")[2].split()[0])
found = {"code": code, "seconds": time.monotonic() - begin, "cpu": time.process_time()}
print(json.dumps({**found, "rss": most}))
"""


def measured(environment: dict[str, str], *words: object) -> dict[str, float]:
    """Run a command in a process of its own."""
    command = [sys.executable, "-c", MEASURED, *map(str, words)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0, done.stderr
    return found


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_fifty_thousand_files_take_few_requests_and_little_memory(
    environment: dict[str, str], fake: FakeHub, folder: Path
) -> None:
    few = folder / "few"
    for number in range(50_000):
        place = folder / ("few" if number < 2_000 else f"{number % 40}")
        place.mkdir(exist_ok=True)
        (place / f"{number}.safetensors").write_bytes(adapter(number))
    small = measured({**environment, "LORARY_HOME": str(folder / "home")}, "scan", few)
    fake.seen.clear()
    first = measured(environment, "scan", folder)
    requests = len(fake.seen)
    second = measured(environment, "scan", folder)
    figures = {"requests": requests, "small": small, "first": first, "second": second}
    logging.getLogger(__name__).info("%s", figures)  # shown by --log-cli-level=INFO
    assert requests <= 60
    assert len(fake.seen) == requests
    assert second["cpu"] <= 5  # one thread; seconds depend on what else this computer does
    assert first["rss"] <= small["rss"] + 40 * 1024
