"""Facts, titles and numbers of the metadata."""

from __future__ import annotations

import json

import pytest

from lorary.anatomy.metadata import clean, number, parsed, present, shorten
from lorary.anatomy.training import description, recommended_strength, title, training_facts


def test_facts_are_numbers_texts_and_times() -> None:
    facts = training_facts(
        {
            "ss_steps": "444",
            "ss_max_train_steps": "740",
            "ss_learning_rate": "1e-4",
            "ss_optimizer": "prodigy(decouple=True)",
            "ss_noise_offset": "None",
            "ss_sd_model_name": "C:\\models\\290640.safetensors",
            "ss_training_started_at": "1726066908.25",
            "ss_training_finished_at": "1e40",
            "ss_sd_scripts_commit_hash": "f931",
        }
    )
    assert facts == {
        "trainer": "sd-scripts",
        "steps": 444,
        "learning_rate": 0.0001,
        "optimizer": "prodigy(decouple=True)",
        "base_model": "290640.safetensors",
        "started_at": "2024-09-11T15:01:48+00:00",
        "commit": "f931",
    }


@pytest.mark.parametrize(
    ("metadata", "trainer"),
    [
        ({"software": '{"name": "ai-toolkit"}'}, "ai-toolkit"),
        ({"software": '{"name": 3}'}, None),
        ({"ot_branch": "master"}, "OneTrainer"),
        ({"lycoris_config": "{}"}, "SimpleTuner"),
        ({"lora_adapter_metadata": "{}"}, "diffusers"),
        ({}, None),
    ],
)
def test_trainers_are_told_by_their_marks(metadata: dict[str, str], trainer: str | None) -> None:
    assert training_facts(metadata).get("trainer") == trainer


@pytest.mark.parametrize(
    ("metadata", "resolution"),
    [
        ({"ss_resolution": "(1024, 768)"}, [1024, 768]),
        ({"modelspec.resolution": "1024x1024"}, [1024, 1024]),
        ({"ss_resolution": "[512, 512]"}, [512, 512]),
        ({"ss_resolution": "512"}, [512, 512]),
        ({"ss_datasets": '[{"resolution": [768, 512]}]'}, [768, 512]),
        ({"ss_datasets": '[{"resolution": 640}]'}, [640, 640]),
        ({"ss_datasets": "[3]"}, None),
        ({"ss_datasets": "{}"}, None),
        ({"ss_resolution": "99999,99999"}, None),
        ({}, None),
    ],
)
def test_resolutions_are_read_in_every_spelling(
    metadata: dict[str, str], resolution: list[int] | None
) -> None:
    assert training_facts(metadata).get("resolution") == resolution


def test_arguments_and_progress_are_read_from_json() -> None:
    arguments = json.dumps({"algo": "loha", "conv_dim": 8})
    facts = training_facts(
        {"ss_network_args": arguments, "training_info": '{"step": 290, "epoch": "x"}'}
    )
    assert facts["network_args"] == {"algo": "loha", "conv_dim": "8"}
    assert facts["steps"] == 290
    assert "epochs" not in facts
    assert training_facts({"ss_network_args": "null", "training_info": "[]"}) == {}


def test_titles_come_from_the_author_before_the_trainer() -> None:
    assert title({"modelspec.title": "Noir", "ss_output_name": "noir_v2"}) == "Noir"
    assert title({"ss_output_name": "noir_v2"}) == "noir_v2"
    assert title({}) is None
    assert (
        description({"modelspec.description": "Films\n\tof the forties"}) == "Films of the forties"
    )


@pytest.mark.parametrize(
    ("value", "strength"), [("0.8", 0.8), ("-1", -1.0), ("99", None), ("a lot", None)]
)
def test_strengths_are_sensible_or_absent(value: str, strength: float | None) -> None:
    assert recommended_strength({"modelspec.lora_default_weight": value}) == strength


def test_absent_is_spelt_in_many_ways() -> None:
    metadata = {"a": "None", "b": "", "c": " null ", "d": "yes"}
    assert present(metadata, "a", "b", "c", "d") == "yes"
    assert present(metadata, "a", "z") is None


def test_texts_are_cleaned_and_cut() -> None:
    assert clean("a\u200b\u202e  b\r\nc") == "a b c"
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abc", 4) == "abc"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (True, None), (None, None), ("x", None), ("nan", None), ("1e999", None),
        (10**400, None), ("5", 5.0), (2, 2.0), (1.5, 1.5),
    ],
)  # fmt: skip
def test_numbers_are_finite_or_absent(value: object, found: float | None) -> None:
    assert number(value) == found


def test_json_is_bounded_and_never_a_surprise() -> None:
    assert parsed({"a": '{"b": 1}'}, "a") == {"b": 1}
    assert parsed({"a": "{"}, "a") is None
    assert parsed({"a": "[" * 200_000}, "a") is None
    assert parsed({"a": '"' + "x" * (5 * 1024 * 1024) + '"'}, "a") is None
    assert parsed({}, "a") is None
