"""Modules that change nothing: warned about, and refused where nothing else is left."""

from __future__ import annotations

import io
import struct

import pytest

from lorary.safetensors import parse_header
from registry.scan import file_scan
from tests.builders.weights import file_of

ZERO, ONE, SOME = 0.0, 1.0, 0.5


def codes(*modules: dict[str, float], dtype: str = "F32") -> list[str]:
    """Return the findings on modules of tensors that are filled with one number each.

    Roles stand behind their module's name, unless they begin with ``=``.
    """
    header: dict[str, object] = {}
    data = b""
    for number, module in enumerate(modules):
        for role, value in module.items():
            name = role[1:] if role.startswith("=") else f"m{number}.{role}"
            raw = {"F32": struct.pack("<f", value), "F16": struct.pack("<e", value),
                   "BF16": struct.pack("<f", value)[2:]}[dtype] * 4  # fmt: skip
            offsets = [len(data), len(data) + len(raw)]
            header[name] = {"dtype": dtype, "shape": [4], "data_offsets": offsets}
            data += raw
    file = file_of(header, data)
    found = file_scan.scan_file(io.BytesIO(file), len(file), parse_header(file)).findings
    return [f"{finding.severity} {finding.code}" for finding in found]


SILENT = {
    "lora": {"lora_down.weight": SOME, "lora_up.weight": ZERO, "alpha": SOME},
    "peft": {"lora_A.weight": SOME, "lora_B.weight": ZERO, "lora_B.bias": ZERO},
    "text encoder": {"=lora_te1_a.lora_down.weight": SOME, "=lora_te1_a.lora_up.weight": ZERO},
    "tucker": {"lora_down.weight": SOME, "lora_mid.weight": ZERO, "lora_up.weight": SOME},
    "adalora": {"lora_A": SOME, "lora_B": SOME, "lora_E": ZERO},
    "loha": {"hada_w1_a": SOME, "hada_w1_b": SOME, "hada_w2_a": ZERO, "hada_w2_b": SOME},
    "lokr": {"lokr_w1": SOME, "lokr_w2": ZERO},
    "lokr with cut matrices": {"lokr_w1": SOME, "lokr_w2_a": SOME, "lokr_w2_b": ZERO},
    "scalar": {"lokr_w1": SOME, "lokr_w2": SOME, "scalar": ZERO},
    "glora": {"a1.weight": ZERO, "a2.weight": SOME, "b1.weight": SOME, "b2.weight": ZERO},
    "full": {"diff": ZERO, "diff_b": ZERO},
    "norm": {"w_norm": ZERO, "b_norm": ZERO},
    "ia3 of LyCORIS": {"b.weight": ZERO, "b.on_input": ONE},
    "ia3 of PEFT": {"ia3_l": ONE},
    "oft": {"oft_blocks": ZERO, "rescale": ONE},
    "oft of PEFT": {"oft_R.weight": ZERO},
    "boft of PEFT": {"boft_R": ZERO, "boft_s": ONE},
}
ACTIVE = {
    "lora": {"lora_down.weight": SOME, "lora_up.weight": SOME},
    "bias of a pair": {"lora_A.weight": SOME, "lora_B.weight": ZERO, "lora_B.bias": SOME},
    "dora": {"lora_down.weight": SOME, "lora_up.weight": ZERO, "dora_scale": SOME},
    "lokr+dora": {"lokr_w1": ZERO, "lokr_w2": SOME, "dora_scale": SOME},
    "difference of a bias": {"diff": ZERO, "diff_b": SOME},
    "pair and difference": {"lora_down.weight": ZERO, "lora_up.weight": SOME, "diff": SOME},
    "norm": {"w_norm": SOME, "b_norm": ZERO},
    "glora": {"a1.weight": ZERO, "a2.weight": SOME, "b1.weight": SOME, "b2.weight": SOME},
    "ia3 of LyCORIS": {"b.weight": SOME, "b.on_input": ZERO},
    "ia3 of PEFT that silences": {"ia3_l": ZERO},
    "oft that rescales": {"oft_blocks": ZERO, "rescale": SOME},
    "whole norms of PEFT": {"ln_tuning_layers.weight": ZERO},
    "vera": {"vera_lambda_b": ZERO, "vera_lambda_d": SOME},
    "an alpha of zero": {"lora_down.weight": SOME, "lora_up.weight": SOME, "alpha": ZERO},
}


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("module", SILENT)
def test_a_file_of_silent_modules_is_refused(module: str, dtype: str) -> None:
    assert codes(SILENT[module], dtype=dtype) == ["error changes_nothing"]
    assert codes(*SILENT.values(), dtype=dtype) == ["error changes_nothing"]


@pytest.mark.parametrize("module", SILENT)
def test_a_silent_module_among_others_is_a_warning(module: str) -> None:
    assert codes(SILENT[module], ACTIVE["lora"]) == ["warning modules_silent"]


@pytest.mark.parametrize("module", ACTIVE)
def test_what_may_change_something_is_not_called_silent(module: str) -> None:
    assert codes(ACTIVE[module]) == []
    assert codes(ACTIVE[module], SILENT["lora"]) == ["warning modules_silent"]


@pytest.mark.parametrize("name", ["=emb_params", "=string_to_param", "first.weight"])
def test_tensors_of_no_module_are_not_judged(name: str) -> None:
    assert codes({name: ZERO}) == []
    assert codes({name: SOME}, SILENT["lora"]) == ["warning modules_silent"]
    assert codes({name: ZERO}, SILENT["lora"]) == ["error changes_nothing"]
