"""Renders the chart and checks what comes out; run by the interpreter of ``make test-deploy``.

Reads a list of values from standard input, and writes for each ``{"objects": […], "faults": […]}``
or ``{"refused": "…"}``; of an object with a ``kind``, only its faults. Kubernetes' own kinds are
checked strictly against the schemas of a release (``kubernetes-validate``), those of KEDA and of
the Prometheus operator against the models that are made from their CRDs, without unknown fields.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor
from helm_python import Chart, lint
from helm_python.errors import HelmError

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "lorary"
#: Releases of Kubernetes, the oldest that Chart.yaml allows and a recent one.
RELEASES = ("1.27.0", "1.34.0")
OTHERS = {"ScaledObject": ScaledObject, "ServiceMonitor": ServiceMonitor}


def closed(schema: Any) -> Any:
    """Return a JSON schema that refuses unknown fields."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(value) for name, value in schema.items()}
    if "properties" in found and "additionalProperties" not in found:
        found["additionalProperties"] = False
    return found


def faults_of(thing: dict[str, Any]) -> list[str]:
    """Return what the schemas refuse in an object."""
    if model := OTHERS.get(thing["kind"]):
        checker = jsonschema.Draft202012Validator(closed(model.model_json_schema()))
        return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(thing)]
    found = []
    for release in RELEASES:
        try:
            kubernetes_validate.validate(thing, release, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{release}: {list(error.path)}: {error.message}")
    return found


def rendered(values: dict[str, Any]) -> dict[str, Any]:
    """Return the objects of the chart with some values, and their faults."""
    if "kind" in values:
        return {"faults": faults_of(values)}
    try:
        with Chart.load(CHART) as chart:
            chart.validate_schema(values)
            files = chart.render(values=values, name="hub", namespace="lorary")
    except HelmError as error:
        return {"refused": str(error)}
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    objects = [one for text in texts for one in yaml.safe_load_all(text) if one]
    faults = [
        f"{one['kind']} {one['metadata']['name']}: {fault}"
        for one in objects
        for fault in faults_of(one)
    ]
    said = lint(CHART, values=values, strict=True)
    return {"objects": objects, "faults": faults, "lint": said}


if __name__ == "__main__":
    json.dump([rendered(values) for values in json.load(sys.stdin)], sys.stdout)
