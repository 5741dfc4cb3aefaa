"""What tools write into pictures, brought into one form; texts of strangers are cleaned."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from lorary.pictures.claims.gather import gather
from previews.sample_files import reader
from tests.previews.sample_files import files

if TYPE_CHECKING:
    from pathlib import Path

A1111 = (
    "a harbour at night, <lora:noir_v2:0.8> <lora:folder/ink:-0.5>\n"
    "second line\n"
    "Negative prompt: blurry, low quality\n"
    "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 1234567890123, "
    "Size: 512x768, Model hash: 0123456789, Model: C:\\Users\\ada\\models\\base.safetensors, "
    'Lora hashes: "noir_v2: aabbccddeeff, ink: 112233445566", '
    'Hashes: {"model": "0123456789", "lora:noir_v2": "deadbeef00"}, '
    'Civitai resources: [{"type":"lora","weight":0.7,"modelName":"Dust","modelVersionName":"v3"}], '
    "Version: v1.9.3"
)
FACTS = {
    "tool": "a1111",
    "prompt": "a harbour at night, <lora:noir_v2:0.8> <lora:folder/ink:-0.5> second line",
    "negative": "blurry, low quality",
    "seed": 1234567890123,
    "steps": 20,
    "sampler": "DPM++ 2M Karras",
    "guidance": 6.5,
    "size": "512x768",
    "model": "base.safetensors",
    "resources": [
        {"name": "base.safetensors", "kind": "checkpoint", "hashes": ["0123456789"]},
        {
            "name": "noir_v2",
            "kind": "lora",
            "strength": 0.8,
            "hashes": ["aabbccddeeff", "deadbeef00"],
        },
        {"name": "folder/ink", "kind": "lora", "strength": -0.5, "hashes": ["112233445566"]},
        {"name": "Dust v3", "kind": "lora", "strength": 0.7, "hashes": []},
    ],
}


def comment(encoding: str) -> bytes:
    """Exif with A1111's text as UserComment."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + A1111.encode(encoding)
    return exif.tobytes()


def facts_of(data: bytes, folder: Path) -> dict[str, Any]:
    source = folder / "source"
    source.write_bytes(data)
    found: dict[str, Any] = reader.read(source, folder)["facts"]
    return found


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt"])
def test_a1111_in_png(tmp_path: Path, name: bytes) -> None:
    text = A1111.encode()
    if name == b"zTXt":
        text = b"\0" + zlib.compress(text)
    elif name == b"iTXt":
        text = b"\0\0\0\0" + text
    data = files.png(files.chunk(name, b"parameters\0" + text))
    assert facts_of(data, tmp_path) == FACTS


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "utf-16"])
def test_a1111_in_exif(tmp_path: Path, kind: str, encoding: str) -> None:
    data = files.encoded(files.photo(), kind, exif=comment(encoding))
    assert facts_of(data, tmp_path) == FACTS


def test_a_prompt_alone_is_a1111_too() -> None:
    found = gather({"parameters": "a cat\nSteps: 4, Seed: 7"})
    assert found == {"tool": "a1111", "prompt": "a cat", "steps": 4, "seed": 7}


PROMPT: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 42, "steps": 25, "cfg": 7.5, "sampler_name": "euler", "scheduler": "karras",
            "model": ["10", 0], "positive": ["20", 0], "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl\\base.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {
        "width": 1024, "height": 768, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["30", 0], "clip": ["10", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["10", 1]}},
    "10": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "noir_v2.safetensors", "strength_model": 0.8, "strength_clip": 1.0,
            "model": ["11", 0], "clip": ["4", 1],
        },
    },
    "11": {
        "class_type": "Power Lora Loader (rgthree)",
        "inputs": {
            "lora_1": {"on": True, "lora": "ink.safetensors", "strength": 0.4},
            "lora_2": {"on": False, "lora": "off.safetensors", "strength": 1},
            "model": ["4", 0],
        },
    },
    "20": {"class_type": "ControlNetApply", "inputs": {"conditioning": ["6", 0], "strength": 1}},
    "30": {"class_type": "PrimitiveString", "inputs": {"value": "a harbour"}},
    "99": {"class_type": "LoraLoader", "inputs": {"lora_name": "unused.safetensors"}},
}  # fmt: skip
COMFY = {
    "tool": "comfyui",
    "prompt": "a harbour",
    "negative": "blurry",
    "seed": 42,
    "steps": 25,
    "sampler": "euler karras",
    "guidance": 7.5,
    "size": "1024x768",
    "model": "base.safetensors",
    "resources": [
        {"name": "ink.safetensors", "kind": "lora", "strength": 0.4, "hashes": []},
        {"name": "noir_v2.safetensors", "kind": "lora", "strength": 0.8, "hashes": []},
        {"name": "base.safetensors", "kind": "checkpoint", "hashes": []},
    ],
}


def test_comfyui_is_followed_upstream_from_the_sampler() -> None:
    assert gather({"prompt": json.dumps(PROMPT)}) == COMFY


def test_comfyui_in_the_exif_of_webp(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = "prompt:" + json.dumps(PROMPT)
    data = files.encoded(files.photo(), "WEBP", exif=exif)
    assert facts_of(data, tmp_path) == COMFY


@pytest.mark.parametrize("tag", ["prompt", "comment"])
def test_comfyui_in_the_tags_of_a_video(tmp_path: Path, tag: str) -> None:
    text = json.dumps(PROMPT if tag == "prompt" else {"prompt": json.dumps(PROMPT)})
    assert facts_of(files.film(tags={tag: text}), tmp_path) == COMFY


def test_tags_that_are_no_utf8_hurt_nobody(tmp_path: Path) -> None:
    data = files.film(tags={"prompt": json.dumps(PROMPT), "title": "caffe"})
    assert facts_of(data.replace(b"caffe", b"caff\xe9"), tmp_path) == COMFY


def test_comfyui_with_separate_nodes_for_noise_and_guidance() -> None:
    graph = {
        "1": {"class_type": "SamplerCustomAdvanced", "inputs": {
            "noise": ["2", 0], "guider": ["3", 0], "sampler": ["4", 0], "sigmas": ["5", 0]}},
        "2": {"class_type": "RandomNoise", "inputs": {"noise_seed": 99}},
        "3": {"class_type": "BasicGuider", "inputs": {"model": ["8", 0], "conditioning": ["6", 0]}},
        "4": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "5": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 20}},
        "6": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["7", 0]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat"}},
        "8": {"class_type": "LoraLoaderModelOnly", "inputs": {
            "lora_name": "ink.safetensors", "strength_model": 1, "model": ["9", 0]}},
        "9": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors"}},
    }  # fmt: skip
    found = gather({"prompt": json.dumps(graph)})
    assert (found["seed"], found["steps"], found["guidance"]) == (99, 20, 3.5)
    assert (found["prompt"], found["sampler"]) == ("a cat", "euler simple")
    assert [item["name"] for item in found["resources"]] == [
        "ink.safetensors",
        "flux1-dev.safetensors",
    ]


def test_a_workflow_stands_in_for_a_prompt() -> None:
    link = {"links": [[1, 6, 0, 3, 1, "CONDITIONING"], [2, 7, 0, 3, 2, "CONDITIONING"]]}
    nodes = [
        {"id": 3, "type": "KSampler",
         "widgets_values": [42, "fixed", 25, 7.5, "euler", "karras", 1],
         "inputs": [{"name": "positive", "link": 1}, {"name": "negative", "link": 2}]},
        {"id": 6, "type": "CLIPTextEncode", "widgets_values": ["a harbour"]},
        {"id": 7, "type": "CLIPTextEncode", "widgets_values": ["blurry"]},
    ]  # fmt: skip
    found = gather({"workflow": json.dumps(link | {"nodes": nodes})})
    names = ("prompt", "negative", "seed", "steps", "sampler", "guidance")
    assert {name: found[name] for name in names} == {name: COMFY[name] for name in names}


def test_invokeai() -> None:
    said = {
        "positive_prompt": "a cat", "negative_prompt": "blurry", "seed": 5, "steps": 30,
        "cfg_scale": 7.0, "scheduler": "euler_a", "width": 512, "height": 512,
        "model": {"name": "base", "hash": "blake3:" + "1" * 64},
        "loras": [{"model": {"name": "noir", "hash": "sha256:" + "ab" * 32}, "weight": 0.75},
                  {"lora": {"model_name": "ink"}, "weight": 0.5}],
    }  # fmt: skip
    found = gather({"invokeai_metadata": json.dumps(said)})
    assert (found["tool"], found["prompt"], found["model"]) == ("invokeai", "a cat", "base")
    assert (found["guidance"], found["sampler"], found["size"]) == (7.0, "euler_a", "512x512")
    assert found["resources"] == [
        {"name": "base", "kind": "checkpoint", "hashes": []},
        {"name": "noir", "kind": "lora", "strength": 0.75, "hashes": ["ab" * 32]},
        {"name": "ink", "kind": "lora", "strength": 0.5, "hashes": []},
    ]


def test_a_preview_of_ours_names_its_adapters_by_digest() -> None:
    said = {
        "recipe": {"base": "miniature", "steps": 4, "guidance": 2.5, "width": 64, "height": 64},
        "digest": "0" * 64,
        "image": {"prompt": "a cat", "seed": 3, "strength": 1.0},
        "adapters": [{"name": "noir-v1", "sha256": "cd" * 32, "strength": 1.0}],
    }
    found = gather({"lorary": json.dumps(said), "parameters": A1111})
    assert (found["tool"], found["prompt"], found["seed"]) == ("lorary", "a cat", 3)
    assert found["resources"] == [
        {"name": "noir-v1", "kind": "lora", "strength": 1.0, "hashes": ["cd" * 32]}
    ]


def test_nothing_is_claimed_by_a_picture_without_metadata(tmp_path: Path) -> None:
    assert facts_of(files.encoded(files.photo(), "PNG"), tmp_path) == {}


def test_texts_of_strangers_are_cleaned() -> None:
    evil = "ca\u202et \x07\u200bnow, hf_abcdefghijklmnopqrstuvwxyz012345 /home/ada/x.png"
    found = gather({"parameters": f"{evil}\nSteps: 1, Model: <b>\u202ex</b>"})
    assert found["prompt"] == "cat now, [removed] …/x.png"
    assert found["model"] == "b>"


@pytest.mark.parametrize(
    "texts",
    [
        {"parameters": "Steps: 1" + ", a: b" * 50_000},
        {"parameters": "<lora:" * 50_000 + "\nSteps: 1"},
        {"parameters": "Negative prompt: " * 20_000 + "\nSteps: 1, Hashes: " + "[" * 50_000},
        {"prompt": "[" * 100_000},
        {"prompt": json.dumps({"1": {"class_type": "KSampler", "inputs": {
            "seed": 1, "positive": ["1", 0], "model": ["1", 0]}}})},
        {"prompt": json.dumps({str(n): {"class_type": "x", "inputs": {
            "seed": 1, "positive": [str(n + 1), 0]}} for n in range(3999)})},
        {"prompt": '{"1": {"class_type": [], "inputs": {"seed": {}, "positive": [[], {}]}}}'},
        {"workflow": '{"nodes": [null, {"inputs": 5, "widgets_values": 3}], "links": [[], null]}'},
        {"invokeai_metadata": '{"loras": [1, {"model": []}], "seed": 1e400, "steps": NaN}'},
        {"invokeai_metadata": "[]"},
        {"lorary": '{"recipe": 1, "image": [], "adapters": {}}'},
        {"parameters": "x\nSteps: 1, Seed: " + "9" * 5000 + ", CFG scale: 1e999"},
    ],
)  # fmt: skip
def test_hostile_metadata_say_little_and_cost_little(texts: dict[str, str]) -> None:
    found = json.dumps(gather(texts), allow_nan=False)
    assert len(found) < 50_000


def test_there_are_only_so_many_resources() -> None:
    tags = "".join(f"<lora:a{number}:1>" for number in range(500))
    assert len(gather({"parameters": f"{tags}\nSteps: 1"})["resources"]) == 32


def test_there_are_only_so_many_hashes_of_a_resource() -> None:
    pairs = ", ".join(f"noir: {number:012x}" for number in range(2000))
    found = gather({"parameters": f'x\nSteps: 1, Lora hashes: "{pairs}"'})
    [resource] = found["resources"]
    assert len(resource["hashes"]) == 8
