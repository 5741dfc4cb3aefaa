"""The document: one shape, whatever the file holds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lorary.anatomy import Inspection, inspect_bytes
from tests.builders.adapters import DENOISERS, TEXT_ENCODERS, bare, comfyui, diffusers, kohya, peft
from tests.builders.models import Target
from tests.builders.weights import safetensors
from tests.lorary import documents

DOCS = Path(__file__).resolve().parents[2] / "docs" / "anatomy.md"
PONY = "67ab2fd8ec439a89b3fedb15cc65f54336af163c7eb5e4f2acc98f090a29b0b3"
SD1 = DENOISERS["sd1", "diffusers"]
SDXL = DENOISERS["sdxl", "sgm"]
FLUX = DENOISERS["flux1", "native"]
ESCAPES = "\x1b]0;owned\x07\x9b2J\u202egnp.\u200b\r\n"
Q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"

Rows = dict[str, tuple[str, tuple[int, ...]]]


def document_of(found: Inspection) -> dict[str, Any]:
    """The document as it arrives, with its faults looked for."""
    document: dict[str, Any] = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert documents.faults(document) == []
    return document


def inspect(data: bytes, name: str = "x.safetensors") -> dict[str, Any]:
    """The document of a file."""
    return document_of(inspect_bytes(data, name=name))


def _rows(**suffixes: tuple[int, ...]) -> Rows:
    """Tensors of one module with kohya's prefix."""
    stem = f"lora_unet_{Q.replace('.', '_')}"
    return {f"{stem}.{name.replace('__', '.')}": ("F32", shape) for name, shape in suffixes.items()}


def test_a_whole_document_is_this() -> None:
    metadata = {
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_network_dim": "4",
        "modelspec.title": "Noir",
        "modelspec.trigger_phrase": "film noir",
        "modelspec.author": "Ada",
    }
    data = kohya(SDXL, encoders={"lora_te1": TEXT_ENCODERS["clip_l"]}, metadata=metadata)
    document = inspect(data, "noir.safetensors")
    assert list(document) == list(documents.DOCUMENT)
    assert document["schema"] == 2
    assert document["file"] == {
        "name": "noir.safetensors",
        "size_bytes": len(data),
        "header_bytes": int.from_bytes(data[:8], "little"),
        "tensors": 18,
    }
    assert (document["kind"], document["algorithm"]) == ("adapter", "lora")
    assert document["algorithms"] == {"lora": 6}
    assert document["convention"] == "kohya_sgm_blocks"
    base = document["base"]
    assert (base["family"], base["candidates"]) == ("sdxl", ["sdxl"])
    assert (base["confidence"], base["agreement"]) == ("proven", "agree")
    assert base["claimed"]["family"] == "sdxl"
    assert base["claimed"]["source"] == "ss_base_model_version"
    assert base["claimed"]["value"] == "sdxl_base_v1-0"
    assert base["evidence"]
    assert document["rank"] == {"mode": 4, "min": 4, "max": 4, "histogram": {"4": 6}}
    assert document["alpha"] == {"mode": 2, "values_read": 6}
    assert document["parts"] == {"denoiser": 3, "text_encoder": 3}
    assert document["layers"]["kinds"]["attention"] == 5
    assert document["layers"]["kinds"]["mlp"] == 1
    assert document["dtypes"] == {"F16": 18}
    assert document["trigger_words"] == [
        {"text": "film noir", "source": "modelspec.trigger_phrase", "confidence": "high"}
    ]
    assert document["metadata"]["title"] == "Noir"
    assert document["metadata"]["author"] == "Ada"
    assert document["metadata"]["names"] == list(metadata)
    assert document["findings"] == []


@pytest.mark.parametrize("key", ["ss_sd_model_name", "ss_new_sd_model_hash"])
def test_a_lineage_that_the_tensors_rule_out_is_a_refuted_claim(key: str) -> None:
    value = {"ss_sd_model_name": "ponyGhibliStyle"}.get(key, PONY)
    metadata = {"ss_base_model_version": "sd_v1", key: value}
    base = inspect(kohya(SD1, metadata=metadata))["base"]
    assert (base["family"], base["agreement"], base["lineage"]) == ("sd1", "agree", None)
    assert (base["claimed"]["lineage_source"], base["claimed"]["lineage_value"]) == (None, None)
    (told,) = base["claimed"]["lineages"]
    assert told["lineage"].startswith("Pony")
    assert (told["source"], told["value"], told["is_refuted"]) == (key, value, True)


def test_the_next_lineage_counts_when_one_is_ruled_out() -> None:
    metadata = {"ss_sd_model_name": "ponyGhibliStyle", "modelspec.architecture": "flux-1-dev/lora"}
    base = inspect(kohya(FLUX, metadata=metadata))["base"]
    assert (base["lineage"], base["claimed"]["lineage_source"]) == (
        "FLUX.1 dev",
        "modelspec.architecture",
    )
    assert [one["is_refuted"] for one in base["claimed"]["lineages"]] == [True, False]


def test_a_mix_has_all_of_its_lineages() -> None:
    base = inspect(kohya(SDXL, metadata={"ss_sd_model_name": "illustriousPonyMix"}))["base"]
    assert base["lineage"] == "Illustrious, Pony"
    assert [one["lineage"] for one in base["claimed"]["lineages"]] == ["Illustrious", "Pony"]


WAN_ATTENTION = [Target("blocks.39.self_attn.q", (5120, 5120))]
WAN_IMAGE = {
    "native": [*WAN_ATTENTION, Target("blocks.39.cross_attn.k_img", (5120, 5120))],
    "diffusers": [Target("blocks.0.attn2.add_k_proj", (5120, 5120))],
}


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("noir_high_noise", "wan_14b"), ("noir-LN-v3", "wan_14b"), ("Wan2.2_I2V_noir", "wan_14b"),
        ("noir", None), ("noir_high", None), ("wan2.1_noir", None),
    ],
)  # fmt: skip
def test_a_name_tells_the_halves_of_wan_two_point_two(name: str, family: str | None) -> None:
    base = inspect(kohya(WAN_ATTENTION), f"{name}.safetensors")["base"]
    assert (base["family"], base["claimed"].get("source")) == (family, family and "file name")
    sdxl = inspect(kohya(SDXL), "detail_high_noise.safetensors")["base"]
    assert (sdxl["claimed"], sdxl["agreement"]) == ({}, "no-claim")


@pytest.mark.parametrize("layout", ["native", "diffusers"])
@pytest.mark.parametrize("name", ["wan2.2_i2v_high_noise.safetensors", "x.safetensors"])
def test_layers_for_an_image_are_likely_wan_two_point_one_whatever_a_name_says(
    layout: str, name: str
) -> None:
    """Wan 2.2 I2V has no such layers, and Wan 2.2 Animate is adapted less."""
    write = kohya if layout == "native" else bare
    base = inspect(write(WAN_IMAGE[layout]), name)["base"]
    assert base["candidates"] == ["wan_14b_i2v", "wan_animate"]
    assert (base["likely"], base["lineage"]) == ("wan_14b_i2v", None)
    told = [(one["lineage"], one["is_refuted"]) for one in base["claimed"].get("lineages", ())]
    assert told == ([("Wan 2.2", True)] if "2.2" in name else [])


@pytest.mark.parametrize("name", ["Wan2.2-Animate-noir", "wan22Animate_noir", "WanAnimate_relight"])
def test_wan_animate_has_layers_for_an_image_too(name: str) -> None:
    """Source: diffusers, `WanAnimateTransformer3DModel`, `added_kv_proj_dim`."""
    base = inspect(kohya(WAN_IMAGE["native"]), f"{name}.safetensors")["base"]
    assert (base["family"], base["lineage"]) == ("wan_animate", "Wan 2.2 Animate")
    assert [one["is_refuted"] for one in base["claimed"]["lineages"]] == [False]
    attention = inspect(kohya(WAN_ATTENTION), f"{name}.safetensors")["base"]
    assert (attention["family"], attention["lineage"]) == ("wan_animate", "Wan 2.2 Animate")


CONVENTIONS = {
    "kohya": kohya(FLUX),
    "kohya_sgm_blocks": kohya(SDXL),
    "kohya_diffusers_blocks": kohya(DENOISERS["sdxl", "diffusers"]),
    "comfyui_diffusion_model": comfyui(FLUX),
    "diffusers_peft": diffusers(SD1),
    "diffusers_down_up": diffusers(SD1, suffixes=(".lora.down.weight", ".lora.up.weight")),
    "bare_native": bare(FLUX),
    "bare_diffusers": bare(DENOISERS["flux1", "diffusers"]),
    "bare_peft_default": bare(
        DENOISERS["flux1", "diffusers"],
        suffixes=(".lora_A.default.weight", ".lora_B.default.weight"),
    ),
    "peft": peft(SD1),
}


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_each_convention_is_named(convention: str) -> None:
    assert inspect(CONVENTIONS[convention])["convention"] == convention


@pytest.mark.parametrize(
    ("rows", "algorithm"),
    [
        (_rows(lora_down__weight=(4, 640), lora_up__weight=(640, 4)), "lora"),
        (
            _rows(lora_down__weight=(4, 640, 3, 3), lora_up__weight=(640, 4, 1, 1)),
            "locon",
        ),
        (
            _rows(lora_down__weight=(4, 640), lora_up__weight=(640, 4), dora_scale=(640, 1)),
            "dora",
        ),
        (
            _rows(hada_w1_a=(640, 4), hada_w1_b=(4, 640), hada_w2_a=(640, 4), hada_w2_b=(4, 640)),
            "loha",
        ),
        (_rows(lokr_w1=(8, 8), lokr_w2=(80, 80)), "lokr"),
        (_rows(oft_blocks=(4, 160, 160)), "oft"),
        (_rows(oft_blocks=(2, 4, 160, 160)), "boft"),
        (_rows(weight=(640,), on_input=()), "ia3"),
        (_rows(diff=(640, 640)), "full"),
        (
            _rows(
                a1__weight=(640, 4), a2__weight=(4, 640), b1__weight=(640, 4), b2__weight=(4, 640)
            ),
            "glora",
        ),
    ],
)
def test_each_algorithm_is_named(rows: Rows, algorithm: str) -> None:
    document = inspect(safetensors(rows))
    assert (document["kind"], document["algorithm"]) == ("adapter", algorithm)
    assert document["layers"]["modules"] == 1


def _names(*names: str, shape: tuple[int, ...] = (4, 4)) -> Rows:
    return dict.fromkeys(names, ("F16", shape))


KINDS: dict[str, Rows] = {
    "checkpoint": _names("model.diffusion_model.out.2.weight", "first_stage_model.a"),
    "vae": _names("first_stage_model.encoder.conv_in.weight", shape=(4, 4, 3, 3)),
    "controlnet": _names("control_model.zero_convs.0.0.weight"),
    "embedding": _names("emb_params", shape=(8, 768)),
    "ip_adapter": _names("image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"),
    "lllite": _names("lllite_unet_a.down.0.weight", "lllite_unet_a.up.0.weight"),
    "text_encoder": _names("text_model.encoder.layers.0.self_attn.q_proj.weight"),
    "motion_module": _names("up_blocks.0.motion_modules.0.proj_in.weight"),
    "other": {},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_adapter_says_what_it_is(kind: str) -> None:
    document = inspect(safetensors(KINDS[kind]))
    assert document["kind"] == kind
    assert document["algorithm"] is None
    assert document["rank"]["mode"] is None
    assert document["findings"][0]["code"] == "not_an_adapter"


@pytest.mark.parametrize(
    ("data", "claim"),
    [
        (kohya(FLUX, metadata={"ss_base_model_version": "sd_1.5"}), "sd1"),
        (kohya(SD1, metadata={"ss_base_model_version": "sdxl_base_v1-0"}), "sdxl"),
        # Tensors of no known model: the claimed one's table could tell, so it is refuted.
        (
            diffusers([SD1[0]._replace(path="strange.0.to_q")], metadata={"ss_v2": "True"}),
            "sd2",
        ),
    ],
)
def test_metadata_that_lies_is_a_conflict_and_does_not_count(data: bytes, claim: str) -> None:
    document = inspect(data)
    base = document["base"]
    assert base["claimed"]["family"] == claim
    assert base["agreement"] == "conflict"
    assert claim not in base["candidates"]
    conflict = next(f for f in document["findings"] if f["code"] == "metadata_conflict")
    assert conflict["evidence"]["claimed"] == claim


def test_a_claim_that_no_table_can_check_is_not_refuted() -> None:
    data = diffusers(
        [SD1[0]._replace(path="strange.0.to_q")], metadata={"ss_base_model_version": "omnigen2"}
    )
    base = inspect(data)["base"]
    assert base["claimed"]["family"] == "omnigen2"
    assert base["agreement"] == "agree"


def test_names_without_shapes_are_no_proof_of_a_lie() -> None:
    rows = {f"unet.strange.0.to_q.lora_{half}.weight": ("F16", ()) for half in "AB"}
    document = inspect(safetensors(rows, {"ss_v2": "True"}))
    assert document["base"]["agreement"] == "agree"
    assert document["rank"] == {"mode": None, "min": None, "max": None, "histogram": {}}


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), -float("inf")])
def test_alphas_that_are_no_numbers_stay_out_of_the_document(alpha: float) -> None:
    document = inspect(kohya(SD1, alpha=alpha))
    assert document["alpha"]["mode"] is None
    assert "alpha_invalid" in {found["code"] for found in document["findings"]}


def test_ties_of_ranks_and_alphas_go_to_the_larger() -> None:
    rows: Rows = {}
    values = {}
    for number, (rank, alpha) in enumerate(((4, 8.0), (16, 2.0))):
        stem = f"lora_unet_down_blocks_{number}_attentions_0_proj_in"
        rows |= {
            f"{stem}.lora_down.weight": ("F32", (rank, 320)),
            f"{stem}.lora_up.weight": ("F32", (320, rank)),
            f"{stem}.alpha": ("F32", ()),
        }
        values[f"{stem}.alpha"] = alpha
    document = inspect(safetensors(rows, values=values))
    assert document["rank"] == {"mode": 16, "min": 4, "max": 16, "histogram": {"16": 1, "4": 1}}
    assert document["alpha"] == {"mode": 8, "values_read": 2}


def test_a_thousand_blocks_are_listed_and_the_rest_summed() -> None:
    rows: Rows = {}
    for number in range(1_003):
        rows[f"transformer.stack_blocks.{number}.q.lora_A.weight"] = ("F16", (1, 2))
        rows[f"transformer.stack_blocks.{number}.q.lora_B.weight"] = ("F16", (3, 1))
    blocks = inspect(safetensors(rows))["layers"]["blocks"]
    assert (len(blocks), blocks[999]["name"]) == (1_001, "stack_blocks.999")
    assert blocks[1_000] == {"name": "…", "modules": 3, "parameters": 15}


def test_convolutions_lead_the_rank_only_when_there_is_nothing_else() -> None:
    rows: Rows = {
        "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": ("F32", (16, 320)),
        "lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight": ("F32", (320, 16)),
    }
    convs: Rows = {}
    for number in range(3):
        stem = f"lora_unet_down_blocks_{number}_resnets_0_conv1"
        convs[f"{stem}.lora_down.weight"] = ("F32", (8, 320, 3, 3))
        convs[f"{stem}.lora_up.weight"] = ("F32", (320, 8, 1, 1))
    both = inspect(safetensors(rows | convs))
    assert both["rank"] == {"mode": 16, "min": 8, "max": 16, "histogram": {"8": 3, "16": 1}}
    assert (both["layers"]["linear"], both["layers"]["conv"]) == ({"16": 1}, {"8": 3})
    assert inspect(safetensors(convs))["rank"]["mode"] == 8


def test_the_declared_rank_stands_in_where_no_tensor_shows_one() -> None:
    rows = _rows(diff=(640, 640))
    document = inspect(safetensors(rows, {"ss_network_dim": "10000"}))
    assert document["rank"] == {"mode": 10000, "min": None, "max": None, "histogram": {}}


@pytest.mark.parametrize(
    "data",
    [
        kohya(SD1, metadata={f"key{ESCAPES}": ESCAPES, "modelspec.title": f"Noir{ESCAPES}"}),
        kohya(
            SD1,
            metadata={
                key: f'{{"1_{json.dumps(ESCAPES)[1:-1]}": {{"a{json.dumps(ESCAPES)[1:-1]}": 3}}}}'
                for key in ("ss_tag_frequency", "ss_network_args", "ss_dataset_dirs")
            },
        ),
        safetensors({"\u00e9\u0301.lora_A.weight": ("F16", (4, 4))}),
        b"PK\x03\x04",
    ],
)
def test_no_text_of_a_file_can_steer_a_terminal(data: bytes) -> None:
    document = inspect(data, f"noir{ESCAPES}.safetensors")
    assert "\ufffd" in document["file"]["name"]


def test_metadata_keys_are_listed_up_to_a_hundred_and_values_are_not() -> None:
    metadata = {f"key{number}": "secret-value" for number in range(150)}
    document = inspect(kohya(SD1, metadata=metadata))
    assert document["metadata"]["keys"] == 150
    assert document["metadata"]["bytes"] == sum(len(key) + 12 for key in metadata)
    assert len(document["metadata"]["names"]) == 100
    assert "secret-value" not in json.dumps(document)


def test_the_stored_anatomy_is_the_document_without_findings() -> None:
    found = inspect_bytes(kohya(SD1))
    assert found.anatomy is not None
    document = found.to_dict()
    assert document.pop("findings") == []
    assert found.anatomy.to_dict() == document


def _paths(shape: Any, place: str = "") -> list[str]:
    if isinstance(shape, dict):
        return [path for key, one in shape.items() for path in _paths(one, f"{place}.{key}")]
    if isinstance(shape, list):
        return _paths(shape[0], f"{place}[]")
    return [place.lstrip(".")]


@pytest.mark.parametrize("shape", [documents.DOCUMENT, documents.REFUSAL])
def test_every_field_is_documented(shape: dict[str, Any]) -> None:
    documented = set(re.findall(r"`([a-z_.\[\]]+)`", DOCS.read_text("utf-8")))
    assert {path for path in _paths(shape) if path not in documented} == set()
