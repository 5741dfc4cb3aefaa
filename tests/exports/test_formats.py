"""Exports are what each tool reads: its schema, and the parts, strengths and prompt in it."""

from __future__ import annotations

import ast
import json
import re
import uuid
from typing import Any

import pytest

from lorary.anatomy import FAMILIES
from lorary.client.errors import Invalid, NotFound
from lorary.exports import FORMS, TOOLS, Look, export, look_of, tools_for
from tests.exports import documents
from tests.exports.documents import TEMPLATE, look, part, variant, version

NAMES = ["studio--noir", "studio--dusk"]


def made(tool: str, form: str = "", **more: Any) -> Any:
    found = export(look(**more), tool, form)
    return json.loads(found.text) if found.media_type == "application/json" else found.text


def literal(text: str, escaped: str) -> str:
    """Return what a tool reads from a text in its syntax."""
    return re.sub(rf"\\([{re.escape(escaped)}])", r"\1", text)


# The variant


def test_a_look_has_the_settings_of_the_hub_and_else_those_of_the_variant() -> None:
    found = look()
    assert (found.steps, found.guidance, found.width, found.height) == (20, 6.0, 1024, 768)
    assert [(one.file_name, one.strength) for one in found.parts] == [
        ("studio--noir.safetensors", 0.8), ("studio--dusk.safetensors", -0.25),
    ]  # fmt: skip
    plain = look(rendered_with={}, settings={"steps": 12})
    assert (plain.steps, plain.guidance, plain.width) == (12, 7.0, 512)
    assert plain.negative == "blurry (soft)"


def test_a_variant_is_chosen_by_name() -> None:
    both = version(variant("a"), variant("b", family="sd1"))
    assert look_of(both, "b").family == "sd1"
    with pytest.raises(
        NotFound, match=r"no variant “c”\. It has a \(sdxl, image\), b \(sd1, image\)"
    ):
        look_of(both, "c")
    with pytest.raises(Invalid, match="several variants"):
        look_of(both)


def test_parts_that_are_gone_are_left_out() -> None:
    gone = part("dusk", state="withdrawn", reason="Copied")
    found = look(part(), gone)
    assert [one.stem for one in found.parts] == ["studio--noir"]
    assert [one.adapter for one in found.missing] == ["studio/dusk"]
    assert found.pull_command.endswith(" --partial")
    with pytest.raises(NotFound, match="All parts"):
        look(gone)


def test_files_of_the_same_name_get_different_names() -> None:
    same = [part(name, file="a/ink.safetensors") for name in ("noir", "dusk")]
    found = look(*same, part("fp", file="pytorch_lora_weights.safetensors", file_variant="fp16"))
    assert [one.file_name for one in found.parts] == [
        "a/ink.safetensors", "a/studio--dusk--ink.safetensors", "studio--fp--fp16.safetensors",
    ]  # fmt: skip


# Refusals


def test_unknown_tools_and_forms_are_refused_with_those_there_are() -> None:
    with pytest.raises(Invalid, match="comfyui, a1111, forge, diffusers, invokeai, swarmui"):
        export(look(), "fooocus")
    with pytest.raises(Invalid, match="api, ui"):
        export(look(), "comfyui", "xml")
    with pytest.raises(Invalid, match="only one form for Forge"):
        export(look(), "forge", "ui")


@pytest.mark.parametrize("tool", ["comfyui", "a1111", "forge", "invokeai", "swarmui"])
def test_a_video_is_refused_where_a_tool_has_none(tool: str) -> None:
    with pytest.raises(Invalid, match="video"):
        made(tool, family="sd1", output="video")
    assert tools_for("sd1", "video") == ["diffusers"]


@pytest.mark.parametrize("output", ["image", "video"])
def test_what_is_offered_for_a_family_can_be_made(output: str) -> None:
    for family in FAMILIES:
        offered = tools_for(family, output)
        assert "diffusers" in offered, family
        for tool in TOOLS:
            if tool in offered:
                assert export(look(family=family, output=output), tool).text, (family, tool)
            else:
                with pytest.raises(Invalid):
                    export(look(family=family, output=output), tool)


# ComfyUI


def test_comfyui_has_the_loaders_the_template_and_the_settings() -> None:
    graph = made("comfyui", "api")
    loaders = [one["inputs"] for one in graph.values() if one["class_type"] == "LoraLoader"]
    assert [
        (one["lora_name"], one["strength_model"], one["strength_clip"]) for one in loaders
    ] == [
        ("studio--noir.safetensors", 0.8, 0.8), ("studio--dusk.safetensors", -0.25, -0.25),
    ]  # fmt: skip
    assert loaders[1]["model"][0] == loaders[1]["clip"][0] == "2"
    nodes = {one["class_type"]: one["inputs"] for one in graph.values()}
    assert (nodes["KSampler"]["steps"], nodes["KSampler"]["cfg"]) == (20, 6.0)
    assert (nodes["EmptyLatentImage"]["width"], nodes["EmptyLatentImage"]["height"]) == (1024, 768)
    assert literal(nodes["StringReplace"]["string"], "()") == TEMPLATE
    assert re.search(r"(?<!\\)[()]", nodes["StringReplace"]["string"]) is None
    assert literal(nodes["CLIPTextEncode"]["text"], "()") == "blurry (soft)"
    texts = [one["_meta"]["title"] for one in graph.values() if "_meta" in one]
    assert "Subject" in texts


@pytest.mark.parametrize(
    "family", [one for one in FAMILIES if "comfyui" in tools_for(one, "image")]
)
def test_comfyui_loads_the_model_only_where_text_encoders_are_apart(family: str) -> None:
    graph = made("comfyui", family=family)
    kinds = [one["class_type"] for one in graph.values()]
    has_checkpoint = "CheckpointLoaderSimple" in kinds
    assert kinds.count("LoraLoader" if has_checkpoint else "LoraLoaderModelOnly") == 2
    assert has_checkpoint != ("UNETLoader" in kinds)
    assert ("FluxGuidance" in kinds) == (family == "flux1")


def test_comfyui_makes_videos_of_wan() -> None:
    graph = made(
        "comfyui", family="wan_14b", output="video", rendered_with={"frames": 33, "fps": 16}
    )
    nodes = {one["class_type"]: one["inputs"] for one in graph.values()}
    assert nodes["EmptyHunyuanLatentVideo"]["length"] == 33
    assert nodes["SaveAnimatedWEBP"]["fps"] == 16.0


@pytest.mark.parametrize(
    ("family", "output"),
    [
        (family, output)
        for family in FAMILIES
        for output in ("image", "video")
        if "comfyui" in tools_for(family, output)
    ],
)
def test_the_canvas_has_the_same_workflow(family: str, output: str) -> None:
    graph = made("comfyui", "api", family=family, output=output)
    canvas = made("comfyui", "ui", family=family, output=output)
    assert canvas["version"] == 0.4
    assert (canvas["last_node_id"], canvas["last_link_id"]) == (len(graph), len(canvas["links"]))
    nodes = {node["id"]: node for node in canvas["nodes"]}
    assert len(nodes) == len(graph)
    for number, source, output_slot, target, input_slot, kind in canvas["links"]:
        out = nodes[source]["outputs"][output_slot]
        into = nodes[target]["inputs"][input_slot]
        assert number in out["links"]
        assert into["link"] == number
        assert out["type"] == into["type"] == kind
        linked = graph[str(target)]["inputs"][into["name"]]
        assert linked == [str(source), output_slot]
    for name, node in graph.items():
        shown = nodes[int(name)]
        assert shown["type"] == node["class_type"]
        inputs = node["inputs"]
        typed = {key for key, one in inputs.items() if not isinstance(one, list)}
        assert {one["name"] for one in shown["inputs"]} == set(inputs) - typed
        widgets = [one for one in shown["widgets_values"] if one != "randomize"]
        for key in typed:
            assert inputs[key] in widgets
    places = {tuple(node["pos"]) for node in canvas["nodes"]}
    assert len(places) == len(nodes), "nodes lie on each other"


# A1111 and Forge


def taken_apart(text: str) -> tuple[str, str, dict[str, str], list[tuple[str, str]]]:
    """Return prompt, negative prompt, settings and LoRAs as A1111 reads them."""
    *lines, last = text.strip().split("\n")
    prompt = [line for line in lines if not line.startswith("Negative prompt:")]
    negative = "".join(line.removeprefix("Negative prompt: ") for line in lines[len(prompt) :])
    pattern = r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)'
    settings = dict(re.findall(pattern, last))
    loras = re.findall(r"<lora:([^:>]+):([^>]+)>", prompt[0])
    return re.sub(r"\s*<(\w+):([^>]+)>", "", prompt[0]), negative, settings, loras


@pytest.mark.parametrize("tool", ["a1111", "forge"])
def test_webuis_read_parts_prompt_and_settings(tool: str) -> None:
    prompt, negative, settings, loras = taken_apart(made(tool))
    assert loras == list(zip(NAMES, ["0.8", "-0.25"], strict=True))
    assert literal(prompt, "()[]") == TEMPLATE.replace("<b>", " b ").strip()
    assert literal(negative, "()[]") == "blurry (soft)"
    assert settings == {
        "Steps": "20", "Sampler": "Euler", "Schedule type": "Automatic", "CFG scale": "6",
        "Seed": "-1", "Size": "1024x768",
    }  # fmt: skip


def test_a_template_cannot_load_a_lora_of_its_own() -> None:
    text = made("a1111", prompt="{prompt} <lora:other:2>")
    assert [name for name, _weight in taken_apart(text)[3]] == NAMES


def test_forge_guides_flux_by_its_input() -> None:
    settings = taken_apart(made("forge", family="flux1"))[2]
    assert (settings["CFG scale"], settings["Distilled CFG Scale"]) == ("1", "6")


# SwarmUI


def test_swarmui_imports_a_preset() -> None:
    ((title, preset),) = made("swarmui").items()
    assert title == preset["title"] == "studio/dusk main"
    values = preset["param_map"]
    # Ids of parameters are their names in lower case, letters alone.
    assert all(re.fullmatch("[a-z]+", name) for name in values)
    assert all(isinstance(value, str) for value in values.values())
    assert values["loras"].split(",") == NAMES
    assert values["loraweights"].split(",") == ["0.8", "-0.25"]
    assert literal(values["prompt"].replace("{value}", "{prompt}"), "()") == TEMPLATE.replace(
        "<b>", " b "
    )
    assert (values["steps"], values["cfgscale"], values["width"]) == ("20", "6", "1024")
    with pytest.raises(Invalid, match="comma"):
        export(look(part(file="a,b.safetensors")), "swarmui")


# InvokeAI


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_invokeai_opens_a_workflow(family: str) -> None:
    flow = made("invokeai", family=family)
    texts = ("name", "author", "description", "version", "contact", "tags", "notes")
    assert all(isinstance(flow[key], str) for key in texts)
    assert flow["meta"] == {"version": "3.0.0", "category": "user"}
    nodes = {node["id"]: node["data"] for node in flow["nodes"]}
    assert len(nodes) == len(flow["nodes"])
    for name, data in nodes.items():
        assert str(uuid.UUID(name)) == name == data["id"]
        assert re.fullmatch(r"\d+\.\d+\.\d+", data["version"])
        assert all(key == one["name"] for key, one in data["inputs"].items())
    for edge in flow["edges"]:
        assert edge["source"] in nodes
        target = nodes[edge["target"]]["inputs"][edge["targetHandle"]]
        assert "value" not in target, "linked and set"
    for field in flow["exposedFields"]:
        assert field["fieldName"] in nodes[field["nodeId"]]["inputs"]
    loaders = [one["inputs"] for one in nodes.values() if one["type"].endswith("lora_loader")]
    assert [(one["lora"]["value"]["name"], one["weight"]["value"]) for one in loaders] == list(
        zip(NAMES, [0.8, -0.25], strict=True)
    )
    by_label = {one["label"]: one["inputs"] for one in nodes.values()}
    joined = by_label["Prompt template"]
    text = f"{joined['string_left']['value']}{{prompt}}{joined['string_right']['value']}"
    assert literal(text, '()"') == TEMPLATE
    assert literal(by_label["Negative"]["prompt"]["value"], '()"') == "blurry (soft)"
    denoise = by_label["Denoise"]
    assert (denoise["steps"]["value"], denoise["cfg_scale"]["value"]) == (20, 6.0)
    assert by_label["Noise"]["height"]["value"] == 768


def test_invokeai_workflows_are_the_same_each_time() -> None:
    assert made("invokeai") == made("invokeai")


# diffusers


def constants(script: str) -> dict[str, Any]:
    """Return the constants of a script, which are literals."""
    found = {}
    for node in ast.parse(script).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def test_the_script_has_parts_prompt_and_arguments() -> None:
    told = {"num_inference_steps": 20, "true_cfg_scale": 4.0, "negative_prompt": " "}
    rendered = {**variant()["rendered_with"], "arguments": told, "sampler": "LCMScheduler"}
    found = constants(made("diffusers", rendered_with=rendered))
    assert found["PARTS"] == [
        ("studio--noir.safetensors", 0.8), ("studio--dusk.safetensors", -0.25),
    ]  # fmt: skip
    assert (found["TEMPLATE"], found["ARGUMENTS"]) == (TEMPLATE, told)
    assert found["SAMPLER"] == "LCMScheduler"
    plain = constants(made("diffusers"))
    assert plain["ARGUMENTS"] == {
        "num_inference_steps": 20, "guidance_scale": 6.0, "width": 1024, "height": 768,
        "negative_prompt": "blurry (soft)",
    }  # fmt: skip


@pytest.mark.parametrize("text", ['"""\nimport os', "'''", "\\", "\u2028é{prompt!r}", "'+x+'"])
def test_no_text_of_a_hub_becomes_code(text: str) -> None:
    hostile = version(
        variant(
            f"main{text}", part(strength=1.0), family=f"sd1{text}", prompt=f"{{prompt}}{text}",
            negative=text, rendered_with={"sampler": text, "arguments": {text: text}},
        ),
        pack=f"studio/dusk{text}",
    )  # fmt: skip
    script = export(look_of(hostile), "diffusers").text
    assert script.isascii()
    found = constants(script)
    assert found["TEMPLATE"] == f"{{prompt}}{text}"
    assert (found["SAMPLER"], found["ARGUMENTS"]) == (text, {text: text})
    body = [type(node).__name__ for node in ast.parse(script).body]
    assert body == [type(node).__name__ for node in ast.parse(made("diffusers")).body]


def test_a_moving_picture_needs_a_motion_adapter_where_the_base_has_none() -> None:
    moved = made("diffusers", family="sd1", output="video")
    assert "--motion" in moved
    assert "AnimateDiffPipeline.from_pipe" in moved
    wan = made("diffusers", family="wan_14b", output="video")
    assert "--motion" not in wan
    assert constants(wan)["FPS"] == 8


def test_each_export_has_a_name_and_ends_with_a_line() -> None:
    found: Look = documents.look()
    names = {export(found, tool).file_name for tool in TOOLS}
    names |= {export(found, "comfyui", form).file_name for form in FORMS}
    assert len(names) == len(TOOLS) + 1
    assert all(name.startswith("studio--dusk.main.") for name in names)
    assert all(export(found, tool).text.endswith("\n") for tool in TOOLS)
