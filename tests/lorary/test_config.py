"""PEFT's configuration: the file beside the weights, and the copy inside a header."""

from __future__ import annotations

import json

import pytest

from lorary.anatomy.claims.config import (
    MOST_CONFIG_BYTES,
    AdapterConfig,
    ConfigError,
    Patterns,
    compile_safe,
    embedded_configs,
)


def test_every_field_is_read() -> None:
    config = AdapterConfig.parse(
        json.dumps(
            {
                "peft_type": "LORA",
                "base_model_name_or_path": "meta-llama/Llama-3.2-3B",
                "revision": "main",
                "task_type": "CAUSAL_LM",
                "r": 16,
                "lora_alpha": 32,
                "rank_pattern": {"q_proj": 4},
                "alpha_pattern": {"layers.0.q_proj": 8},
                "target_modules": ["q_proj", "v_proj"],
                "exclude_modules": "lm_head",
                "layers_to_transform": 3,
                "modules_to_save": ["score"],
                "target_parameters": ["experts.w1"],
                "use_rslora": True,
                "use_dora": True,
                "bias": "lora_only",
                "lora_bias": True,
                "fan_in_fan_out": True,
                "init_lora_weights": "pissa",
                "trainable_token_indices": {"embed_tokens": [1, 2]},
                "alora_invocation_tokens": [5],
                "peft_version": "0.21.2",
            }
        ).encode()
    )
    assert config.to_dict() == {
        "peft_type": "LORA",
        "base_model_name_or_path": "meta-llama/Llama-3.2-3B",
        "revision": "main",
        "task_type": "CAUSAL_LM",
        "r": 16,
        "lora_alpha": 32.0,
        "rank_pattern": {"q_proj": 4.0},
        "alpha_pattern": {"layers.0.q_proj": 8.0},
        "target_modules": ["q_proj", "v_proj"],
        "exclude_modules": "lm_head",
        "layers_to_transform": [3],
        "modules_to_save": ["score"],
        "target_parameters": ["experts.w1"],
        "use_rslora": True,
        "use_dora": True,
        "bias": "lora_only",
        "lora_bias": True,
        "fan_in_fan_out": True,
        "init_lora_weights": "pissa",
        "trainable_token_indices": [1, 2],
        "alora_invocation_tokens": [5],
        "peft_version": "0.21.2",
    }


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff{}", "not UTF-8"),
        (b"{}", "not a configuration of PEFT"),
        (b'{"model_type": "llama"}', "not a configuration of PEFT"),
        (b'{"r": 1, "r": 2}', "twice"),
        (b'{"r": NaN}', "NaN"),
        (b'{"r": 1, "x": ' + b"[" * 100_000, "nested|not valid JSON"),
        (b'{"r": 1,}', "not valid JSON"),
        (b" " * (MOST_CONFIG_BYTES + 1), "larger than"),
    ],
    ids=range(10),
)
def test_what_is_no_configuration_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AdapterConfig.parse(raw)


@pytest.mark.parametrize(
    "value", [None, [], {}, "text", True, -1, 1.5, 10**400, [[1]], {"a": [{}]}, "\u202e\x00"]
)
def test_fields_of_a_wrong_type_count_as_absent(value: object) -> None:
    names = list(AdapterConfig.__slots__)
    config = AdapterConfig.parse(json.dumps(dict.fromkeys(names, value) | {"r": 4}).encode())
    assert config.r == 4
    assert isinstance(config.to_dict(), dict)
    assert config.alpha_of("a.b") is None or isinstance(config.alpha_of("a.b"), float)


@pytest.mark.parametrize(
    ("base", "shown", "is_local"),
    [
        ("gpt2", "gpt2", False),
        ("owner/name", "owner/name", False),
        ("https://huggingface.co/owner/name", "owner/name", False),
        ("/home/me/models/base", "base", True),
        ("~/models/base", "base", True),
        ("./out/base", "base", True),
        ("C:\\Users\\me\\base", "base", True),
        ("\\\\server\\share\\base", "base", True),
        ("file:///srv/models/base", "base", True),
        ("models/base.safetensors", "base.safetensors", True),
        ("/", None, True),
    ],
)
def test_paths_of_a_computer_are_cut_to_their_last_part(
    base: str, shown: str | None, is_local: bool
) -> None:
    config = AdapterConfig.of({"base_model_name_or_path": base})
    assert config.base_model_name_or_path == shown
    assert config.is_local == is_local


def test_the_alpha_of_loha_and_lokr_has_another_name() -> None:
    assert AdapterConfig.of({"alpha": 64}).declared_alpha == 64
    assert AdapterConfig.of({"alpha": 64, "lora_alpha": 0}).declared_alpha == 0
    assert AdapterConfig.of({"lora_alpha": "8"}).declared_alpha is None


def test_patterns_give_single_modules_their_own_numbers() -> None:
    config = AdapterConfig.of(
        {
            "r": 8,
            "lora_alpha": 16,
            "rank_pattern": {"layers.0.q_proj": 4, "^model.head": 2},
            "alpha_pattern": {r"layers\.(1|2)\..*": 32, "v_proj": 64, "layers.1.v_proj": 7},
        }
    )
    ranks = config.rank_pattern
    assert (ranks.find("model.layers.0.q_proj"), ranks.find("model.layers.10.q_proj")) == (4, None)
    assert (ranks.find("model.head"), ranks.find("a.model.head")) == (2, None)
    assert config.alpha_of("model.layers.1.v_proj") == 32  # the first that fits
    assert config.alpha_of("model.layers.3.v_proj") == 64
    assert config.alpha_of("model.layers.3.my_v_proj") == 16


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$", r"(.*a){20}", r"(?=a)b", r"(a|a)(a|a)(a|a)b", "a?a?a?b", ".*a.*b.*c", "a**", "(",
        r"\1", "[", "x" * 501,
    ],
)  # fmt: skip
def test_expressions_that_could_run_away_are_not_tried(pattern: str) -> None:
    assert compile_safe(pattern) is None
    assert not Patterns.of({pattern: 3}) or pattern.startswith("x")


@pytest.mark.parametrize("pattern", [r".*\.to_(q|k|v)", r"layers\.\d+\.q", "a.c", r"[ab]\.x.*"])
def test_plain_expressions_are_tried(pattern: str) -> None:
    assert compile_safe(pattern) is not None


def test_few_expressions_and_short_names_are_tried() -> None:
    many = Patterns.of({f"a.*{number}": number for number in range(100)})
    assert len(many.expressions) == 8
    assert many.find("a.x.7") == 7
    assert many.find("a." + "x" * 300 + "7") is None


def test_what_is_no_number_is_no_pattern() -> None:
    assert not Patterns.of({"a": "3", "b": None, "c": True, "d": [1]})
    assert not Patterns.of(["a"])
    assert Patterns.of({"a": 3, r"b\.c$": 4}).to_dict() == {"a": 3.0, "b.c": 4.0}
    assert Patterns.of({"^a.*b": 1}).find("a.x.b") == 1


def test_a_header_holds_the_configurations_of_all_components() -> None:
    fields = {
        "text_encoder.r": 4,
        "text_encoder.lora_alpha": 8,
        "unet.r": 16,
        "unet.peft_type": "PeftType.LORA",
        "unet.rank_pattern": {"to_q": 2},
    }
    first, second = embedded_configs({"lora_adapter_metadata": json.dumps(fields)})
    assert (first.component, first.r, first.peft_type) == ("unet", 16, "LORA")
    assert first.rank_pattern.find("down.to_q") == 2
    assert (second.component, second.r, second.lora_alpha) == ("text_encoder", 4, 8)


@pytest.mark.parametrize("value", ["", "[]", "3", "{", '{"": 1}', '{"a.b.c": null}'])
def test_odd_copies_in_a_header_are_no_trouble(value: str) -> None:
    assert all(entry.r is None for entry in embedded_configs({"lora_adapter_metadata": value}))


def test_no_more_than_a_few_components_are_read() -> None:
    many = {f"part{number}.r": 1 for number in range(10_000)}
    assert len(embedded_configs({"lora_adapter_metadata": json.dumps(many)})) == 16
