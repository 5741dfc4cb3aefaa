"""Estimates about the checkpoint: captions, the way of prediction, and dates."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import pytest

from lorary.anatomy import inspect_bytes
from lorary.anatomy.claims.lineage_evidence import checkpoint_ids
from lorary.anatomy.claims.lineages import lineages
from lorary.anatomy.tables import read_table
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from lorary.anatomy.report import Base

JANUARY_2024, JUNE_2024, MAY_2026 = "1704100000", "1717200000", "1777600000"


def _base(metadata: dict[str, str], family: str = "sdxl", naming: str = "sgm") -> Base:
    anatomy = inspect_bytes(kohya(DENOISERS[family, naming], metadata=metadata)).anatomy
    assert anatomy is not None
    return anatomy.base


def _stances(base: Base, rule: str) -> set[tuple[str, str]]:
    return {(one.lineage, one.stance) for one in base.lineage_evidence if one.rule == rule}


def _tags(**counts: int) -> dict[str, str]:
    return {
        "ss_tag_frequency": json.dumps({"10_noir": {"1girl": 50, **counts}}),
        "ss_dataset_dirs": json.dumps({"10_noir": {"n_repeats": 10, "img_count": 50}}),
    }


def test_quality_tags_are_a_habit_of_pony() -> None:
    base = _base(_tags(score_9=50, source_anime=40))
    assert _stances(base, "quality_tags") == {("Pony", "for")}
    (found,) = (one.to_dict() for one in base.lineage_evidence)
    assert (found["confidence"], found["keys"]) == ("estimated", ["ss_tag_frequency"])
    assert "`score_9`, `source_anime`" in str(found["text"])
    assert (base.lineage, base.family) == (None, "sdxl")


def test_a_few_tags_or_another_base_model_are_no_habit() -> None:
    assert _stances(_base(_tags(score_9=2)), "quality_tags") == set()
    flux = _base(_tags(score_9=50), "flux1", "native")
    assert flux.lineage_evidence == ()


def test_v_prediction_with_zero_terminal_snr_is_not_of_sdxl() -> None:
    metadata = {"modelspec.prediction_type": "v", "ss_zero_terminal_snr": "True"}
    found = _stances(_base(metadata), "prediction")
    assert found == {
        ("NoobAI", "for"), ("SDXL 1.0", "against"), ("Pony Diffusion V6 XL", "against"),
    }  # fmt: skip
    for key, value in metadata.items():
        assert _stances(_base({key: value}), "prediction") == set()


def test_what_was_not_published_yet_is_no_base() -> None:
    found = _stances(_base({"ss_training_started_at": JUNE_2024}), "training_start")
    assert found == {("Illustrious", "against")}
    assert _stances(_base({"ss_training_started_at": MAY_2026}), "training_start") == set()


@pytest.mark.parametrize("moment", ["0", "-5", "nan", "1e300", "soon", "86400", JANUARY_2024[:5]])
def test_a_wrong_clock_shows_nothing(moment: str) -> None:
    assert _base({"ss_training_started_at": moment}).lineage_evidence == ()


def test_a_claimed_checkpoint_stays_beside_the_estimate() -> None:
    metadata = {"ss_training_started_at": JUNE_2024, "ss_sd_model_name": "illustriousXL_v01"}
    base = _base(metadata)
    assert base.lineage == "Illustrious"
    assert _stances(base, "training_start") == {("Illustrious", "against")}


def test_signs_have_dates_sources_and_known_lineages() -> None:
    signs, known = read_table("claims/lineage_signs.json"), lineages().families
    for lineage, (day, source) in signs["releases"].items():
        assert lineage in known
        assert date(2022, 8, 1) < date.fromisoformat(day) < date(2027, 1, 1)
        assert source.startswith("https://")
    for sign in (*signs["tags"], *signs["prediction"]):
        assert sign["source"].startswith("https://")
        named = [sign["lineage"]] if "lineage" in sign else sign["fits"] + sign["contradicts"]
        assert set(named) <= known.keys()


def test_ids_of_the_checkpoint_are_what_trainers_write() -> None:
    sha = "1F" * 32
    assert checkpoint_ids({
        "ss_new_sd_model_hash": f"0x{sha}", "ss_sd_model_hash": "0a1b2c3d",
        "ss_sd_model_name": "C:\\bases\\290640.safetensors",
    }) == (
        ("ss_new_sd_model_hash", sha.lower()), ("ss_sd_model_hash", "0a1b2c3d"),
        ("ss_sd_model_name", "290640"),
    )  # fmt: skip
    assert checkpoint_ids({
        "ss_new_sd_model_hash": "e3b0c442" + "0" * 56, "ss_sd_model_hash": "00000000",
        "ss_sd_model_name": "pony.safetensors",
    }) == ()  # fmt: skip
