"""LoHa and LoKr in the form that a tool loads: renamed exactly, or approximated by a LoRA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hub.pages.adapters.derived import form_of, proofs_of
from lorary.algebra.comparing import compare
from registry import storage
from registry.blobs.selectors import energies_of
from registry.derived import selectors, services
from registry.derived.options import RANKS, Wanted
from registry.errors import Invalid
from registry.jobs import worker_process
from registry.models import DerivedFile, DerivedState
from tests import catalogue
from tests.builders.adapters import DENOISERS
from tests.builders.factors import write_pairs

if TYPE_CHECKING:
    from pathlib import Path

    from registry.derived.selectors import Source
    from registry.models import Adapter, Version

pytestmark = pytest.mark.django_db

LINEAR = [one for one in DENOISERS["sd1", "diffusers"] if len(one.shape) == 2]


def tensors(algorithm: str) -> dict[str, np.ndarray[Any, Any]]:
    """Factors of rank 2 for each linear module: a LoHa of rank 4, or a LoKr."""
    random = np.random.default_rng(2)
    found: dict[str, np.ndarray[Any, Any]] = {}
    for target in LINEAR:
        name = f"lora_unet_{target.path.replace('.', '_')}"
        out, wide = target.shape
        shapes = {
            "loha": {
                "hada_w1_a": (out, 2), "hada_w1_b": (2, wide),
                "hada_w2_a": (out, 2), "hada_w2_b": (2, wide),
            },
            "lokr": {
                "lokr_w1": (2, 2), "lokr_w2_a": (out // 2, 2), "lokr_w2_b": (2, wide // 2),
            },
        }[algorithm]  # fmt: skip
        for role, shape in shapes.items():
            found[f"{name}.{role}"] = random.standard_normal(shape) / 8
        found[f"{name}.alpha"] = np.asarray(2.0)
    return found


BOTH = pytest.mark.parametrize("algorithm", ["loha", "lokr"])


@pytest.fixture
def algorithm() -> str:
    return "loha"


@pytest.fixture
def version(algorithm: str, noir: Adapter, tmp_path: Path) -> Version:
    path = write_pairs(tmp_path / "a.safetensors", [], more=tensors(algorithm))
    return catalogue.release(noir, path.read_bytes())


@pytest.fixture
def source(version: Version) -> Source:
    return selectors.source_of(None, "ada", "noir", version.name)


def make(source: Source, wanted: Wanted) -> DerivedFile:
    services.request(actor=None, source=source, wanted=wanted, address="192.0.2.1")
    worker_process.drain("checks")
    row = DerivedFile.objects.get(**source.key_of(wanted))
    assert row.state == DerivedState.READY, row.reason
    return row


def written(row: DerivedFile, folder: Path) -> tuple[Path, Path]:
    """Return the source and the derived file as local files."""
    paths = folder / "source.safetensors", folder / "derived.safetensors"
    assert row.blob is not None
    for path, blob in zip(paths, (row.source, row.blob), strict=True):
        with storage.store().open(blob.sha256) as file:
            path.write_bytes(file.read())
    return paths


@BOTH
def test_what_is_offered_says_what_is_exact(source: Source, version: Version) -> None:
    options = source.options
    assert (options.held, options.namings) == ("kohya", ("comfyui",))
    assert (options.lora_namings, options.ranks) == (("peft", "diffusers"), RANKS)
    with pytest.raises(Invalid, match="Choose a maximum rank to convert"):
        options.reduced(Wanted("diffusers"))
    assert options.reduced(Wanted("diffusers", 128)) == Wanted("diffusers", 128)
    form = form_of(version, list(version.files))
    assert form is not None
    notes = {tool.naming: tool.note for tool in form.tools}
    assert notes["peft"] == "Only as a LoRA: choose a rank below."
    assert form.ranks[1] == (128, "as a LoRA of rank 128, not exact")


def test_other_names_are_exact(source: Source, tmp_path: Path) -> None:
    row = make(source, Wanted("comfyui"))
    conversion = row.certificate["conversion"]
    assert conversion["renamed"] == conversion["modules"] == len(LINEAR)
    before, after = written(row, tmp_path)
    assert compare(before, after, family="sd1").cosine == pytest.approx(1, abs=1e-12)


@BOTH
def test_a_large_enough_rank_loses_nothing(source: Source, tmp_path: Path) -> None:
    row = make(source, Wanted("diffusers", 128))
    assert row.blob is not None
    assert row.blob.size_bytes < 4 * row.source.size_bytes  # rank 4, without columns of zeros
    [sentence] = proofs_of(row.certificate)
    assert sentence.startswith("Not exact: ")
    approximation = row.certificate["approximation"]
    assert approximation["max_relative_error"] < 1e-3
    assert approximation["energy_kept"] == pytest.approx(1, abs=1e-6)
    before, after = written(row, tmp_path)
    assert compare(before, after, family="sd1").cosine == pytest.approx(1, abs=1e-6)


def test_the_error_is_that_of_the_file(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.derived.options.RANKS", (2,))
    row = make(source, Wanted("", 2))
    facts = row.certificate["approximation"]
    cosine = compare(*written(row, tmp_path)).cosine
    assert 0.3 < facts["energy_kept"] < 0.99
    assert cosine**2 == pytest.approx(facts["energy_kept"], rel=1e-3)
    [sentence] = proofs_of(row.certificate)
    assert sentence.startswith(f"Not exact: {len(LINEAR)} modules became a LoRA of at most rank 2.")


@BOTH
def test_the_checks_measure_its_energy(version: Version) -> None:
    worker_process.drain("checks")
    file = version.primary_file
    assert file is not None
    energies = energies_of(file.blob)
    assert energies
    assert all(one > 0 for one in energies.values())
