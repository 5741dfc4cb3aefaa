"""One function: files in, anatomy and findings out."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lorary.anatomy as package
from lorary.anatomy import (
    ALGORITHM_TITLES,
    Inspection,
    analyse,
    finding_codes,
    inspect_bytes,
    inspect_file,
)
from lorary.anatomy.findings.finding import ANATOMY_CODES
from lorary.anatomy.keys.tensor_names import SUFFIXES
from lorary.safetensors import Limits, parse_header
from lorary.safetensors.errors import HEADER_CODES
from tests.builders.adapters import DENOISERS, TEXT_ENCODERS, diffusers, kohya, peft
from tests.builders.malformed import ATTACKS, FEW
from tests.builders.weights import safetensors

SD1 = DENOISERS["sd1", "diffusers"]
Q = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
DOCS = Path(__file__).resolve().parents[2] / "docs" / "findings.md"
Rows = dict[str, tuple[str, tuple[int, ...]]]


def _codes(found: Inspection) -> list[str]:
    return [finding.code for finding in found.findings]


def _rows(**suffixes: tuple[str, tuple[int, ...]]) -> Rows:
    return {f"{Q}.{name.replace('__', '.')}": row for name, row in suffixes.items()}


@pytest.mark.parametrize("attack", FEW)
def test_a_refused_header_is_a_finding_with_its_code(attack: str) -> None:
    data, code = ATTACKS[attack]
    found = inspect_bytes(data, name="x.safetensors")
    assert found.refused
    assert found.anatomy is None
    assert found.header is None
    assert _codes(found) == [code]
    assert found.refusal is not None
    assert found.to_dict()["error"] == {
        "code": code,
        "message": found.findings[0].message,
        "at": found.findings[0].evidence.get("offset"),
    }


def test_bytes_files_and_paths_agree(tmp_path: Path) -> None:
    data = kohya(SD1, encoders={"lora_te": TEXT_ENCODERS["clip_l"]}, alpha=2.0)
    path = tmp_path / "noir.safetensors"
    path.write_bytes(data)
    found = inspect_bytes(data, name="noir.safetensors")
    assert inspect_file(path) == found
    assert inspect_file(str(path)) == found
    assert inspect_file(io.BytesIO(data), name="noir.safetensors") == found
    assert not found.refused
    assert found.findings == ()


def test_alphas_are_read_when_they_are_at_hand() -> None:
    data = kohya(SD1, alpha=2.0, metadata={"ss_network_alpha": "4", "ss_network_dim": "8"})
    whole = inspect_bytes(data)
    assert whole.anatomy is not None
    assert (whole.anatomy.alpha, whole.anatomy.alphas_read) == (2.0, 7)
    assert _codes(whole) == ["rank_differs", "alpha_differs"]
    header = parse_header(data)
    first = inspect_bytes(data[: header.data_start], size=len(data))
    assert first.anatomy is not None
    assert (first.anatomy.alpha, first.anatomy.alphas_read) == (4.0, 0)
    assert analyse(header).anatomy == first.anatomy


@pytest.mark.parametrize(
    ("metadata", "alpha"),
    [
        ({"lora_adapter_metadata": '{"unet.r": 8, "unet.lora_alpha": 16}'}, 16.0),
        ({"lora_adapter_metadata": '{"unet.r": 8}'}, None),
        ({"lora_adapter_metadata": "[]"}, None),
        ({"ss_network_alpha": "Dynamic"}, None),
    ],
)
def test_alphas_without_tensors_are_declared_or_absent(
    metadata: dict[str, str], alpha: float | None
) -> None:
    anatomy = inspect_bytes(diffusers(SD1, metadata=metadata)).anatomy
    assert anatomy is not None
    assert (anatomy.alpha, anatomy.alphas_read) == (alpha, 0)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf"), 5_000.0])
def test_alphas_that_cannot_be_meant_are_warned_about(alpha: float) -> None:
    found = inspect_bytes(kohya(SD1, alpha=alpha, dtype="F32"))
    assert _codes(found) == ["alpha_invalid"]
    assert found.findings[0].evidence["count"] == 7


def test_the_alpha_of_oft_is_no_scale() -> None:
    rows = _rows(oft_blocks=("F32", (4, 160, 160)), alpha=("F32", ()))
    found = inspect_bytes(safetensors(rows, values={f"{Q}.alpha": 0.0}))
    assert "alpha_invalid" not in _codes(found)
    below = inspect_bytes(safetensors(rows, values={f"{Q}.alpha": -1.0}))
    assert "alpha_invalid" in _codes(below)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (_rows(lora_A__weight=("F16", (4, 640))), "pair_incomplete"),
        (_rows(alpha=("F16", ())), "not_an_adapter"),
        (_rows(hada_w1_a=("F16", (640, 4)), hada_w1_b=("F16", (4, 640))), "pair_incomplete"),
        (
            _rows(lora_A__weight=("F16", (4, 640)), lora_B__weight=("F16", (640, 8))),
            "rank_mismatch",
        ),
        (
            _rows(lora_A__weight=("F16", (0, 640)), lora_B__weight=("F16", (640, 0))),
            "tensor_empty",
        ),
        (
            _rows(lora_A__weight=("I8", (4, 640)), lora_B__weight=("I8", (640, 4))),
            "tensor_not_float",
        ),
    ],
)
def test_adapters_that_no_loader_could_use_are_refused(rows: Rows, code: str) -> None:
    found = inspect_bytes(safetensors(rows))
    assert found.refused
    assert _codes(found)[0] == code


def test_an_alpha_beside_nothing_is_named() -> None:
    rows = {f"{Q}2.alpha": ("F16", ())} | _rows(
        lora_A__weight=("F16", (4, 640)), lora_B__weight=("F16", (640, 4))
    )
    assert "alpha_orphan" in _codes(inspect_bytes(safetensors(rows)))


def test_strange_tensors_are_named_and_full_weights_warned_about() -> None:
    pair = _rows(lora_A__weight=("F16", (4, 640)), lora_B__weight=("F16", (640, 4)))
    small = inspect_bytes(safetensors({**pair, "emb": ("F16", (3,))}))
    assert _codes(small)[0] == "unknown_keys" or "unknown_keys" in _codes(small)
    large = inspect_bytes(safetensors({**pair, "head.weight": ("F16", (900, 900))}))
    assert "full_weights" in _codes(large)
    assert "unknown_keys" not in _codes(large)
    both = inspect_bytes(
        safetensors({**pair, "head.weight": ("F16", (900, 900)), "x": ("F16", (3,))})
    )
    assert {"full_weights", "unknown_keys"} <= set(_codes(both))


def test_a_file_that_is_no_adapter_is_refused_by_what_it_is() -> None:
    found = inspect_bytes(
        safetensors({"control_model.zero_convs.0.0.weight": ("F16", (4, 4, 1, 1))}),
        name="/tmp/anna/thing\x1b.safetensors",
    )
    assert found.refused
    assert found.anatomy is not None
    assert (found.anatomy.kind, found.anatomy.modules) == ("controlnet", 0)
    assert found.findings[0].evidence == {"kind": "controlnet"}
    assert found.findings[0].message == (
        "“thing\ufffd.safetensors” is a ControlNet, not a LoRA adapter."
    )


def test_without_a_name_the_message_says_this() -> None:
    found = inspect_bytes(safetensors({}))
    assert found.findings[0].message.startswith("This is not a LoRA adapter or another ")


def test_errors_come_first() -> None:
    rows = {f"{Q}.lora_A.weight": ("F16", (4, 640))}
    found = inspect_bytes(safetensors(rows, {"a": "/home/anna/x"}))
    severities = [finding.severity for finding in found.findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)


CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 12, "target_modules": ["to_q"]}


def _config(**fields: object) -> bytes:
    return json.dumps({**CONFIG, **fields}).encode()


@pytest.mark.parametrize(
    ("name", "beside", "is_read"),
    [
        ("adapter_model.safetensors", ["other.safetensors"], True),
        ("noir.safetensors", ["notes.txt"], True),
        ("noir.safetensors", ["other.SAFETENSORS"], False),
    ],
)
def test_a_configuration_beside_the_file_is_read_when_it_can_only_be_its_own(
    tmp_path: Path, name: str, beside: list[str], is_read: bool
) -> None:
    (tmp_path / name).write_bytes(peft(SD1))
    (tmp_path / "adapter_config.json").write_bytes(_config(use_rslora=True))
    for other in beside:
        (tmp_path / other).touch()
    anatomy = inspect_file(tmp_path / name).anatomy
    assert anatomy is not None
    assert anatomy.alpha == (12.0 if is_read else None)
    assert anatomy.algorithm == ("rslora" if is_read else "lora")


@pytest.mark.parametrize(
    "config",
    [b"", b"{", b"[]", b"{}", b'{"r":1,"r":2}', b"\xff", b"[" * 99_999, b" " * 2**20 + b"{}"],
)
def test_a_configuration_that_cannot_be_read_is_named(config: bytes, tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(peft(SD1))
    (tmp_path / "adapter_config.json").write_bytes(config)
    found = inspect_file(tmp_path / "adapter_model.safetensors")
    assert "config_unreadable" in _codes(found)
    assert not found.refused
    assert inspect_bytes(peft(SD1), config=config).findings == found.findings


def test_a_configuration_that_is_no_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(peft(SD1))
    os.mkfifo(tmp_path / "adapter_config.json")
    assert "config_unreadable" not in _codes(inspect_file(tmp_path / "adapter_model.safetensors"))


def test_a_configuration_of_other_weights_is_a_conflict() -> None:
    found = inspect_bytes(peft(SD1), config=_config(r=64))
    assert "config_conflict" in _codes(found)
    assert found.anatomy is not None
    assert found.anatomy.rank == 4


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(OSError, match="Not a regular file"):
        inspect_file(tmp_path / "a.safetensors")
    with pytest.raises(IsADirectoryError):
        inspect_file(tmp_path)


def test_limits_reach_the_header() -> None:
    assert _codes(inspect_bytes(kohya(SD1), limits=Limits(tensors=2))) == ["too_many_tensors"]


def test_every_algorithm_has_a_title() -> None:
    shown = {role.algorithm for role in SUFFIXES.values() if role.algorithm}
    assert shown | {"locon", "dylora", "boft"} <= set(ALGORITHM_TITLES)


def test_codes_are_unique_and_documented() -> None:
    assert set(HEADER_CODES).isdisjoint(ANATOMY_CODES)
    assert finding_codes() == set(HEADER_CODES) | set(ANATOMY_CODES)
    text = DOCS.read_text("utf-8")
    documented = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert finding_codes() <= set(documented)


def test_the_public_names_are_there_and_sorted() -> None:
    assert all(hasattr(package, name) for name in package.__all__)


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"(lora_unet_|unet\.)?[a-z_]{1,12}(\.[a-z0-9_]{1,9}){0,3}", fullmatch=True)
        .flatmap(
            lambda stem: st.sampled_from(
                ["", ".alpha", ".lora_down.weight", ".lora_up.weight", ".lokr_w1", ".dora_scale",
                 ".hada_w1_a", ".hada_w1_b", ".on_input", ".weight", ".diff", ".oft_blocks"]
            ).map(lambda suffix: stem + suffix)
        ),
        st.tuples(
            st.sampled_from(["F16", "BF16", "I64", "F32"]),
            st.lists(st.integers(0, 4), max_size=5).map(tuple),
        ),
        max_size=8,
    ),
    st.dictionaries(
        st.sampled_from(["ss_tag_frequency", "ss_datasets", "ss_network_args", "software",
                         "training_info", "ss_resolution", "ss_dataset_dirs", "ss_steps"]),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["subsets", "class_tokens", "img", "1_a b", "img_count", "name"]),
                inner, max_size=3,
            ),
        ).map(json.dumps) | st.text(max_size=12),
        max_size=5,
    ),
)  # fmt: skip
def test_whatever_a_file_holds_is_inspected_without_surprise(
    tensors: Rows, metadata: dict[str, str]
) -> None:
    found = inspect_bytes(safetensors(tensors, metadata))
    assert found.anatomy is not None
    assert set(_codes(found)) <= finding_codes()
    json.dumps(found.to_dict(), allow_nan=False)
