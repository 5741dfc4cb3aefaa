"""Reads the JSON tables of InvokeAI, SwarmUI, Fooocus and Lorary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lorary.pictures.claims import a1111
from lorary.pictures.claims.facts import Facts, Resource

#: Maximum number of adapters in a list, and of Fooocus' numbered ones.
_MAX_LORAS, _MAX_COMBINED = 500, 20
#: Settings that most tools give the same names.
_COMMON = ("seed", "steps", "sampler", "width", "height")


def _settings(document: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Return settings for ``Facts``; ``names`` are those of the tool where they differ."""
    return {field: document.get(names.get(field, field)) for field in {*_COMMON, *names}}


def invokeai(document: Any) -> Facts | None:  # noqa: ANN401 - JSON
    """Return the facts of InvokeAI's metadata; None for another document."""
    if not isinstance(document, dict):
        return None
    name, digests = _named(document.get("model"))
    return Facts(
        tool="invokeai",
        guidance=document.get("cfg_scale", document.get("guidance")),
        model=name,
        resources=[Resource(name, "checkpoint", None, digests), *_loras(document.get("loras"))],
        **_settings(
            document, prompt="positive_prompt", negative="negative_prompt", sampler="scheduler"
        ),
    )


def invokeai_workflow(document: Any) -> list[Resource]:  # noqa: ANN401 - JSON
    """Return the adapters in a graph of InvokeAI, on the screen or as it ran.

    A model is ``{key, hash, name, base, type: lora}``; the strength stands beside it.
    """
    nodes = document.get("nodes") if isinstance(document, dict) else None
    rows = list(nodes.values()) if isinstance(nodes, dict) else nodes
    found: list[Resource] = []
    for node in rows if isinstance(rows, list) else []:
        data = node.get("data", node) if isinstance(node, dict) else None
        inputs = data.get("inputs", data) if isinstance(data, dict) else None
        if isinstance(inputs, dict):
            values = {key: _value(one) for key, one in inputs.items()}
            found += _of_node(values)
    return found[:_MAX_LORAS]


def _value(entry: object) -> object:
    return entry["value"] if isinstance(entry, dict) and "value" in entry else entry


def _of_node(values: dict[str, Any]) -> Iterator[Resource]:
    for value in values.values():
        rows = (
            value if isinstance(value, list) else [{"lora": value, "weight": values.get("weight")}]
        )
        for row in rows[:_MAX_LORAS]:
            model = row.get("lora", row.get("model")) if isinstance(row, dict) else None
            if isinstance(model, dict) and model.get("type") == "lora":
                name, digests = _named(model)
                yield Resource(name, "lora", row.get("weight"), digests)


def _named(model: object) -> tuple[str, tuple[object, ...]]:
    if not isinstance(model, dict):
        return (model if isinstance(model, str) else ""), ()
    name = model.get("name", model.get("model_name"))
    return (name if isinstance(name, str) else ""), (model.get("hash"),)


def _loras(found: Any) -> Iterator[Resource]:  # noqa: ANN401 - JSON
    for item in found[:_MAX_LORAS] if isinstance(found, list) else []:
        if isinstance(item, dict):
            name, digests = _named(item.get("model", item.get("lora")))
            yield Resource(name, "lora", item.get("weight"), digests)


def swarmui(document: Any) -> Facts | None:  # noqa: ANN401 - JSON
    """Return the facts of SwarmUI's ``sui_image_params``; None for another document.

    ``loras`` and ``loraweights`` are lists, or texts with commas. ``sui_models`` has the digest of
    the data after the header of each file.
    """
    given = document.get("sui_image_params") if isinstance(document, dict) else None
    if not isinstance(given, dict):
        return None
    model, prompt = (_text(given.get(key)) for key in ("model", "prompt"))
    strengths = dict(enumerate(_list(given.get("loraweights"))))
    loras = [
        Resource(name, "lora", strengths.get(place, 1))
        for place, name in enumerate(map(str, _list(given.get("loras"))[:_MAX_LORAS]))
    ]
    return Facts(
        tool="swarmui",
        prompt=prompt,
        model=model,
        resources=[
            Resource(model, "checkpoint"),
            *loras,
            *a1111.tags(prompt),
            *_swarm_models(document.get("sui_models")),
        ],
        **_settings(given, negative="negativeprompt", guidance="cfgscale"),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _list(value: object) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value if isinstance(value, list) else []


def _swarm_models(found: object) -> Iterator[Resource]:
    for item in found[:_MAX_LORAS] if isinstance(found, list) else []:
        name = item.get("name") if isinstance(item, dict) else None
        if isinstance(name, str):
            kind = "lora" if "lora" in str(item.get("param")) else "other"
            digest = str(item.get("hash") or "").removeprefix("0x")
            yield Resource(name, kind, None, (f"data_sha256:{digest}",))


def fooocus(document: Any) -> Facts | None:  # noqa: ANN401 - JSON
    """Return the facts of Fooocus; None for another document.

    ``loras`` is a list of name, strength and hash; older versions write ``lora_combined_1``.
    """
    if not isinstance(document, dict) or not {"base_model", "performance"} & document.keys():
        return None
    rows: Iterable[Any] = [
        *_list(document.get("loras")),
        *(
            str(document.get(f"lora_combined_{number}", "")).rsplit(" : ", 1)
            for number in range(1, _MAX_COMBINED)
        ),
    ]
    loras = [
        Resource(row[0], "lora", row[1], tuple(row[2:3]))
        for row in rows
        if isinstance(row, list) and len(row) > 1 and isinstance(row[0], str)
    ]
    return Facts(
        tool="fooocus",
        model=document.get("base_model"),
        resources=[
            Resource(
                str(document.get("base_model", "")), "checkpoint", None,
                (document.get("base_model_hash"),),
            ),
            *loras,
        ],
        **_settings(
            document, prompt="prompt", negative="negative_prompt", guidance="guidance_scale"
        ),
    )  # fmt: skip


def lorary(document: Any) -> Facts | None:  # noqa: ANN401 - JSON
    """Return the facts of the ``lorary`` document; None if it is not one."""
    try:
        recipe, image = dict(document["recipe"]), dict(document["image"])
        adapters = [
            Resource(str(one.get("name", "")), "lora", one.get("strength"), (one.get("sha256"),))
            for one in map(dict, document.get("adapters", []))
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return Facts(
        tool="lorary",
        resources=adapters,
        **_settings(
            {**recipe, **image},
            prompt="prompt",
            negative="negative",
            guidance="guidance",
            model="base",
        ),
    )
