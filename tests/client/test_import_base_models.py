"""Base models and checkpoints of imported files: what header and sidecars state counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorary.library.importing.fields import Field, combined, text_of
from lorary.library.sidecars.reading import Value
from tests.builders.adapters import Target, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]


def published(fake: FakeHub) -> list[dict[str, Any]]:
    """The JSON of requests for new versions."""
    return [json.loads(seen.body) for seen in fake.requests("POST .*/versions")]


@pytest.mark.parametrize(
    ("sidecar", "declared", "source"),
    [({}, ("", "Stable Diffusion 1.5"), "header (claimed)"),
     ({"sd version": "SD1"}, ("", "Stable Diffusion 1.5"), "header (claimed)"),
     ({"sd version": "SD2"}, ("sd2", ""), "noir.json (declared)"),
     ({"sd version": "Stable Diffusion 2.1"}, ("sd2", ""), "noir.json (declared)"),
     ({"sd version": "Anything v5"}, ("", "Stable Diffusion 1.5"), "header (claimed)")],
)  # fmt: skip
def test_a_base_model_that_the_header_chose_is_not_proven(
    run: Run, fake: FakeHub, tmp_path: Path, sidecar: dict[str, str],
    declared: tuple[str, str], source: str,
) -> None:  # fmt: skip
    """And a checkpoint is one of the base model that is used, or none is stated."""
    shared = Target("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", (320, 320))
    again = Target("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", (640, 640))
    said = {"ss_base_model_version": "sd_v1-5", "ss_sd_model_name": "v1-5-pruned.safetensors"}
    data = kohya([shared, again], metadata=said)
    (tmp_path / "noir.safetensors").write_bytes(data)
    (tmp_path / "noir.json").write_text(json.dumps(sidecar))
    assert run("import", tmp_path, "--to", "ada", "--yes").code == 0
    (version,) = published(fake)
    assert (version.get("family", ""), version.get("lineage", "")) == declared
    assert f"family: {source}" in version["notes"]


@pytest.mark.parametrize(("family", "lineage"), [("sd1", "Stable Diffusion 1.5"), ("flux1", "")])
def test_a_version_keeps_its_checkpoint_if_that_of_the_run_does_not_fit(
    family: str, lineage: str
) -> None:
    own = {
        "family": Field(Value("family", family, "tensors", "proven")),
        "lineage": Field(Value("lineage", "Stable Diffusion 1.5", "header", "claimed")),
    }
    shared = {"lineage": Field(Value("lineage", "Pony", "noir.json", "declared"))}
    assert text_of(combined(own, shared), "lineage") == lineage
    fitting = {**shared, "family": Field(Value("family", "sdxl", "noir.json", "declared"))}
    assert text_of(combined(own, fitting), "lineage") == "Pony"


def test_a_sidecar_names_base_model_checkpoint_and_licence(
    run: Run, fake: FakeHub, tmp_path: Path
) -> None:
    """The header names another base model, and the same licence in another case."""
    middle = Target("mid_block.attentions.0.transformer_blocks.0.attn1.to_q", (1280, 1280))
    said = {"ss_base_model_version": "sd_v1-5", "modelspec.license": "Apache-2.0"}
    (tmp_path / "noir.safetensors").write_bytes(kohya([middle], metadata=said))
    sidecar = {"sd version": "Pony"}
    (tmp_path / "noir.json").write_text(json.dumps(sidecar))
    (tmp_path / "noir.swarm.json").write_text(json.dumps({"modelspec.license": "apache-2.0"}))
    report = run("import", tmp_path, "--to", "ada", "--dry-run")
    assert ("differ on" in report.out, report.code) == (False, 0), report.out
    assert run("import", tmp_path, "--to", "ada", "--yes").code == 0
    (version,) = published(fake)
    assert (version["family"], version["lineage"]) == ("sdxl", "Pony")
