"""``lorary pack export``, and packs in pipelines, against a hub over real sockets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorary.client import errors
from lorary.exports import look_of
from lorary.integrations.diffusers import load_pack
from tests.client.conftest import sha
from tests.client.test_packs import answer, part, variant, version

if TYPE_CHECKING:
    from collections.abc import Callable

    from lorary.client import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

__all__ = ["answer"]

ONE, TWO = b"one weights", b"two weights"
FILE = "ink.safetensors"


@pytest.fixture
def told(fake: FakeHub) -> dict[str, Any]:
    """A version with two files of the same name, in two variants."""
    fake.publish("studio/one", {FILE: ONE})
    fake.publish("studio/two", {FILE: TWO})
    parts = [part("studio/one", ONE, file=FILE), part("studio/two", TWO, file=FILE, strength=-0.5)]
    return version(variant("a", *parts), variant("b", parts[0]))


def test_an_export_goes_to_standard_output_and_says_where_the_files_come_from(
    run: Run, answer: Callable[..., None], told: dict[str, Any]
) -> None:
    answer("packs/", told)
    ran = run("pack", "export", "studio/dusk@v1", "--for", "comfyui", "--variant", "a")
    assert ran.code == 0, ran.err
    loaders = [one for one in json.loads(ran.out).values() if one["class_type"] == "LoraLoader"]
    assert [one["inputs"]["strength_model"] for one in loaders] == [0.8, -0.5]
    assert "lorary pull pack:studio/dusk@v1 --variant a --to DIR" in ran.err
    answer("packs/", told)
    words = ("pack", "export", "studio/dusk", "--for", "comfyui", "--form", "ui", "--variant", "b")
    assert json.loads(run(*words).out)["version"] == 0.4


def test_names_are_those_of_a_pull_into_an_empty_folder(
    hub: Hub, answer: Callable[..., None], told: dict[str, Any], tmp_path: Path
) -> None:
    answer("packs/", told)
    pulled = hub.pull_pack("studio/dusk", variant="a", to=tmp_path)
    look = look_of(pulled.version, "a")
    assert [one.file_name for one in look.parts] == [FILE, "studio--two--ink.safetensors"]
    for one in look.parts:
        assert pulled.files[one.sha256].local_path == tmp_path / one.file_name


def test_a_file_is_written_once_and_replaced_on_request(
    run: Run, answer: Callable[..., None], told: dict[str, Any], tmp_path: Path
) -> None:
    place = tmp_path / "dusk.txt"
    words = ("pack", "export", "studio/dusk", "--for", "a1111", "--variant", "b", "--out", place)
    answer("packs/", told)
    ran = run(*words, "--json")
    assert ran.code == 0, ran.err
    assert ran.document["text"] == place.read_text(encoding="utf-8")
    assert (ran.document["file_name"], ran.document["local_path"]) == (
        "studio--dusk.b.a1111.txt", str(place),
    )  # fmt: skip
    place.write_text("mine")
    answer("packs/", told)
    ran = run(*words)
    assert (ran.code, place.read_text()) == (1, "mine")
    assert "--force" in ran.err
    answer("packs/", told)
    assert run(*words, "--force").code == 0
    assert "<lora:ink:0.8>" in place.read_text(encoding="utf-8")
    answer("packs/", told)
    assert run(*words[:-1], tmp_path / "none" / "x").code == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "--for TOOL"),
        (("--for", "fooocus"), 2, "swarmui"),
        (("--for", "forge"), 1, "Choose one: a (sd1, image), b (sd1, image)"),
        (("--for", "forge", "--variant", "sdxl"), 3, "It has a (sd1, image), b (sd1, image)"),
        (("--for", "forge", "--variant", "a", "--form", "ui"), 1, "only one form"),
    ],
)
def test_refusals_say_what_there_is(
    run: Run,
    answer: Callable[..., None],
    told: dict[str, Any],
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    answer("packs/", told)
    ran = run("pack", "export", "studio/dusk", *words)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_videos_and_missing_parts_are_told(run: Run, answer: Callable[..., None]) -> None:
    gone = part("studio/two", TWO, state="private", reason="It is private.")
    film = {**variant("film", part("studio/one", ONE)), "output": "video"}
    told = version(variant("a", part("studio/one", ONE), gone), film, state="yanked", reason="Old")
    answer("packs/", told)
    ran = run("pack", "export", "studio/dusk", "--for", "swarmui", "--variant", "film")
    assert (ran.code, "SwarmUI makes no videos" in ran.err) == (1, True)
    answer("packs/", told)
    ran = run("pack", "export", "studio/dusk", "--for", "swarmui", "--variant", "a")
    assert ran.code == 0, ran.err
    for words in ("was yanked: Old", "studio/two@v1 is private and was left out", "--partial"):
        assert words in ran.err


class Pipe:
    """A pipeline as far as ``load_pack`` uses it; it is its own component and layer."""

    lora_A = ()  # noqa: N815 - PEFT's

    def __init__(self) -> None:
        self.loaded: dict[str, bytes] = {}
        self.active: dict[str, float] = {}
        self.refused: bytes | None = None
        self.unet = self

    def modules(self) -> list[Pipe]:
        """Return the layers."""
        return [self]

    def set_adapter(self, names: list[str]) -> None:
        """Make adapters active."""
        self.active = {name: self.active.get(name, 1.0) for name in names}

    def get_active_adapters(self) -> list[str]:
        """Return the names of the active adapters."""
        return list(self.active)

    def delete_adapters(self, names: list[str]) -> None:
        """Forget adapters."""
        assert not {*names} & {*self.active}
        for name in names:
            del self.loaded[name]

    def get_list_adapters(self) -> dict[str, list[str]]:
        """Return the adapters of each component."""
        return {"unet": list(self.loaded)}

    def load_lora_weights(self, folder: Path, *, weight_name: str, adapter_name: str) -> None:
        """Take a file."""
        assert adapter_name not in self.loaded
        self.loaded[adapter_name] = (folder / weight_name).read_bytes()
        self.active = {adapter_name: 1.0}
        if self.loaded[adapter_name] == self.refused:
            msg = "size mismatch for up"
            raise RuntimeError(msg)

    def set_adapters(self, names: list[str], weights: list[float]) -> None:
        """Take names and strengths."""
        self.active = dict(zip(names, weights, strict=True))

    def __call__(self, prompt: str, num_inference_steps: int, width: int) -> None:
        """Render nothing."""


def test_a_pack_that_cannot_be_loaded_leaves_the_pipeline_as_it_was(
    hub: Hub, answer: Callable[..., None], told: dict[str, Any]
) -> None:
    pipe = Pipe()
    pipe.loaded["own"], pipe.active, pipe.refused = b"own", {"own": 1.0}, TWO
    answer("packs/", told)
    answer("packs/", told)
    with pytest.raises(errors.FileUnreadable, match="other sizes"):
        load_pack(pipe, "pack:studio/dusk", variant="a", hub=hub)
    assert (pipe.loaded, pipe.active) == ({"own": b"own"}, {"own": 1.0})


def test_load_pack_loads_each_file_once_and_returns_what_the_pipeline_takes(
    hub: Hub, answer: Callable[..., None], told: dict[str, Any]
) -> None:
    pipe = Pipe()
    for name in ("a", "b", "a"):
        answer("packs/", told)
        answer("packs/", told)
        look = load_pack(pipe, "pack:studio/dusk", variant=name, hub=hub)
    first, second = (f"lorary_{sha(data)[:16]}" for data in (ONE, TWO))
    assert pipe.loaded == {first: ONE, second: TWO}
    assert pipe.active == {first: 0.8, second: -0.5}
    assert look("a {cat}") == {
        "prompt": "noir, a {cat}", "num_inference_steps": 20, "width": 512,
    }  # fmt: skip
    answer("packs/", told)
    with pytest.raises(errors.Invalid, match="several variants"):
        load_pack(pipe, "studio/dusk", hub=hub)
