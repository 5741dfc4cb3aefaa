"""What an assistant can do by ``lorary mcp``, asked by the protocol's own client."""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

from previews.render.output.images import decode
from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.commands import CommandLine
from tests.e2e.talk import Caller, caller
from tests.e2e.trained import trained
from tests.packs import manifest, part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal
    from mcp import Client
    from mcp_types import CallToolResult

    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROMPT = "a red fox in a meadow"
MAX_CHARS = 30_000


@dataclass
class Assistant:
    """A client that is connected to the command over its standard input and output."""

    client: Client
    portal: BlockingPortal
    folder: Path

    def call(self, tool: str, progress: Any = None, **arguments: Any) -> CallToolResult:
        result: CallToolResult = self.portal.call(
            partial(self.client.call_tool, tool, arguments, progress_callback=progress)
        )
        texts = "".join(one.text for one in result.content if one.type == "text")
        assert len(texts) < 2 * MAX_CHARS
        return result

    def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its result."""
        result = self.call(tool, **arguments)
        assert not result.is_error, result.content
        document: dict[str, Any] = result.structured_content or {}
        assert document == json.loads(result.content[0].text)  # type: ignore[union-attr]
        return document

    def refusal(self, tool: str, **arguments: Any) -> str:
        """Call a tool and return why it refuses."""
        result = self.call(tool, **arguments)
        assert result.is_error
        return "".join(one.text for one in result.content if one.type == "text")


@pytest.fixture(scope="module")
def mira(rendering_hub: RunningHub) -> Caller:
    """Somebody with an adapter and a pack of it."""
    person = caller(rendering_hub, "mira")
    card = "A long story. " * 1000
    person.publish(trained().path.read_bytes(), "noir", title="Mira's Noir", card=card)
    person.post("/api/v1/packs", {"name": "look"})
    variant: dict[str, Any] = {
        "name": "mini", "family": "miniature", "output": "image", "prompt": "{prompt}, dim",
        "parts": [part("mira/noir", strength=0.7)],
    }  # fmt: skip
    made = person.post("/api/v1/packs/mira/look/versions", {"manifest": manifest(variant)})
    assert made.status == 201
    return person


@pytest.fixture(scope="module")
def line(
    rendering_hub: RunningHub, mira: Caller, tmp_path_factory: pytest.TempPathFactory
) -> CommandLine:
    return CommandLine(rendering_hub, tmp_path_factory.mktemp("mira") / "home", mira.token)


@pytest.fixture(scope="module")
def assistant(line: CommandLine) -> Iterator[Assistant]:
    folder = line.home.parent / "loras"
    folder.mkdir()
    yield from connected(line, folder, "--allow", str(folder))


@pytest.fixture
def confined(line: CommandLine, tmp_path: Path) -> Iterator[Assistant]:
    """An assistant without a folder."""
    yield from connected(line, tmp_path)


def connected(line: CommandLine, folder: Path, *options: str) -> Iterator[Assistant]:
    mcp = pytest.importorskip("mcp")  # not while tests are collected: it takes a second
    command = ["-m", "lorary", "mcp", *options]
    server = mcp.StdioServerParameters(
        command=sys.executable, args=command, env=line.environ, cwd=line.home.parent
    )
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(mcp.Client(server)) as client,
    ):
        yield Assistant(client, portal, folder)


def test_six_tools_say_what_they_take_and_change(assistant: Assistant) -> None:
    tools = {one.name: one for one in assistant.portal.call(assistant.client.list_tools).tools}
    assert set(tools) == {"search", "explain", "try", "pull", "resolve", "publish"}
    hints = {name: one.annotations for name, one in tools.items()}
    assert {name for name, one in hints.items() if one and one.read_only_hint} == {
        "search", "explain", "resolve",
    }  # fmt: skip
    assert {name for name, one in hints.items() if one and one.destructive_hint} == {"publish"}
    assert all(one.description and one.title for one in tools.values())
    assert tools["search"].input_schema["properties"]["limit"] == {
        "default": 10, "maximum": 20, "minimum": 1, "title": "Limit", "type": "integer",
    }  # fmt: skip
    assert tools["pull"].input_schema["required"] == ["reference"]
    assert "limit" in assistant.refusal("search", limit=1000)


def test_it_finds_and_explains(assistant: Assistant, mira: Caller) -> None:
    del mira
    (found,) = assistant.ask("search", query="Mira", family="miniature")["adapters"]
    assert (found["adapter"], found["latest_version"]) == ("mira/noir", "v1")
    (look,) = assistant.ask("search", what="packs", query="look")["packs"]
    assert (look["pack"], look["variants"][0]["name"]) == ("pack:mira/look", "mini")
    told = assistant.ask("explain", what="mira/noir@v1")
    assert told["trigger_words"] == [trained().trigger]
    assert told["versions"][0]["version"] == "v1"
    assert len(told["card"]) < 2_100
    pack = assistant.ask("explain", what="pack:mira/look")
    assert pack["variants"][0]["parts"][0]["strength"] == 0.7
    assert assistant.refusal("explain", what="mira/nothing").startswith("Error executing tool")
    assert "not_found" in assistant.refusal("explain", what="mira/nothing")


def test_it_renders_a_picture_and_reports_progress(assistant: Assistant, mira: Caller) -> None:
    del mira
    steps: list[float] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        del total, message
        steps.append(progress)

    result = assistant.call("try", progress, layers=["mira/noir:0.7"], prompt=PROMPT, seed=7)
    text, picture = result.content
    assert (text.type, picture.type) == ("text", "image")
    facts = json.loads(text.text)  # type: ignore[union-attr]
    assert facts["seed"] == 7
    said = decode(base64.b64decode(picture.data)).document  # type: ignore[union-attr]
    assert said["image"]["seed"] == 7
    assert PROMPT in said["image"]["prompt"]
    assert steps


def test_a_cancelled_call_leaves_nothing_on_the_hub(quiet_hub: RunningHub, tmp_path: Path) -> None:
    person = caller(quiet_hub, "milo")  # nothing renders there
    person.publish(trained().path.read_bytes(), "noir")
    begun = threading.Event()

    def keys() -> list[str]:
        return [one["key"] for one in person.get("/api/v1/tryouts").document["results"]]

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        del progress, total, message
        begun.set()

    line = CommandLine(quiet_hub, tmp_path / "home", person.token)
    for assistant in connected(line, tmp_path):
        arguments = {"layers": ["milo/noir"], "prompt": PROMPT}
        call = partial(assistant.client.call_tool, "try", arguments, progress_callback=progress)
        task = assistant.portal.start_task_soon(call)
        assert begun.wait(60), task.result()
        assert len(keys()) == 1
        task.cancel()
        until = time.monotonic() + 30
        while keys():
            assert time.monotonic() < until
            time.sleep(0.1)
        assert assistant.ask("search")["adapters"]


def test_it_pulls_into_the_folder_and_nowhere_else(assistant: Assistant, mira: Caller) -> None:
    del mira
    pulled = assistant.ask("pull", reference="mira/noir", folder="sub")
    (file,) = pulled["files"]
    assert file == str(assistant.folder / "sub" / "noir.safetensors")
    pack = assistant.ask("pull", reference="pack:mira/look", variant="mini")
    assert (assistant.folder / "mira--look.pack.json").samefile(pack["description"])
    outside = assistant.folder.parent / "outside"
    outside.mkdir()
    (assistant.folder / "door").symlink_to(outside)
    for place in ("..", str(outside), "door", "sub/../../outside", "~", "bad\0name"):
        told = assistant.refusal("pull", reference="mira/noir", folder=place)
        assert "folder that the user allowed" in told or "is not a path" in told
    assert list(outside.iterdir()) == []
    anatomy = assistant.ask("explain", what="sub/noir.safetensors")
    assert anatomy["base"]["family"] == "miniature"


def test_it_resolves_a_workflow(assistant: Assistant, mira: Caller) -> None:
    del mira
    assistant.ask("pull", reference="mira/noir")
    workflow = assistant.folder / "workflow.json"
    node: dict[str, Any] = {"class_type": "LoraLoader", "inputs": {
        "lora_name": "noir.safetensors", "strength_model": 0.6, "model": ["9", 0]}}  # fmt: skip
    end = {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}
    workflow.write_text(json.dumps({"1": node, "2": end}))
    (row,) = assistant.ask("resolve", files=["workflow.json"])["adapters"]
    assert (row["name"], row["strength"]) == ("noir.safetensors", 0.6)
    assert row["state"] == "here"
    assert "There is no file" in assistant.refusal("resolve", files=["gone.png"])
    assert "user allowed" in assistant.refusal("resolve", files=["/etc/hostname"])


def test_it_publishes_from_the_folder(assistant: Assistant, mira: Caller) -> None:
    file = assistant.folder / "new.safetensors"
    file.write_bytes(kohya(DENOISERS["sd1", "diffusers"], rank=5))
    words = {"title": "New", "kind": "style", "trigger_words": ["new look"]}
    pushed = assistant.ask("publish", files=["new.safetensors"], to="mira/new", **words)
    assert (pushed["version"], pushed["is_new_adapter"]) == ("mira/new@v1", True)
    again = assistant.ask("publish", files=["new.safetensors"], to="mira/new")
    assert (again["version"], again["existed_already"]) == ("mira/new@v1", True)
    elsewhere = assistant.folder.parent / "secret.safetensors"
    elsewhere.write_bytes(file.read_bytes())
    assert "user allowed" in assistant.refusal("publish", files=[str(elsewhere)], to="mira/secret")
    home = {"ss_output_name": "x", "ss_train_data_dir": "/home/mira/private/pictures"}
    file.write_bytes(kohya(DENOISERS["sd1", "diffusers"], rank=7, metadata=home))
    told = assistant.refusal("publish", files=["new.safetensors"], to="mira/leak")
    assert "not_confirmed" in told
    assert mira.get("/api/v1/adapters/mira/leak").status == 404


def test_without_a_folder_it_reads_and_writes_no_files(confined: Assistant) -> None:
    for tool, arguments in (
        ("pull", {"reference": "mira/noir"}),
        ("resolve", {"files": ["a.png"]}),
        ("publish", {"files": ["a.safetensors"], "to": "mira/a"}),
        ("explain", {"what": "a.safetensors"}),
    ):
        assert "--allow DIR" in confined.refusal(tool, **arguments)
    assert confined.ask("search")["adapters"]
