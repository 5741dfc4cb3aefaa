"""The Python example of ``docs/algebra.md``, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.algebra.test_conversion import pair, write

DOCS = Path(__file__).resolve().parents[2] / "docs" / "algebra.md"


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    for seed, stem in enumerate(("ink", "noir")):
        write(tmp_path / f"{stem}.safetensors", pair(name, 640, 2048, rank=12, seed=seed))
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    exec(example, {})
    energy, cosine = map(float, capsys.readouterr().out.split())
    assert energy > 0
    assert abs(cosine) < 0.1
    assert {one.stem for one in tmp_path.glob("both*.safetensors")} == {
        "both",
        "both-r8",
        "both-peft",
    }
