"""What metadata claims about the base model, and how a claim meets a proof."""

from __future__ import annotations

import pytest

from lorary.anatomy import Verdict, inspect_bytes
from lorary.anatomy.claims import claimed_family, claimed_lineage
from tests.builders.adapters import DENOISERS, Target, kohya

SD1 = DENOISERS["sd1", "diffusers"]


@pytest.mark.parametrize(
    ("metadata", "family"),
    [
        ({"ss_base_model_version": "sd_v1"}, "sd1"),
        ({"ss_base_model_version": "sd_1.5"}, "sd1"),
        ({"ss_base_model_version": "sd_v2_v"}, "sd2"),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"),
        ({"ss_base_model_version": "flux.1_kontext"}, "flux1"),
        ({"ss_base_model_version": "flux2_klein_4b"}, "flux2_klein_4b"),
        ({"ss_base_model_version": "flux2"}, "flux2"),
        ({"ss_base_model_version": "qwen_image_edit"}, "qwen_image"),
        ({"ss_base_model_version": "hunyuan_video_1_5"}, "hunyuan_video_1_5"),
        ({"ss_base_model_version": "wan_2.2_14b"}, "wan"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "sdxl"),
        ({"modelspec.architecture": "Flux.1-dev/lora"}, "flux1"),
        ({"modelspec.architecture": "lorary-miniature/lora"}, "miniature"),
        ({"ss_v2": "True"}, "sd2"),
        ({"ss_v2": "False"}, None),
        ({"ss_base_model_version": "something new"}, None),
    ],
)
def test_claims_are_read(metadata: dict[str, str], family: str | None) -> None:
    assert claimed_family(metadata)[0] == family


@pytest.mark.parametrize(
    ("metadata", "lineage"),
    [
        (
            {
                "ss_new_sd_model_hash": "0x67ab2fd8ec439a89b3fedb15cc65f543"
                "36af163c7eb5e4f2acc98f090a29b0b3"
            },
            "Pony Diffusion V6 XL",
        ),
        ({"ss_sd_model_name": "/models/290640.safetensors"}, "Pony Diffusion V6 XL"),
        ({"ss_sd_model_name": "Illustrious-XL-v0.1.safetensors"}, "Illustrious"),
        ({"modelspec.architecture": "flux-1-dev/lora"}, "FLUX.1 dev"),
        ({"ss_new_sd_model_hash": "IsADirectory"}, None),
        ({"ss_new_sd_model_hash": "0" * 64}, None),
        ({}, None),
    ],
)
def test_lineages_are_claims(metadata: dict[str, str], lineage: str | None) -> None:
    assert claimed_lineage(metadata) == lineage


def _verdict(targets: tuple[Target, ...], claim: str) -> tuple[Verdict, list[str]]:
    found = inspect_bytes(kohya(targets, metadata={"ss_base_model_version": claim}))
    assert found.anatomy is not None
    assert found.anatomy.family == found.anatomy.verdict.proven
    return found.anatomy.verdict, [finding.code for finding in found.findings]


def test_claim_and_proof_agree() -> None:
    verdict, codes = _verdict(SD1, "sd_v1")
    assert (verdict.agreement, verdict.claimed, verdict.proven) == ("agree", "sd1", "sd1")
    assert codes == []


def test_the_tensors_win_over_a_claim() -> None:
    verdict, codes = _verdict(DENOISERS["flux1", "native"], "sd_1.5")
    assert (verdict.agreement, verdict.claimed, verdict.proven) == ("conflict", "sd1", "flux1")
    assert codes == ["metadata_conflict"]
    assert any("says Stable Diffusion 1.x" in reason for reason in verdict.evidence)


def test_a_claim_does_not_decide_between_candidates() -> None:
    verdict, codes = _verdict(SD1[:1], "sd_v1")
    assert (verdict.agreement, verdict.proven) == ("unproven", None)
    assert codes == ["family_ambiguous"]


def test_a_claim_that_no_table_can_check_stays_unproven() -> None:
    verdict, codes = _verdict((Target("blocks.0.self_attn.q", (5120, 5120)),), "wan_2.1")
    assert (verdict.agreement, verdict.claimed, verdict.candidates) == ("unproven", "wan", ())
    assert codes == ["family_unknown"]
