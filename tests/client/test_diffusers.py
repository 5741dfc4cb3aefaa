"""``load``: adapters of a hub in a real pipeline of diffusers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
pytest.importorskip("peft")

from safetensors.numpy import load_file, save  # noqa: E402

from lorary import FileUnreadable, NotFound, Progress  # noqa: E402
from lorary.integrations.diffusers import load  # noqa: E402
from training.miniature.tiny import write_tiny_base, write_tiny_lora  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lorary import Hub
    from tests.client.fakehub import FakeHub

pytestmark = [
    pytest.mark.slow,
    # PEFT says so of every second adapter of a pipeline.
    pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("bases") / "tiny")


@pytest.fixture
def files(fake: FakeHub, tmp_path: Path) -> dict[str, Path]:
    """Two adapters, published; the author of the second recommends a strength."""
    found = {}
    more: dict[str, dict[str, Any]] = {"noir": {}, "ink": {"strength": {"recommended": 0.6}}}
    for seed, (name, said) in enumerate(more.items()):
        found[name] = tmp_path / f"{name}.safetensors"
        write_tiny_lora(found[name], seed=seed, spread=0.3)
        data = found[name].read_bytes()
        words = {"trigger_words": [f"{name} style"]}
        fake.publish(f"studio/{name}", {f"{name}.safetensors": data}, **words, **said)
    return found


def opened(base: Path) -> Any:
    pipe = diffusers.DiffusionPipeline.from_pretrained(base)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(pipe: Any) -> Any:
    generator = torch.Generator().manual_seed(3)
    return pipe(
        "a red house", num_inference_steps=2, height=64, width=64, output_type="np",
        generator=generator,
    ).images  # fmt: skip


@pytest.fixture
def stacked(base: Path, files: dict[str, Path]) -> Callable[..., Any]:
    """Return a function that renders with the files, stacked by diffusers alone."""
    pipe = opened(base)
    for name, path in files.items():
        pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name=name)

    def stacked(**strengths: float) -> Any:
        pipe.set_adapters(list(strengths), list(strengths.values()))
        return picture(pipe)

    return stacked


def test_adapters_stack_with_their_strengths(
    base: Path, stacked: Callable[..., Any], hub: Hub, fake: FakeHub
) -> None:
    pipe = opened(base)
    plain = picture(pipe)
    seen: list[Progress] = []
    noir = load(pipe, "studio/noir@v1", strength=0.8, hub=hub, on_progress=seen.append)
    assert seen[-1].stage == "fetch"
    assert (noir.trigger_words, noir.strength) == (("noir style",), 0.8)
    assert np.array_equal(picture(pipe), stacked(noir=0.8))
    ink = load(pipe, "studio/ink", hub=hub)
    assert ink.strength == 0.6
    assert np.allclose(picture(pipe), stacked(noir=0.8, ink=0.6), atol=1e-3)
    # Another strength; the file is not loaded again.
    assert load(pipe, "studio/noir", strength=0.3, hub=hub).name == noir.name
    assert np.allclose(picture(pipe), stacked(noir=0.3, ink=0.6), atol=1e-3)
    # What the user sets stays.
    pipe.set_adapters([ink.name], [1.2])
    load(pipe, "studio/noir", strength=0.5, hub=hub)
    assert np.allclose(picture(pipe), stacked(noir=0.5, ink=1.2), atol=1e-3)
    pipe.delete_adapters([noir.name, ink.name])
    assert np.array_equal(picture(pipe), plain)
    assert not np.allclose(stacked(noir=0.5), stacked(noir=0.5, ink=0.1), atol=1e-3)
    assert len(fake.requests("files/")) == 2


def test_a_file_of_another_kind_is_refused(base: Path, hub: Hub, fake: FakeHub) -> None:
    named = save({f"base_model.model.a.lora_{half}.weight": np.zeros((1, 1)) for half in "AB"})
    fake.publish("studio/text", {"adapter_model.safetensors": named})
    with pytest.raises(FileUnreadable, match=r"nothing in .* for StableDiffusionPipeline"):
        load(opened(base), "studio/text", hub=hub)


def test_a_version_without_weights_is_refused(base: Path, hub: Hub, fake: FakeHub) -> None:
    version = fake.publish("studio/note", {"README.md": b"# Note\n"})
    version["files"][0]["primary"] = False
    with pytest.raises(NotFound, match=r"studio/note v1 has no weights\."):
        load(opened(base), "studio/note", hub=hub)


# diffusers deletes what it could not load, and PEFT says so.
@pytest.mark.filterwarnings("ignore:Adapter lorary_:UserWarning")
def test_a_pipeline_of_another_base_model_is_refused(
    base: Path, files: dict[str, Path], hub: Hub, fake: FakeHub, tmp_path: Path
) -> None:
    del files
    weights = load_file(write_tiny_lora(tmp_path / "tiny.safetensors", seed=1, spread=0.3))
    wide = {
        name: np.concatenate([one, one], axis=1) if "lora_down" in name else one
        for name, one in weights.items()
    }
    fake.publish("studio/wide", {"wide.safetensors": save(wide)}, family="sdxl")
    pipe = opened(base)
    noir = load(pipe, "studio/noir", strength=0.8, hub=hub)
    before = picture(pipe)
    with pytest.raises(
        FileUnreadable, match=r"wide\.safetensors is for the base model sdxl"
    ) as caught:
        load(pipe, "studio/wide", hub=hub)
    assert isinstance(caught.value.__cause__, RuntimeError)
    loaded = {name for names in pipe.get_list_adapters().values() for name in names}
    assert (loaded, pipe.get_active_adapters()) == ({noir.name}, [noir.name])
    assert np.array_equal(picture(pipe), before)
