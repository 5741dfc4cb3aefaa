"""What ``docs/clients.md`` says of pushing, line by line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.setup.adapters import write_adapter
from tests.clients.programs import Programs
from tests.documents import snippets

if TYPE_CHECKING:
    from tests.running import RunningHub

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.slow]

DOCS, PUSHING = "docs/clients.md", "Pushing with Hugging Face clients"


@pytest.fixture
def ada(hub: RunningHub, ada_token: str, tmp_path: Path) -> Programs:
    """Ada's programs, and what a trainer left for her."""
    programs = Programs(hub, tmp_path / "ada", ada_token)
    state = programs.folder / "output" / "checkpoint-1"
    state.mkdir(parents=True)
    (state / "optimizer.bin").write_bytes(b"PK\x03\x04")
    write_adapter(state.parent / "noir.safetensors", rank=2, is_unique=True)
    return programs


def commands(programs: Programs, block: str) -> str:
    """Run lines of a terminal as they stand there, but for the hub's address and the token."""
    environ = programs.environ
    lines = [line.removeprefix("$ ") for line in block.splitlines()]
    script = "\n".join(["set -e", *lines])
    script = script.replace("https://hub.example", environ["HF_ENDPOINT"])
    script = script.replace("lor_…", environ["HF_TOKEN"])
    path = f"{Path(sys.executable).parent}:{environ['PATH']}"
    return programs.command(["bash", "-c", script], PATH=path, HF_ENDPOINT="", HF_TOKEN="")


def test_the_lines_about_pushing_work(ada: Programs) -> None:
    (block,) = snippets(DOCS, "console", PUSHING)
    commands(ada, block)
    scripts = snippets(DOCS, "python", PUSHING)
    assert len(scripts) == 2
    told = ada.python(
        "\n".join(scripts)
        + """
tell({"noir": [tag.name for tag in api.list_repo_refs("ada/noir").tags],
      "rain": [tag.name for tag in api.list_repo_refs("ada/rain").tags],
      "private": api.model_info("ada/rain").private,
      "branches": [branch.name for branch in api.list_repo_refs("ada/rain").branches],
      "tiny": torch.equal(loaded.base_model.model[0].lora_A["default"].weight,
                          model.base_model.model[0].lora_A["default"].weight)})
"""
    )
    assert told == {
        "noir": ["v1", "first"],
        "rain": ["v1"],
        "private": False,
        "branches": ["main", "feat/snow"],
        "tiny": True,
    }


def test_the_lines_about_trainers_work(ada: Programs) -> None:
    (block,) = snippets(DOCS, "console", "Trainers")
    commands(ada, block)
    files = ada.python(
        "from huggingface_hub import list_repo_files; tell(list_repo_files('ada/trained'))"
    )
    assert sorted(files) == ["noir.safetensors"]
