"""Descriptions of families: what bases take from them."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import diffusers
import pytest

from lorary.anatomy import FAMILIES
from previews.render import load_bases
from previews.render.adapters.base_modules import native_names
from previews.render.families import FOLDER, described, family_of

if TYPE_CHECKING:
    from pathlib import Path


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
    plain = family_of("unknown")
    assert (plain.guidance_as, plain.negative_as, plain.pipelines) == (
        "guidance_scale", "negative_prompt", (),
    )  # fmt: skip


def test_every_file_is_about_known_families_that_no_other_describes() -> None:
    ids = [
        family
        for file in FOLDER.glob("*.toml")
        for family in tomllib.loads(file.read_text())["families"]
    ]
    assert sorted(ids) == sorted(described())
    assert described().keys() <= FAMILIES.keys()


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
