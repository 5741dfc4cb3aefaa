"""Second downloads of a name, and versions of adapters that exist."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.client.tiny import adapter, wan

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    """Write weights into a new folder."""
    folder.mkdir()
    for name, data in files.items():
        (folder / f"{name}.safetensors").write_bytes(data)
    return folder


def planned(run: Run, folder: Path) -> list[set[str]]:
    """The names of files, by the adapter that they are planned for."""
    groups: dict[str, set[str]] = {}
    for row in run("import", folder, "--to", "ada", "--dry-run", "--json").documents:
        if row["state"] == "planned":
            groups.setdefault(row["adapter"], set()).update(Path(one).stem for one in row["files"])
    return sorted(groups.values(), key=sorted)


def test_another_download_is_no_version_of_a_published_adapter(
    run: Run, fake: FakeHub, tmp_path: Path
) -> None:
    fake.publish("ada/dusk", {"dusk.safetensors": adapter(1)})
    folder = fill(tmp_path / "dl", {"x": adapter(1), "x (1)": adapter(2)})
    ran = run("import", folder, "--to", "ada", "--dry-run")
    assert ("ada/dusk" in ran.out.replace("it is ada/dusk@v1", ""), ran.code) == (False, 0)
    assert ran.out.endswith(", private.\n")
    assert run("import", folder, "--to", "ada", "--yes").code == 0
    assert len(fake.versions["ada/dusk"]) == 1
    assert fake.adapters["ada/x-1"]["visibility"] == "private"


@pytest.mark.parametrize(
    ("files", "groups"),
    [
        ({"x": adapter(1), "x (1)": adapter(2)}, [{"x"}, {"x (1)"}]),
        ({"x (1)": adapter(1), "x (2)": adapter(2)}, [{"x (1)"}, {"x (2)"}]),
        (
            {"x": adapter(1), "x-000004": adapter(2), "x-000004 (1)": adapter(3)},
            [{"x", "x-000004"}, {"x-000004 (1)"}],
        ),
        ({"x": adapter(1), "x-000004 (1)": adapter(2)}, [{"x", "x-000004 (1)"}]),
        (
            {"x": adapter(1, ss_session_id="7"), "x (1)": adapter(2, ss_session_id="7")},
            [{"x", "x (1)"}],
        ),
        (
            {"x": adapter(1, ss_session_id="7"), "x (1)": adapter(2, ss_session_id="8")},
            [{"x"}, {"x (1)"}],
        ),
        ({"x": adapter(1), "x (1)": adapter(1)}, [{"x"}]),
        (
            {"x_high_noise": wan(1), "x_high_noise (1)": wan(2), "x_low_noise": wan(3)},
            [{"x_high_noise (1)"}, {"x_high_noise", "x_low_noise"}],
        ),
        (
            {"x_high_noise (1)": wan(1), "x_low_noise": wan(2)},
            [{"x_high_noise (1)", "x_low_noise"}],
        ),
    ],
)
def test_names_that_differ_by_a_download_alone_are_of_one_run_by_their_session(
    run: Run, tmp_path: Path, files: dict[str, bytes], groups: list[set[str]]
) -> None:
    assert planned(run, fill(tmp_path / "dl", files)) == sorted(groups, key=sorted)


@pytest.mark.parametrize("name", ["x", "adapter_model"])
def test_a_push_refuses_two_downloads_of_a_name(run: Run, tmp_path: Path, name: str) -> None:
    folder = fill(tmp_path / "dl", {name: adapter(1), f"{name} (1)": adapter(2)})
    ran = run("push", folder, "--to", "ada/noir", "--dry-run", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "several_adapters")
    for number, stem in enumerate((name, f"{name} (1)")):
        data = adapter(number, ss_session_id="7", ss_epoch=str(number + 1))
        (folder / f"{stem}.safetensors").write_bytes(data)
    assert run("push", folder, "--to", "ada/noir", "--dry-run").code == 0


def test_the_report_names_adapters_that_exist_with_their_visibility(
    run: Run, fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.publish("ada/dusk", {"dusk.safetensors": adapter(1)})
    folder = fill(tmp_path / "dl", {"x-000001": adapter(1), "x": adapter(2), "new": adapter(3)})
    words = ("import", folder, "--to", "ada", "--dry-run")
    out = run(*words).out
    assert "ada/dusk exists and is public; the new version becomes its newest." in out
    assert ": 1 private; 1 version of ada/dusk, which is public." in out
    (folder / "new.safetensors").unlink()
    (folder / "x-000002.safetensors").write_bytes(adapter(4))
    out = run(*words).out
    assert "the last of 2 new versions becomes its newest." in out
    assert "private" not in out
    rows = [row for row in run(*words, "--json").documents if row["state"] == "planned"]
    told = [(row["exists"], row["visibility"], row["becomes_newest"]) for row in rows]
    assert told == [(True, "public", False), (True, "public", True)]
    assert run(*words, "--public").out.endswith(", public.\n")
    monkeypatch.delenv("LORARY_TOKEN")
    out = run(*words).out
    assert "ada/dusk exists and its visibility is not known;" in out
    assert "2 versions of ada/dusk, whose visibility is not known." in out


def test_a_new_adapter_is_reported_as_new(run: Run, tmp_path: Path) -> None:
    folder = fill(tmp_path / "dl", {"x": adapter(1)})
    words = ("import", folder, "--to", "ada", "--dry-run")
    (row,) = run(*words, "--json").documents
    told = (row["exists"], row["visibility"], row["becomes_newest"])
    assert told == (False, "private", True)
    out = run(*words).out
    assert ("exists" in out, out.endswith(", private.\n")) == (False, True)
