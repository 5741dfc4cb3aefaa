"""Facts, titles and numbers of the metadata."""

from __future__ import annotations

import json

import pytest

from lorary.anatomy.claims.config import AdapterConfig
from lorary.anatomy.claims.training import description, recommended_strength, title, training_facts


def test_facts_are_numbers_texts_and_times() -> None:
    facts = training_facts(
        {
            "ss_steps": "444",
            "ss_max_train_steps": "740",
            "ss_learning_rate": "1e-4",
            "ss_text_encoder_lr": "[5e-05, 5e-05]",
            "ss_noise_offset": "None",
            "ss_caption_dropout_rate": "0.0",
            "ss_sd_model_name": "C:\\models\\290640.safetensors",
            "ss_training_started_at": "1726066908.25",
            "ss_training_finished_at": "1726066968.5",
            "ss_sd_scripts_commit_hash": "f9317052edb4ab3b3c531ac3b28825ee78b4a966",
            "ss_full_fp16": "False",
            "ss_fp8_base": "True",
            "ss_training_comment": "  none  ",
        }
    )
    assert facts == {
        "trainer": "sd-scripts",
        "base_model": "290640.safetensors",
        "steps": 444,
        "max_steps": 740,
        "learning_rate": 0.0001,
        "text_encoder_learning_rate": 5e-05,
        "commit": "f9317052edb4ab3b3c531ac3b28825ee78b4a966",
        "caption_dropout": 0,
        "fp8_base": True,
        "started_at": "2024-09-11T15:01:48+00:00",
        "finished_at": "2024-09-11T15:02:48+00:00",
        "duration_s": 60,
    }


def test_a_training_that_ends_before_it_starts_has_no_duration() -> None:
    clocks = {"ss_training_started_at": "2000000000", "ss_training_finished_at": "1000000000"}
    assert sorted(training_facts(clocks)) == ["finished_at", "started_at"]


def test_what_was_planned_is_shown_only_where_it_differs() -> None:
    assert training_facts({"ss_max_train_steps": "740", "ss_num_epochs": "10"}) == {
        "steps": 740,
        "epochs": 10,
    }


@pytest.mark.parametrize("moment", ["0", "-1", "1e40", "nan", "soon"])
def test_clocks_that_cannot_be_right_are_left_out(moment: str) -> None:
    assert training_facts({"ss_training_started_at": moment}) == {}


@pytest.mark.parametrize(
    ("metadata", "trainer"),
    [
        ({"software": '{"name": "ai-toolkit"}'}, "ai-toolkit"),
        ({"software": '{"name": 3}'}, None),
        ({"ot_branch": "master"}, "OneTrainer"),
        ({"ot_config": "{}"}, "OneTrainer"),
        ({"lycoris_config": "{}"}, "SimpleTuner"),
        ({"lora_adapter_metadata": "{}"}, "diffusers"),
        ({"lora_adapter_metadata": "{}", "format": "pt"}, "diffusers"),
        # Several programs write both, so that these are no proof of one.
        ({"lora_adapter_metadata": "{}", "modelspec.title": "x"}, None),
        ({"lora_adapter_metadata": "{}", "ss_network_module": "networks.lora"}, "sd-scripts"),
        ({"ss_network_module": "networks.lora"}, "sd-scripts"),
        ({"ss_network_module": "lycoris.kohya"}, "sd-scripts"),
        ({"ss_network_module": "network.lora"}, "traintrain"),
        ({"ss_network_module": "networks.lora_wan"}, "musubi-tuner"),
        ({"ss_network_module": "networks.lora", "ss_datasets": '[{"video_directory": "a"}]'},
         "musubi-tuner"),
        ({"ss_network_module": "networks.lora_flux", "ss_base_model_version": "flux_kontext"},
         "musubi-tuner"),
        ({"ss_network_module": "networks.lora_flux"}, "sd-scripts"),
        ({"ss_tag_frequency": "{}"}, "sd-scripts"),
        ({"ss_network_module": "lora"}, None),
        ({"format": "pt"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_trainers_are_told_by_their_marks(metadata: dict[str, str], trainer: str | None) -> None:
    assert training_facts(metadata).get("trainer") == trainer


@pytest.mark.parametrize(
    ("metadata", "resolution"),
    [
        ({"ss_resolution": "(1024, 768)"}, [1024, 768]),
        ({"ss_resolution": "1024,768"}, [1024, 768]),
        ({"modelspec.resolution": "1024x1024"}, [1024, 1024]),
        ({"ss_resolution": "[512, 512]"}, [512, 512]),
        ({"ss_resolution": "512"}, [512, 512]),
        ({"ss_datasets": '[{"resolution": [768, 512]}]'}, [768, 512]),
        ({"ss_datasets": '[{"resolution": "(768, 512)"}]'}, [768, 512]),
        ({"ss_datasets": '[{"resolution": 640}]'}, [640, 640]),
        # musubi-tuner guesses the second
        ({"ss_datasets": '[{"resolution": 640}]', "modelspec.resolution": "1280x720"}, [640, 640]),
        ({"ss_datasets": "[3]"}, None),
        ({"ss_datasets": "{}"}, None),
        ({"ss_resolution": "99999,99999"}, None),
        ({"ss_resolution": "None"}, None),
        ({}, None),
    ],
)
def test_resolutions_are_read_in_every_spelling(
    metadata: dict[str, str], resolution: list[int] | None
) -> None:
    assert training_facts(metadata).get("resolution") == resolution


def test_training_sets_tell_pictures_repeats_and_batches() -> None:
    directories = {"a": {"n_repeats": 2, "img_count": "10"}, "b": {"n_repeats": 5, "img_count": 4}}
    subsets = [
        {"img_count": 7, "num_repeats": 3, "shuffle_caption": True, "keep_tokens": 1},
        {"img_count": 90, "num_repeats": 1, "is_reg": True},
    ]
    datasets = [{"batch_size_per_device": 5, "subsets": subsets, "resolution": [512, 512]}]
    both = {"ss_dataset_dirs": json.dumps(directories), "ss_datasets": json.dumps(datasets)}
    facts = training_facts(both)
    assert (facts["images"], facts["repeats"], facts["batch_size"]) == (14, "2, 5", 5)
    assert (facts["shuffle_caption"], facts["keep_tokens"]) == (True, 1)
    alone = training_facts({"ss_datasets": both["ss_datasets"], "ss_total_batch_size": "20"})
    assert (alone["images"], alone["repeats"]) == (7, 3)
    assert (alone["batch_size"], alone.get("total_batch_size")) == (20, None)
    several = [{"resolution": 512, "num_repeats": 2}, {"resolution": 768}, {"resolution": 768}]
    mixed = training_facts({"ss_datasets": json.dumps(several)})
    assert mixed == {"repeats": 2, "resolution": [768, 768], "resolutions": "512x512, 768x768"}


@pytest.mark.parametrize(
    ("optimizer", "name", "arguments"),
    [
        ("adamw", "adamw", None),
        ("prodigyopt.prodigy.Prodigy(decouple=True,weight_decay=0.5,betas=(0.9, 0.99))",
         "prodigyopt.prodigy.Prodigy",
         {"decouple": True, "weight_decay": 0.5, "betas": "(0.9, 0.99)"}),
        ("AdamW(weight_decay=None, x=[1,2])", "AdamW", {"x": "[1,2]"}),
        ("A(((((", "A", None),
        ("None", None, None),
    ],
)  # fmt: skip
def test_an_optimizer_has_a_name_and_arguments(
    optimizer: str, name: str | None, arguments: dict[str, object] | None
) -> None:
    facts = training_facts({"ss_optimizer": optimizer})
    assert (facts.get("optimizer"), facts.get("optimizer_args")) == (name, arguments)


def test_arguments_and_progress_are_read_from_json() -> None:
    arguments: dict[str, object] = {
        "algo": "loha",
        "conv_dim": "8",
        "dora_wd": "True",
        "preset": None,
        "deep": {},
    }
    facts = training_facts(
        {"ss_network_args": json.dumps(arguments), "training_info": '{"step": 290, "epoch": 0}'}
    )
    assert facts == {
        "network_args": {"algo": "loha", "conv_dim": 8, "dora_wd": True},
        "steps": 290,
        "epochs": 0,
    }
    assert training_facts({"ss_network_args": "null", "training_info": "[]"}) == {}
    settings = {"algo": "lokr", "linear_dim": 16, "linear_alpha": 8, "factor": 16}
    facts = training_facts({"lycoris_config": json.dumps(settings)})
    assert (facts["network_dim"], facts["network_alpha"]) == (16, 8)
    assert facts["network_args"] == settings


@pytest.mark.parametrize(
    ("metadata", "prediction"),
    [
        ({"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ({"modelspec.prediction_type": "v_prediction"}, "v"),
        ({"modelspec.prediction_type": "eps"}, "epsilon"),
        ({"ss_v_parameterization": "True"}, "v"),
        ({"ss_v_parameterization": "False"}, None),
        ({"ss_base_model_version": "sd_v2_v"}, "v"),
        ({"ss_zero_terminal_snr": "True"}, None),
    ],
)
def test_the_prediction_type_has_one_word(metadata: dict[str, str], prediction: str | None) -> None:
    facts = training_facts(metadata)
    assert facts.get("prediction_type") == prediction
    assert facts.get("zero_terminal_snr", False) == ("ss_zero_terminal_snr" in metadata)


@pytest.mark.parametrize(
    ("metadata", "name", "expert"),
    [
        ({"ss_base_model_version": "wan_2.2_14b", "modelspec.timestep_range": "875,1000"}, "",
         "high_noise"),
        ({"ss_base_model_version": "wan", "modelspec.timestep_range": "0-0.9"}, "", "low_noise"),
        ({"ss_base_model_version": "wan", "modelspec.timestep_range": "0,1000"}, "", None),
        ({"ss_base_model_version": "wan", "name": "me_high_noise"}, "", "high_noise"),
        ({}, "Wan2.2-T2V-LowNoise.safetensors", "low_noise"),
        ({}, "wan_high_noise_and_low_noise", None),
        ({"ss_base_model_version": "sdxl"}, "low_noise.safetensors", None),
        ({}, "", None),
    ],
)  # fmt: skip
def test_the_expert_of_wan_is_told_by_timesteps_or_names(
    metadata: dict[str, str], name: str, expert: str | None
) -> None:
    assert training_facts(metadata, None, name).get("expert") == expert


def test_a_configuration_tells_facts_too() -> None:
    fields = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": ["q", "v"]}
    fields |= {"base_model_name_or_path": "/home/me/base", "use_rslora": True, "bias": "none"}
    facts = {
        "method": "LORA",
        "base_model": "base",
        "network_dim": 16,
        "network_alpha": 32,
        "target_modules": "q, v",
        "rslora": True,
    }
    assert training_facts({}, AdapterConfig.of(fields)) == {"trainer": "peft"} | facts
    inside = {f"unet.{key}": value for key, value in fields.items()}
    embedded = {"lora_adapter_metadata": json.dumps(inside)}
    assert training_facts(embedded) == {"trainer": "diffusers"} | facts
    many = AdapterConfig.of({"target_modules": [f"m{number}" for number in range(100)]})
    assert str(training_facts({}, many)["target_modules"]).endswith("m39 and 60 more")


def test_the_configuration_of_onetrainer_tells_facts_and_no_names() -> None:
    settings = {
        "model_type": "STABLE_DIFFUSION_XL_10_BASE",
        "base_model_name": "C:/Users/me/ponyDiffusionV6XL.safetensors",
        "concepts": [{"name": "secret", "path": "/home/me/secret"}],
        "epochs": 20,
        "batch_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 0.0003,
        "learning_rate_scheduler": "COSINE",
        "optimizer": {"optimizer": "ADAMW_8BIT", "weight_decay": 0.01},
        "resolution": "1024",
        "lora_rank": 16,
        "lora_alpha": 8.0,
        "lora_decompose": True,
        "peft_type": "LORA",
        "loss_weight_fn": "MIN_SNR_GAMMA",
        "loss_weight_strength": 5.0,
        "unet": {"learning_rate": None},
        "text_encoder": {"learning_rate": 1e-05},
    }
    facts = training_facts({"ot_config": json.dumps(settings)})
    assert facts == {
        "trainer": "OneTrainer",
        "method": "LORA",
        "base_model": "ponyDiffusionV6XL.safetensors",
        "epochs": 20,
        "resolution": [1024, 1024],
        "batch_size": 4,
        "gradient_accumulation": 2,
        "learning_rate": 0.0003,
        "text_encoder_learning_rate": 1e-05,
        "optimizer": "ADAMW_8BIT",
        "scheduler": "COSINE",
        "network_dim": 16,
        "network_alpha": 8,
        "dora": True,
        "min_snr_gamma": 5,
    }
    several = {"ot_config": json.dumps({"resolution": "512,768", "optimizer": "SGD"})}
    assert training_facts(several) == {
        "trainer": "OneTrainer",
        "optimizer": "SGD",
        "resolutions": "512x512, 768x768",
    }
    assert training_facts({"ot_config": "["}) == {"trainer": "OneTrainer"}


def test_arguments_are_plain_and_not_too_many() -> None:
    many = {f"a{number}": number for number in range(100)} | {"": 1}
    facts = training_facts({"ss_network_args": json.dumps(many)})
    assert len(str(facts["network_args"]).split(",")) == 32
    plain = {"x": True, "y": 2, "hf_token": "geheimnis"}
    facts = training_facts({"ss_network_args": json.dumps(plain)})
    assert facts["network_args"] == {"x": True, "y": 2, "hf_token": "[removed]"}


def test_a_declared_rank_may_be_a_word() -> None:
    assert training_facts({"ss_network_dim": "Dynamic"}) == {"network_dim": "Dynamic"}
    assert training_facts({"ss_network_dim": "None", "ss_network_alpha": "1.0"}) == {
        "network_alpha": 1
    }


@pytest.mark.parametrize("digest", ["IsADirectory", "e3b0c442", "d62fc392ecb143cfb947b2a801609e8f"])
def test_placeholders_are_no_hashes(digest: str) -> None:
    assert training_facts({"ss_new_sd_model_hash": digest}) == {}
    assert training_facts({"ss_sd_model_hash": "0xE577480D"}) == {"base_model_hash": "e577480d"}


TOKEN = "hf_" + "Ab1" * 12


def test_nothing_private_is_repeated() -> None:
    comment = f"by me@example.org with {TOKEN} in /home/me/train/set and C:\\Users\\me\\x.txt"
    arguments = json.dumps({"path": "/home/me/preset.toml", TOKEN: 1, "key": TOKEN})
    facts = training_facts(
        {
            "ss_training_comment": comment,
            "ss_network_args": arguments,
            "ss_optimizer": f"A(x='/home/me/y',token={TOKEN})",
            "ss_output_name": "/home/me/out/noir",
            "ss_sd_model_name": "/home/me/base.safetensors",
            "ss_vae_name": "\\\\server\\me\\vae.pt",
        }
    )
    text = repr((facts, title({"ss_output_name": comment}), description({"x": "y"})))
    for private in ("example.org", TOKEN, "/home", "Users", "server"):
        assert private not in text
    assert facts["output_name"] == "noir"
    assert facts["comment"] == ("by [e-mail] with [removed] in …/set and …/x.txt")


def test_titles_come_from_the_author_before_the_trainer() -> None:
    assert title({"modelspec.title": "Noir", "ss_output_name": "noir_v2"}) == "Noir"
    assert title({"ss_output_name": "noir_v2"}) == "noir_v2"
    assert title({}) is None
    assert (
        description({"modelspec.description": "Films\n\tof the forties"}) == "Films of the forties"
    )


@pytest.mark.parametrize(
    ("key", "value", "strength"),
    [
        ("modelspec.lora_default_weight", "0.8", 0.8),
        ("lora_default_weight", "-1", -1.0),
        ("modelspec.lora_default_weight", "99", None),
        ("modelspec.lora_default_weight", "a lot", None),
        ("modelspec.usage_hint", "Use at strength 0.6-0.8", 0.7),
        ("modelspec.usage_hint", "weight: 0.75, cfg 7", 0.75),
        ("modelspec.usage_hint", "Recommended strength is between 0.5 and 1", 0.75),
        ("modelspec.usage_hint", "0.6 to 0.9 strength works", 0.75),
        ("modelspec.usage_hint", "<lora:noir_v2:0.65> noir", 0.65),
        ("modelspec.usage_hint", "Best weight around .8", 0.8),
        ("modelspec.description", "strength 1.0", 1.0),
        ("modelspec.usage_hint", "weight 80kg, version 1.5", None),
        ("modelspec.usage_hint", "strength 0", None),
        ("modelspec.usage_hint", "it has strength", None),
        ("ss_weight_decay", "0.5", None),
    ],
)
def test_strengths_are_sensible_or_absent(key: str, value: str, strength: float | None) -> None:
    assert recommended_strength({key: value}) == strength


def test_a_range_of_strengths_is_a_fact() -> None:
    hint = {"modelspec.usage_hint": "strength 0.6-0.8"}
    assert training_facts(hint) == {"strength": "0.6 to 0.8"}
