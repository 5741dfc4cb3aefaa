"""The ``lorary`` command against a running hub: results, exit codes, cut downloads."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3

from tests.builders.adapters import DENOISERS, kohya
from tests.builders.malformed import ATTACKS
from tests.builders.streams import write_safetensors
from tests.e2e.commands import CommandLine
from tests.e2e.talk import Caller, caller, kept, sent_from

if TYPE_CHECKING:
    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SD1 = DENOISERS["sd1", "diffusers"]

#: So large that a process can be killed in the middle of a download over the loopback.
RANK = 3000


@pytest.fixture(scope="module")
def cara(quiet_hub: RunningHub) -> Caller:
    return caller(quiet_hub, "cara")


@pytest.fixture
def line(quiet_hub: RunningHub, cara: Caller, tmp_path: Path) -> CommandLine:
    return CommandLine(quiet_hub, tmp_path / "home", cara.token)


@pytest.fixture
def stranger(line: CommandLine, tmp_path: Path) -> CommandLine:
    return replace(line, home=tmp_path / "elsewhere", token="")


def adapter_file(folder: Path, **words: str) -> Path:
    path = folder / "noir.safetensors"
    path.write_bytes(kohya(SD1, metadata=words))
    return path


def refusal(line: CommandLine, code: int, *arguments: str) -> dict[str, Any]:
    document = line.ask(*arguments, code=code)
    assert set(document) == {"error", "findings"}
    assert document["error"]["message"]
    return document


def test_login_is_remembered(line: CommandLine, stranger: CommandLine) -> None:
    refusal(stranger, 4, "whoami")
    signed_in = stranger.ask("login", "--token", line.token)
    assert (signed_in["name"], signed_in["endpoint"]) == ("cara", line.hub.url)
    assert stranger.ask("whoami")["name"] == "cara"


def test_a_pushed_adapter_is_found_and_told(line: CommandLine, stranger: CommandLine) -> None:
    path = adapter_file(line.home.parent, found="yes")
    words = ("--title", "Findable Noir", "--kind", "style", "--trigger", "film noir, grain")
    pushed = line.ask("push", str(path), "--to", "cara/findable", *words)
    assert pushed["version"] == "v1"
    found = stranger.ask("search", "findable")
    assert (found["full_name"], found["family"]) == ("cara/findable", "sd1")
    told = stranger.ask("info", "cara/findable@v1")
    assert told["revision"] == pushed["revision"]
    assert told["trigger_words"] == ["film noir, grain"]


def test_a_file_tells_which_adapter_it_is(
    line: CommandLine, stranger: CommandLine, tmp_path: Path
) -> None:
    path = tmp_path / "noir.safetensors"  # of a rank that nothing else here has
    path.write_bytes(kohya(SD1, rank=6, metadata={"kept": "where it was trained"}))
    line.ask("push", str(path), "--to", "cara/lost")
    copy = tmp_path / "renamed.safetensors"
    copy.write_bytes(kohya(SD1, rank=6, metadata={"kept": "nothing"}))
    other = tmp_path / "other.safetensors"
    other.write_bytes(kohya(SD1, rank=2))

    def found(what: str, code: int = 0) -> list[tuple[str, str]]:
        told = stranger.ask("find", what, code=code)
        return [(one["adapter"], one["same"]) for one in told["matches"]]

    assert found(str(path)) == [("cara/lost", "file")]
    assert ("cara/lost", "tensors") in found(str(copy))
    assert found(str(other), code=3) == []
    data = path.read_bytes()
    crc = zlib.crc32(data)
    for text in (
        hashlib.sha256(data).hexdigest().upper(),
        hashlib.sha256(data).hexdigest()[:10],
        f"{crc:08x}",
        f"{int.from_bytes(crc.to_bytes(4, 'little')):08X}",
        f"blake3:{blake3(data).hexdigest()}",
    ):
        assert found(text) == [("cara/lost", "file")]
    line.ask("push", str(other), "--to", "cara/hidden", "--private")
    assert found(str(other), code=3) == []
    assert line.ask("find", str(other))["matches"][0]["adapter"] == "cara/hidden"


def test_what_would_be_refused_is_not_sent(
    line: CommandLine, quiet_hub: RunningHub, tmp_path: Path
) -> None:
    path = tmp_path / "noir.safetensors"
    path.write_bytes(ATTACKS["pickle"].data)
    before = kept(quiet_hub)
    document = refusal(line, 1, "push", str(path), "--to", "cara/never")
    assert document["error"]["code"] == "upload_refused"
    assert [found["code"] for found in document["findings"]] == ["is_pickle"]
    assert kept(quiet_hub) == before


@pytest.mark.parametrize(
    ("code", "slug", "arguments"),
    [
        (3, "not_found", ("pull", "cara/nothing")),
        (3, "not_found", ("info", "cara/nothing@v9")),
        (2, "usage", ("pull",)),
        (5, "unreachable", ("info", "cara/noir", "--endpoint", "http://127.0.0.1:9")),
    ],
)
def test_each_kind_of_refusal_has_its_exit_code(
    stranger: CommandLine, code: int, slug: str, arguments: tuple[str, ...]
) -> None:
    assert refusal(stranger, code, *arguments)["error"]["code"] == slug


def test_others_cannot_push_or_see(
    line: CommandLine, stranger: CommandLine, quiet_hub: RunningHub
) -> None:
    path = adapter_file(line.home.parent, whose="cara's")
    line.ask("push", str(path), "--to", "cara/closed", "--private")
    line.ask("push", str(path), "--to", "cara/open")
    dave = replace(stranger, token=caller(quiet_hub, "dave").token)
    before = kept(quiet_hub)
    assert refusal(stranger, 3, "pull", "cara/closed")["error"]["code"] == "not_found"
    assert refusal(dave, 3, "pull", "cara/closed")["error"]["code"] == "not_found"
    other = adapter_file(stranger.home.parent, whose="dave's")
    assert refusal(dave, 4, "push", str(other), "--to", "cara/open")["error"]["code"] == "forbidden"
    refusal(stranger, 4, "push", str(other), "--to", "cara/open")
    assert kept(quiet_hub).rows["version"] == before.rows["version"]


@pytest.fixture(scope="module")
def large(cara: Caller, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published file of about 160 MB."""
    path = tmp_path_factory.mktemp("large") / "noir.safetensors"
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for target in SD1:
        out, wide, *kernel = target.shape
        name = f"lora_unet_{target.path.replace('.', '_')}"
        tensors[f"{name}.lora_down.weight"] = ("F32", (RANK, wide, *kernel))
        tensors[f"{name}.lora_up.weight"] = ("F32", (out, RANK, *kernel))
    size = write_safetensors(path, tensors)
    assert cara.publish_stream(sent_from(path), size, "large").status == 201
    return path


def test_a_pull_that_was_killed_goes_on_where_it_was(
    stranger: CommandLine, large: Path, tmp_path: Path
) -> None:
    pull = subprocess.Popen(
        [sys.executable, "-m", "lorary", "pull", "cara/large"],
        env=stranger.environ,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    size = large.stat().st_size
    until = time.monotonic() + 60
    while (here := _under_way(stranger.home)) < size // 4:
        assert pull.poll() is None, "over before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.002)
    pull.kill()
    pull.wait(10)
    assert here < size
    assert list(tmp_path.rglob("noir.safetensors")) == []

    pulled = stranger.ask("pull", "cara/large")["files"][0]
    assert pulled["bytes_fetched"] <= size - here
    assert digest(Path(pulled["local_path"])) == pulled["sha256"] == digest(large)


def _under_way(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob("*.incomplete"))


def digest(path: Path) -> str:
    sha = hashlib.sha256()
    for chunk in sent_from(path):
        sha.update(chunk)
    return sha.hexdigest()


def test_a_version_is_pulled_in_the_form_of_a_tool(
    line: CommandLine, stranger: CommandLine, tmp_path: Path
) -> None:
    path = tmp_path / "noir.safetensors"
    path.write_bytes(kohya(SD1, rank=24, metadata={"ss_network_dim": "24"}))
    pushed = line.ask("push", str(path), "--to", "cara/formed")
    form = ("--naming", "comfyui", "--max-rank", "16", "--strip")
    pulled = stranger.ask("pull", "cara/formed", *form, "--to", "loras")
    (found,) = pulled["files"]
    place = Path(found["local_path"])
    assert place.name == "noir.comfyui.r16.stripped.safetensors"
    assert hashlib.sha256(place.read_bytes()).hexdigest() == found["sha256"]
    assert found["source"] == {
        "path": "noir.safetensors",
        "sha256": pushed["files"][0]["sha256"],
    }
    assert set(found["certificate"]) >= {"conversion", "resize", "strip"}
    again = stranger.ask("pull", "cara/formed", *form, "--to", "loras")["files"][0]
    assert (again["bytes_fetched"], again["local_path"]) == (0, str(place))
    told = stranger.ask("inspect", str(place))
    assert (told["convention"], told["rank"]["max"]) == ("comfyui_diffusion_model", 16)
    peft = stranger.ask("pull", "cara/formed", "--naming", "peft", "--to", "loras")["files"][0]
    folder = Path(peft["local_path"]).parent
    assert {one.name for one in folder.iterdir()} == {
        "adapter_model.safetensors",
        "adapter_config.json",
    }
    assert refusal(stranger, 2, "pull", "cara/formed", "--max-rank", "7")
