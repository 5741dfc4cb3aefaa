"""From an empty data directory to verified bytes on another machine, in real processes.

start hub → token → push with the command line → previews → pull elsewhere; and what happens
when a worker is killed, when everything is stopped, and when it starts again.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from previews.render import Layer, Recipe, load_bases
from previews.render.engine import Engine
from previews.render.output.images import decode
from tests.e2e.commands import CommandLine
from tests.e2e.pictures import Shown, difference, previews_of, ready, wait_until
from tests.e2e.talk import Caller
from tests.e2e.trained import BASES, Trained, trained
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

#: Against what hangs; how quick they are on a quiet machine is in `docs/reports/`.
STOP_S, START_S = 15.0, 20.0
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)

#: Strength 0.5 and 1 differ from strength 0 by at least this, of 255.
VISIBLE = 4.0


@dataclass(frozen=True)
class Studio:
    """A hub with its first user, who has a trained adapter."""

    hub: RunningHub
    anna: Caller
    line: CommandLine
    work: Trained

    def push(self, name: str, *more: str) -> dict[str, Any]:
        """Publish the trained adapter under a name."""
        words = ("--kind", "style", "--trigger", self.work.trigger, *more)
        return self.line.ask("push", str(self.work.path), "--to", f"anna/{name}", *words)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    work = trained()
    folder = tmp_path_factory.mktemp("journey")
    with RunningHub(folder / "hub", BASES=str(BASES)) as hub:
        token = hub.manage("token", "--user", "anna", "--create").strip()
        line = CommandLine(hub, folder / "home", token)
        yield Studio(hub, Caller(hub.port, token), line, work)
        hub.stop()
        assert hub.wait_gone()


@pytest.fixture(scope="module")
def pushed(studio: Studio) -> dict[str, Any]:
    return studio.push("first", "--title", "First")


@pytest.fixture(scope="module")
def shown(studio: Studio, pushed: dict[str, Any]) -> Shown:
    assert pushed["version"] == "v1"
    return ready(studio.anna, "anna/first/v1")


def test_push_answers_with_what_was_published(studio: Studio, pushed: dict[str, Any]) -> None:
    path = studio.work.path
    assert {key: pushed[key] for key in ("adapter", "version", "url")} == {
        "adapter": "anna/first",
        "version": "v1",
        "url": f"{studio.hub.url}/anna/first?v=v1",
    }
    assert len(pushed["revision"]) == 40
    [weights] = pushed["files"]
    assert weights == {"path": path.name, "size": path.stat().st_size, "sha256": sha256_of(path)}
    assert [found for found in pushed["findings"] if found["severity"] == "error"] == []


def test_the_page_of_a_pushed_adapter_is_there(studio: Studio, pushed: dict[str, Any]) -> None:
    page = studio.anna.get(pushed["url"].removeprefix(studio.hub.url))
    assert page.status == 200
    assert studio.work.trigger.encode() in page.body
    assert b"Miniature" in page.body


def test_pushing_the_same_file_again_is_the_same_version(
    studio: Studio, pushed: dict[str, Any]
) -> None:
    again = studio.push("first")
    assert (again["version"], again["revision"]) == (pushed["version"], pushed["revision"])


def test_previews_are_there_in_two_minutes(shown: Shown) -> None:
    assert {key[2] for key in shown.pngs} == set(STRENGTHS)
    # One prompt with two seeds at all strengths, five prompts without and with the adapter.
    assert len(shown.pngs) == len(STRENGTHS) * 2 + 5 * 2
    assert shown.waited_s <= 120


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_strength_can_be_seen(shown: Shown, strength: float) -> None:
    base = shown.at(0.0)
    changes = {key: difference(png, base[key]) for key, png in shown.at(strength).items()}
    assert sum(changes.values()) / len(changes) >= VISIBLE, changes


def test_more_strength_changes_more(shown: Shown) -> None:
    base, swept = shown.at(0.0), shown.at(0.5).keys()
    means = [
        sum(difference(shown.at(strength)[key], base[key]) for key in swept)
        for strength in STRENGTHS
    ]
    assert means == sorted(means)


@pytest.fixture(scope="module")
def again(studio: Studio, shown: Shown) -> dict[tuple[str, int, float], bytes]:
    """The pictures of the recipe that lies in the served PNGs, made by this process."""
    return _rendered(shown, [_layer(studio.work, "first-v1")], studio.work.trigger)


def test_the_same_recipe_gives_the_same_bytes_in_another_process(
    shown: Shown, again: dict[tuple[str, int, float], bytes]
) -> None:
    assert again == dict(shown.pngs)


def test_strength_zero_is_what_the_base_makes_alone(studio: Studio, shown: Shown) -> None:
    bare = _rendered(shown, [], studio.work.trigger)
    for (prompt, seed), png in shown.at(0.0).items():
        assert difference(bare[prompt, seed, 0.0], png) == 0
        assert bare[prompt, seed, 0.0] == png


def _rendered(
    shown: Shown, stack: list[Layer], trigger: str
) -> dict[tuple[str, int, float], bytes]:
    # A picture at 0 is everybody's and has a recipe of its own; the others have the whole one.
    png = next(iter(shown.at(1.0).values()))
    recipe = Recipe.from_dict(decode(png).document["recipe"])
    pictures = Engine(load_bases(BASES)).render(recipe, stack, triggers=[trigger])
    return {(p.shot.prompt, p.shot.seed, p.shot.strength): p.png for p in pictures}


def _layer(work: Trained, name: str) -> Layer:
    return Layer(work.path, 1.0, name=name, sha256=sha256_of(work.path))


def test_rendering_again_by_the_same_recipe_returns_what_is_there(
    studio: Studio, shown: Shown
) -> None:
    answer = studio.anna.post("/api/v1/adapters/anna/first/versions/v1/renders")
    assert (answer.status, answer.document["state"]) == (202, "ready")
    assert len(answer.document["images"]) == len(shown.pngs)


def test_a_pull_elsewhere_brings_the_same_bytes(
    studio: Studio, pushed: dict[str, Any], tmp_path: Path
) -> None:
    elsewhere = CommandLine(studio.hub, tmp_path / "home")
    assert elsewhere.home != studio.line.home
    folder = tmp_path / "loras"
    pulled = elsewhere.ask("pull", "anna/first", "--to", str(folder))
    (file,) = pulled["files"]
    path = Path(file["local_path"])
    assert path.parent == folder
    assert sha256_of(path) == sha256_of(studio.work.path) == file["sha256"]
    assert file["bytes_fetched"] == file["size"] == studio.work.path.stat().st_size
    assert pulled["revision"] == pushed["revision"]
    once_more = elsewhere.ask("pull", "anna/first@v1")
    assert once_more["files"][0]["bytes_fetched"] == 0


def test_a_render_worker_killed_on_the_way_leaves_no_gap_and_no_double(
    studio: Studio, shown: Shown
) -> None:
    studio.push("killed")
    wait_until(studio.anna, "anna/killed/v1", lambda previews: len(previews["images"]) > 0)
    killed = studio.hub.pid_of("worker --queues render")
    os.kill(killed, signal.SIGKILL)
    before = previews_of(studio.anna, "anna/killed/v1")
    # "waiting": the hub has noticed the killed worker and queued the job again.
    assert before["state"] in {"running", "waiting"}
    assert 0 < len(before["images"]) < len(shown.pngs)
    finished = ready(studio.anna, "anna/killed/v1")
    _require_same_pictures(finished, shown)
    kept = {image["id"] for image in before["images"]}
    assert kept <= {image["id"] for image in previews_of(studio.anna, "anna/killed/v1")["images"]}
    assert studio.hub.pid_of("worker --queues render") != killed


@pytest.mark.long
def test_ctrl_c_on_the_way_ends_everything_and_a_start_goes_on(
    studio: Studio, shown: Shown
) -> None:
    studio.push("stopped")
    wait_until(studio.anna, "anna/stopped/v1", lambda previews: len(previews["images"]) > 0)
    began = time.monotonic()
    assert studio.hub.stop(signal.SIGINT) == 0
    assert studio.hub.wait_gone(STOP_S - (time.monotonic() - began)), studio.hub.pids()

    began = time.monotonic()
    studio.hub.start()
    assert studio.anna.get("/").status == 200
    assert time.monotonic() - began < START_S
    _require_same_pictures(ready(studio.anna, "anna/stopped/v1"), shown)


def _require_same_pictures(finished: Shown, shown: Shown) -> None:
    """The captions name another adapter; the pictures are the same."""
    assert finished.pngs.keys() == shown.pngs.keys()
    assert max(difference(png, shown.pngs[key]) for key, png in finished.pngs.items()) == 0


def test_no_web_process_has_torch_loaded(studio: Studio, shown: Shown) -> None:
    del shown  # pictures were made and served
    processes = studio.hub.pids()
    web = [pid for pid, words in processes.items() if "gunicorn" in words]
    render = [pid for pid, words in processes.items() if "--queues render" in words]
    assert web
    assert not any("libtorch" in _maps(pid) for pid in web)
    assert render


def _maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
