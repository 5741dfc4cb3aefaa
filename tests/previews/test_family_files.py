"""Descriptions of families: what they may say, how they say no, what bases take from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import diffusers
import pytest

from previews.render import FamilyInvalid, load_bases
from previews.render.adapters.base_modules import native_names
from previews.render.families import described, family_of, load_families

if TYPE_CHECKING:
    from pathlib import Path

GOOD = 'families = ["sd1"]\npipelines = ["StableDiffusionPipeline"]\nparts = ["unet"]\n'


def read(folder: Path, text: str) -> object:
    (folder / "some.toml").write_text(text)
    return load_families(folder)


@pytest.mark.parametrize("family", described().values(), ids=described())
def test_every_pipeline_named_is_in_diffusers(family: object) -> None:
    assert all(hasattr(diffusers, name) for name in family.pipelines)  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", described())
def test_a_base_takes_the_defaults_of_its_family(tmp_path: Path, family: str) -> None:
    file = tmp_path / "bases.toml"
    file.write_text(f'[bases.a]\nfamily = "{family}"\npath = "a"\n')
    base, said = load_bases(file).get("a"), family_of(family)
    assert {key: getattr(base, key) for key in said.defaults} == dict(said.defaults)
    assert base.call == said.call
    assert bool(base.frames) == (said.medium == "video")


def test_a_base_says_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "bases.toml"
    file.write_text(
        '[bases.a]\nfamily = "qwen_image"\npath = "a"\nsteps = 8\ncall = { sigmas = [1.0] }\n'
    )
    base = load_bases(file).get("a")
    assert (base.steps, base.guidance) == (8, 4.0)
    assert base.call == {"max_sequence_length": 512, "sigmas": [1.0]}


def test_families_of_one_file_may_differ() -> None:
    assert family_of("sd35_medium").defaults["steps"] == 40
    assert family_of("sd3").defaults["steps"] == 28
    assert family_of("sd3").native == family_of("sd35_large").native


def test_a_family_without_a_description_is_called_as_stable_diffusion_is() -> None:
    plain = family_of("miniature")
    assert (plain.guidance_as, plain.negative_as, plain.pipelines) == (
        "guidance_scale", "negative_prompt", (),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("families = [", "some.toml: "),
        ("", "“families” is missing"),
        (GOOD + "medium = 'sound'\n", "“medium” is one of image, video, not 'sound'"),
        (GOOD + "negative = 3\n", "“negative” is text, not 3"),
        (GOOD + "call = 3\n", "“call” is a table, not 3"),
        (GOOD + "steps = 3\n", "unknown key “steps”; known are families,"),
        (GOOD.replace("sd1", "sd9"), "there is no family “sd9”"),
        (GOOD.replace('["sd1"]', '"sd1"'), "“families” is a list of texts, not 'sd1'"),
        (GOOD + "[defaults]\nsize = 3\n", "unknown key “defaults.size”; known are batch,"),
        (GOOD + "[native]\n'a.*' = 3\n", "“native.a.*” is a name or a list of names, not 3"),
        (GOOD + "[only.sd2.defaults]\n", "“only.sd2” is of no family of this file"),
        (GOOD + "[only.sd1.names]\n", "unknown key “only.sd1.names”; known are defaults,"),
        (GOOD + "[only.sd1.defaults]\nx = 1\n", "unknown key “only.sd1.defaults.x”"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(FamilyInvalid) as caught:
        read(tmp_path, text)
    assert fault in str(caught.value)


def test_a_family_is_described_once(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(GOOD)
    with pytest.raises(FamilyInvalid, match="“sd1” is described twice"):
        read(tmp_path, GOOD)


def test_original_names_stand_for_modules_that_the_model_has() -> None:
    native = {
        "blocks.*.qkv": ("layers.*.q", "layers.*.k"),
        "blocks.*.out": ("layers.*.out",),
        "a.*.b.*": ("x.*.y.*",),
    }
    modules = ["layers.0.q", "layers.0.k", "layers.1.q", "layers.10.out", "x.1.y.2"]
    assert dict(native_names(native, modules)) == {
        "blocks.0.qkv": ("layers.0.q", "layers.0.k"),
        "blocks.10.out": ("layers.10.out",),
        "a.1.b.2": ("x.1.y.2",),
    }


def test_every_family_is_in_the_documentation(request: pytest.FixtureRequest) -> None:
    text = (request.config.rootpath / "docs" / "previews.md").read_text()
    assert [family for family in described() if f"`{family}`" not in text] == []
