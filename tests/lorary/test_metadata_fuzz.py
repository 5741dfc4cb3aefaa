"""Whatever stands in the metadata: no crash, plain JSON, bounded answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorary.anatomy.claims.base_models import claims_of
from lorary.anatomy.claims.config import AdapterConfig, ConfigError
from lorary.anatomy.claims.training import description, recommended_strength, title, training_facts
from lorary.anatomy.claims.triggers import common_tags, tag_shares, trigger_words
from lorary.anatomy.modules.adapted import scan
from lorary.anatomy.modules.alphas import read_alphas
from lorary.safetensors import Header, TensorInfo

KEYS = (
    "ss_base_model_version", "modelspec.architecture", "ss_sd_model_name", "ss_network_module",
    "ss_new_sd_model_hash", "ss_sd_model_hash", "ss_datasets", "ss_dataset_dirs",
    "ss_tag_frequency", "ss_network_args", "ss_optimizer", "lycoris_config", "training_info",
    "software", "lora_adapter_metadata", "ss_resolution", "ss_text_encoder_lr", "ss_network_dim",
    "ss_network_alpha", "ss_training_started_at", "modelspec.timestep_range", "trigger_words",
    "modelspec.usage_hint", "modelspec.prediction_type", "ss_training_comment",
    "ot_config", "ss_steps",
)  # fmt: skip
FIELDS = (
    "r", "lora_alpha", "alpha_pattern", "rank_pattern", "target_modules", "exclude_modules",
    "layers_to_transform", "base_model_name_or_path", "trainable_token_indices", "peft_type",
)  # fmt: skip
INNER = (
    "img_count", "n_repeats", "subsets", "class_tokens", "resolution", "tag_frequency", "is_reg",
    "num_repeats", "model_type", "optimizer", "epochs", "unet.r", "unet.alpha_pattern",
    "transformer.target_modules", "name", "step",
)  # fmt: skip

texts = st.text(max_size=60) | st.sampled_from(["None", "True", "1e999", "(", "[1,2", "0x", "/a/b"])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(INNER) | texts, inner, max_size=4)
    ),
    max_leaves=12,
)
metadata = st.dictionaries(
    st.sampled_from(KEYS) | texts, texts | values.map(json.dumps), max_size=12
)


@settings(max_examples=300, deadline=None)
@given(metadata, st.none() | st.dictionaries(st.sampled_from(FIELDS), values), texts)
def test_no_metadata_makes_anything_fail(
    found: dict[str, str], fields: dict[str, object] | None, name: str
) -> None:
    config = None if fields is None else AdapterConfig.of(fields)
    claims = claims_of(found, config, name)
    assert (claims.lineage is None) == (not claims.lineages)
    facts = training_facts(found, config, name)
    json.dumps(facts, allow_nan=False)
    tags = tag_shares(found)
    words = trigger_words(found, tags)
    assert len(words) <= 10
    assert all(0 < tag.share <= 1 for tag in common_tags(tags, words))
    assert recommended_strength(found) is None or abs(recommended_strength(found) or 0) <= 10
    assert len((title(found) or "") + (description(found) or "")) < 3_000
    tensors = {f"unet.a.{part}": TensorInfo("F32", (2, 2), 0, 16) for part in ("lora_A", "lora_B")}
    alphas = read_alphas(scan(Header(tensors, found, 0, 24)).modules, found, config)
    assert alphas.values_read == 0


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=60)
    | st.dictionaries(st.sampled_from(FIELDS), values).map(
        lambda fields: json.dumps(fields).encode()
    )
)
def test_bytes_are_a_configuration_or_the_one_error(raw: bytes) -> None:
    try:
        config = AdapterConfig.parse(raw)
    except ConfigError:
        return
    json.dumps(config.to_dict())


@pytest.mark.parametrize(
    "letter", ["a", "1", "_", "-", "(", "[", "/", "@", "\\", "=", ".", " ", "<lora:"]
)
def test_long_values_take_no_long_time(letter: str) -> None:
    long = letter * (1_000_000 // len(letter))
    found = dict.fromkeys(KEYS, long)
    claims_of(found, AdapterConfig.of(dict.fromkeys(FIELDS, long)), long)
    training_facts(found, None, long)
    trigger_words(found)
    title({"ss_output_name": long})
    description({"modelspec.description": long})
