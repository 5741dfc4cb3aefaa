"""lorary pull of several references, by hash, and into the folder of a program."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.progress import Progress as Shown

from lorary.cli.output.progress_bars import Drawing
from lorary.client import Progress, packs
from lorary.library.layouts import LAYOUTS
from tests.client.conftest import sha
from tests.client.test_packs import MANIFEST, part, variant, version

if TYPE_CHECKING:
    from collections.abc import Callable

    from lorary.client import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NOIR, INK = "studio/noir", "studio/ink"


@pytest.fixture(autouse=True)
def adapters(fake: FakeHub) -> None:
    fake.publish(NOIR, {"noir.safetensors": b"noir"})
    fake.publish(INK, {"pytorch_lora_weights.safetensors": b"ink v1"})
    fake.publish(INK, {"pytorch_lora_weights.safetensors": b"ink v2"})


def test_several_are_pulled_in_one_call_in_order(run: Run, tmp_path: Path) -> None:
    to = tmp_path / "loras"
    done = run("pull", f"{INK}@v1", NOIR, sha(b"ink v2"), NOIR, "--to", to, "--json")
    assert done.code == 0
    assert [(row["adapter"], row["version"]) for row in done.documents] == [
        (INK, "v1"), (NOIR, "v1"), (INK, "v2"),
    ]  # fmt: skip
    names = {place.name: place.read_bytes() for place in to.glob("[!.]*")}
    assert set(names.values()) == {b"noir", b"ink v1", b"ink v2"}


def test_those_that_fail_are_named_at_the_end_and_the_others_are_done(
    run: Run, tmp_path: Path
) -> None:
    words = ("pull", "studio/gone", NOIR, f"{INK}@v9", "--to", tmp_path / "loras")
    done = run(*words)
    assert done.code == 3
    assert "noir.safetensors" in done.out
    told = done.err.splitlines()
    assert told[0].startswith("lorary: studio/gone: ")
    assert told[1].startswith(f"lorary: {INK}@v9: ")
    assert told[-1] == "lorary: 2 of 3 failed; the others are done"
    assert run("pull", "studio/gone", "studio/lost").err.endswith("lorary: 2 of 2 failed\n")
    rows = run(*words, "--json").documents
    assert [row.get("asked") for row in rows] == ["studio/gone", None, f"{INK}@v9"]
    assert rows[0]["error"]["code"] == "not_found"


def test_files_of_one_name_get_theirs_in_the_order_of_the_references(
    run: Run, fake: FakeHub, tmp_path: Path
) -> None:
    """The first file is slow: without an order, the second would be placed first."""
    slow = bytes(600_000)
    fake.publish("studio/one", {"same.safetensors": slow})
    fake.publish("studio/two", {"same.safetensors": b"two"})
    fake.publish("studio/two", {"same.safetensors": b"two, later"})
    fake.slow_s = 0.02
    references = ["studio/one", "studio/two@v1", "studio/two@v2"]
    done = run("pull", *references, "--to", tmp_path / "all", "--json")
    places = [Path(row["files"][0]["local_path"]).name for row in done.documents]
    assert places == [
        "same.safetensors", "studio--two--same.safetensors", "studio--two--same--v2.safetensors",
    ]  # fmt: skip
    for reference in references:
        assert run("pull", reference, "--to", tmp_path / "each").code == 0
    assert {place.name for place in (tmp_path / "each").glob("[!.]*")} == set(places)


def test_a_file_in_the_way_is_named_before_anything_is_fetched(
    run: Run, fake: FakeHub, tmp_path: Path
) -> None:
    (tmp_path / "noir.safetensors").write_bytes(b"mine")
    done = run("pull", NOIR, INK, "--to", tmp_path)
    assert (done.code, "was left alone" in done.err) == (1, True)
    assert (tmp_path / "noir.safetensors").read_bytes() == b"mine"
    assert fake.requests(f"{NOIR}.*/files/") == []


def test_two_versions_of_a_pack_have_one_description(
    fake: FakeHub, hub: Hub, tmp_path: Path
) -> None:
    for name in ("v1", "v2"):
        listed = version(variant("sd1", part(INK, b"ink v1", version="v1")), version=name)
        answer = (200, {"Content-Type": "application/json"}, json.dumps(listed).encode())
        fake.answers.append((f"dusk/versions/{name}", *answer))
    pulled = list(hub.pull_all(["pack:studio/dusk@v1", "pack:studio/dusk@v2"], to=tmp_path / "x"))
    assert [outcome.error and outcome.error.code for outcome in pulled] == [None, "target_taken"]


def test_packs_and_adapters_go_together(fake: FakeHub, hub: Hub, tmp_path: Path) -> None:
    listed = version(variant("sd1", part(INK, b"ink v1", version="v1")))
    assert listed["manifest_sha256"] == packs.digest_of(MANIFEST)
    fake.blobs[sha(b"ink v1")] = b"ink v1"
    answer = (200, {"Content-Type": "application/json"}, json.dumps(listed).encode())
    fake.answers.append(("packs/studio/dusk/versions", *answer))
    seen: list[Progress] = []
    pulled = hub.pull_all(
        [NOIR, "pack:studio/dusk"], to=tmp_path / "x", jobs=1, on_progress=seen.append
    )
    assert [outcome.error for outcome in pulled] == [None, None]
    assert {update.name.split()[0] for update in seen} == {NOIR, "pack:studio/dusk"}
    assert (tmp_path / "x" / "studio--dusk.pack.json").is_file()


def test_a_hash_of_several_adapters_pulls_the_first_and_names_the_others(
    fake: FakeHub, run: Run
) -> None:
    for name in ("studio/noir", "eve/noir", "ada/noir"):
        fake.publish(name, {"noir.safetensors": b"noir"})
    done = run("pull", sha(b"noir"))
    assert done.code == 0
    named = "studio/noir@v1 is used; the same file is in eve/noir@v1, ada/noir@v1."
    assert done.err.count(named) == 1


def test_a_hash_of_nothing_and_of_several_files_is_refused(fake: FakeHub, run: Run) -> None:
    assert (run("pull", "0" * 64).code, run("pull", "0123456789").code) == (3, 3)
    for one in fake.versions[INK]:
        one["files"][0]["hashes"] = {"autov1": "01234567"}
    done = run("pull", "01234567")
    assert (done.code, f"stands for several files: {INK}@v1, {INK}@v2" in done.err) == (3, True)
    fake.versions[INK][1]["state"] = "withdrawn"
    assert run("pull", "01234567", "--json").document["version"] == "v1"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_puts_weights_where_the_program_looks(
    run: Run, tmp_path: Path, layout: str
) -> None:
    done = run("pull", NOIR, "--layout", layout, "--root", tmp_path / "ui", "--json")
    (file,) = done.document["files"]
    folder = tmp_path.joinpath("ui", *LAYOUTS[layout].split("/"))
    assert file["local_path"] == str(folder / "noir.safetensors")


@pytest.mark.parametrize(
    "words",
    [
        ["--root", "x"],
        ["--layout", "flat", "--to", "x"],
        ["--layout", "other"],
        ["--jobs", "0"],
        ["--jobs", "many"],
    ],
)
def test_options_that_do_not_fit_are_refused(run: Run, words: list[str]) -> None:
    assert run("pull", NOIR, *words).code == 2


def test_finished_bars_leave_room_for_others() -> None:
    shown = Shown(console=Console(file=io.StringIO()), disable=True)
    draw = Drawing(shown)
    for number in range(50):
        draw(Progress("fetch", f"file {number}", 1, 2))
        draw(Progress("fetch", f"file {number}", 2, 2))
    assert len(shown.tasks) <= 8
