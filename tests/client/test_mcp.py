"""The command that serves assistants, and its tools as far as a small hub will do.

tests/e2e has a running one.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lorary.client import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]


def test_without_the_extra_it_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "lorary.integrations.mcp", raising=False)
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    ran = run("mcp")
    assert (ran.code, "lorary[mcp]" in ran.err) == (2, True)


def test_a_folder_that_is_none_is_refused(run: Run, tmp_path: Path) -> None:
    ran = run("mcp", "--allow", tmp_path / "gone", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (2, "usage")


@pytest.mark.parametrize(
    "document",
    [
        {"card": "x" * 100_000},
        {"rows": [{"name": "y" * 3_000} for _ in range(200)]},
        {"rows": {str(number): ["z" * 5_000] * 500 for number in range(200)}},
        {"deep": [[["w" * 5_000] * 90] * 90] * 90},
    ],
)
def test_every_answer_is_short(document: dict[str, object]) -> None:
    pytest.importorskip("mcp")
    from lorary.integrations.mcp import MAX_CHARS, bounded  # noqa: PLC0415 - needs the extra

    assert len(json.dumps(bounded(document))) <= MAX_CHARS
    assert bounded({"name": "noir", "rows": [1, None]}) == {"name": "noir", "rows": [1, None]}
    short = bounded({str(number): "" for number in range(60)})
    assert (len(short), short["…"]) == (51, "and 10 more")


@pytest.fixture
def call(hub: Hub, tmp_path: Path) -> Iterator[Callable[..., tuple[bool, str]]]:
    """Call a tool of a server that may use a folder; return whether it failed, and the text."""
    mcp = pytest.importorskip("mcp")
    from lorary.integrations.mcp import server  # noqa: PLC0415 - needs the extra

    (folder := tmp_path / "allowed").mkdir()
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(mcp.Client(server(hub, [folder]))) as client,
    ):

        def ask(tool: str, **arguments: object) -> tuple[bool, str]:
            result = portal.call(client.call_tool, tool, arguments)
            return bool(result.is_error), "".join(one.text for one in result.content)

        yield ask


def test_a_wrong_argument_is_said_with_those_that_exist(
    call: Callable[..., tuple[bool, str]],
) -> None:
    known = "The arguments of explain are: what."
    for sent, fault in (
        ({}, "what: Field required"),
        ({"reference": "ada/noir"}, "reference: there is no such argument"),
    ):
        assert call("explain", **sent) == (True, f"invalid_arguments: {fault}. {known}")
    failed, text = call("search", query="noir", limit=900)
    assert (failed, "limit: Input should be less" in text, "pydantic" in text) == (
        True, True, False,
    )  # fmt: skip


def test_the_documentation_names_the_arguments_of_each_tool(hub: Hub) -> None:
    pytest.importorskip("mcp")
    from lorary.integrations.mcp import server  # noqa: PLC0415 - needs the extra

    text = Path("docs/clients.md").read_text("utf-8").partition("## Assistants")[2]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    named = {row[0].strip("| `"): set(re.findall("`([a-z_]+)`", row[1])) for row in rows}
    with start_blocking_portal() as portal:
        tools = portal.call(server(hub).list_tools)
    assert named == {one.name: set(one.input_schema["properties"]) for one in tools}


def test_a_path_of_the_hub_leads_out_of_no_allowed_folder(
    call: Callable[..., tuple[bool, str]], fake: FakeHub, tmp_path: Path
) -> None:
    (outside := tmp_path / "outside").mkdir()
    (tmp_path / "allowed" / "door").symlink_to(outside)
    fake.publish("ada/noir", {"door/noir.safetensors": b"noir"})
    failed, text = call("pull", reference="ada/noir")
    assert (failed, "behind a link" in text) == (True, True)
    assert list(outside.iterdir()) == []


def test_an_unreachable_hub_a_missing_token_and_another_adapter_are_said(
    call: Callable[..., tuple[bool, str]], fake: FakeHub, tmp_path: Path, lora: Path
) -> None:
    (tmp_path / "allowed" / lora.name).write_bytes(lora.read_bytes())
    fake.answers.append(("/api/v1/me", 401, {}, b"{}"))
    failed, text = call("publish", files=[lora.name], to="ada/noir")
    assert (failed, "lorary login" in text) == (True, True)
    fake.publish("ada/noir", {"noir.safetensors": b"noir"})
    failed, text = call("publish", files=[lora.name], to="ada/noir", title="Another")
    assert (failed, "adapter_differs" in text) == (True, True)
    fake.answers += [("/api/v1/adapters", 503, {"Retry-After": "3600"}, b"")]
    failed, text = call("search", query="noir")
    assert (failed, "Traceback" in text, "server_fault" in text) == (True, False, True)


def test_tools_that_return_texts_of_strangers_say_so(hub: Hub) -> None:
    pytest.importorskip("mcp")
    from lorary.integrations.mcp import server  # noqa: PLC0415 - needs the extra

    with start_blocking_portal() as portal:
        tools = portal.call(server(hub).list_tools)
    said = {one.name for one in tools if "written by strangers" in (one.description or "")}
    assert said == {"search", "explain", "resolve"}
