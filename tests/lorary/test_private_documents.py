"""No part of the document repeats what is private in the metadata."""

from __future__ import annotations

import json

import pytest

from lorary.anatomy import inspect_bytes
from tests.builders.adapters import DENOISERS, kohya
from tests.lorary.test_privacy import PRIVATE

SD1 = DENOISERS["sd1", "diffusers"]


@pytest.mark.parametrize(("text", "kind", "part"), PRIVATE)
def test_the_whole_document_repeats_nothing_private(text: str, kind: str, part: str) -> None:
    keys = (
        "ss_training_comment", "ss_output_name", "ss_sd_model_name", "ss_optimizer", "ss_vae_name",
        "ss_lr_scheduler", "ss_base_model_version", "ss_new_sd_model_hash", "ss_network_module",
        "modelspec.title", "modelspec.description", "modelspec.author", "modelspec.license",
        "modelspec.usage_hint", "modelspec.trigger_phrase", "modelspec.architecture",
        "modelspec.merged_from", "modelspec.resolution", "modelspec.tags", "trigger_words", "name",
        "ss_tag_frequency", "software", "ss_network_args", "training_info", "ss_resolution", text,
    )  # fmt: skip
    metadata = dict.fromkeys(keys, text)
    metadata["ss_datasets"] = json.dumps(
        [{"tag_frequency": {f"10_{text}": {text: 3}}, "subsets": [{"class_tokens": text}]}]
    )
    metadata["ss_dataset_dirs"] = json.dumps({f"10_{text}": {"img_count": 3, "n_repeats": 10}})
    metadata["lora_adapter_metadata"] = json.dumps({"unet.base_model_name_or_path": text})
    found = inspect_bytes(kohya(SD1, metadata=metadata), name="x.safetensors")
    assert part not in json.dumps(found.to_dict(), ensure_ascii=False)
    assert found.findings, kind


FIELDS = (
    "peft_type", "peft_version", "task_type", "bias", "revision", "base_model_name_or_path",
    "init_lora_weights", "target_modules", "modules_to_save",
)  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "part"), PRIVATE)
def test_a_configuration_gives_nothing_private_away(text: str, kind: str, part: str) -> None:
    fields: dict[str, object] = dict.fromkeys(FIELDS, text)
    fields |= {"target_modules": [text], "modules_to_save": [text]}
    beside = inspect_bytes(kohya(SD1), config=json.dumps({**fields, text: text}).encode())
    inside = {"lora_adapter_metadata": json.dumps({f"unet.{k}": v for k, v in fields.items()})}
    for found in (beside, inspect_bytes(kohya(SD1, metadata=inside))):
        assert part not in json.dumps(found.to_dict(), ensure_ascii=False), kind


def test_half_of_a_character_is_in_no_document() -> None:
    half = "\\ud800"
    metadata = {
        "ss_tag_frequency": f'{{"1_{half}": {{"{half} tag": 3}}}}',
        "ss_datasets": f'[{{"subsets": [{{"class_tokens": "{half} a"}}]}}]',
        "ot_config": f'{{"base_model_name": "{half}", "model_type": "{half}"}}',
        "lora_adapter_metadata": f'{{"{half}.r": 4, "unet.peft_type": "{half}"}}',
        "ss_network_args": f'{{"algo": "{half}", "{half}": "{half}"}}',
        "software": f'{{"name": "{half}", "version": "{half}"}}',
    }
    found = inspect_bytes(kohya(SD1, metadata=metadata))
    assert json.dumps(found.to_dict(), ensure_ascii=False).encode()


@pytest.mark.parametrize(("text", "kind", "part"), PRIVATE)
def test_texts_that_are_cut_give_no_first_half_away(text: str, kind: str, part: str) -> None:
    middle = text.index(part) + len(part)
    padded = dict.fromkeys(
        ("ss_training_comment", "modelspec.title", "modelspec.author", "modelspec.usage_hint"), ""
    )
    for length in (40, 60, 80, 120, 200, 300, 500, 1_000, 2_000):
        for key in padded:
            padded[key] = f"{'word ' * 400}"[: length - middle - 2] + " " + text
        found = inspect_bytes(kohya(SD1, metadata=padded), name="x.safetensors")
        assert part not in json.dumps(found.to_dict(), ensure_ascii=False), (length, kind)


@pytest.mark.parametrize("length", [120, 160, 200, 240, 480, 800, 1_200, 2_000, 8_000])
def test_room_before_a_token_does_not_split_it(length: int) -> None:
    keys = ("ss_training_comment", "modelspec.title", "modelspec.author", "ss_optimizer")
    padded = dict.fromkeys(keys, " " * (length - 12) + "hf_" + "aB3" * 12)
    found = inspect_bytes(kohya(SD1, metadata=padded), name="x.safetensors")
    assert "aB3" not in json.dumps(found.to_dict())
