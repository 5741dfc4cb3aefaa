"""Reading the metrics of a running hub, and evaluating the alert rules for them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import uuid
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.talk import Caller
from tests.running import ROOT, RunningHub

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = uuid.uuid4().hex
BEARER = {"Authorization": f"Bearer {TOKEN}"}
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
#: Series, with its labels as in PromQL, → value.
Scrape: TypeAlias = dict[str, float]


def families(hub: RunningHub) -> list[Any]:
    answer = Caller(hub.port).get("/metrics", BEARER)
    assert answer.status == 200, answer.body
    return list(text_string_to_metric_families(answer.body.decode()))


def scrape(hub: RunningHub) -> Scrape:
    return {
        series_of(sample.name, sample.labels): sample.value
        for family in families(hub)
        for sample in family.samples
    }


def series_of(name: str, labels: dict[str, str]) -> str:
    return f"{name}{{{', '.join(f'{key}={json.dumps(labels[key])}' for key in sorted(labels))}}}"


def alerts() -> dict[str, str]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def firing(tmp_path: Path, before: Scrape, after: Scrape, *, label: str = "alertname") -> set[str]:
    """Return the alerts that fire if counters go on as between two scrapes, for a quarter hour.

    With another label, its values are returned.
    """
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("there is no promtool (apt-get install prometheus)")
    rows = []
    for series, value in after.items():
        is_counter = re.search(r"_(total|bucket|count|sum)\{", series)
        step = value - before.get(series, 0) if is_counter else 0
        rows.append({"series": series, "values": f"{value}+{step}x80"})
    query = f'count by ({label}) (ALERTS{{alertstate="firing"}})'
    check = {"expr": query, "eval_time": "15m", "exp_samples": []}
    test = {"interval": "15s", "input_series": rows, "promql_expr_test": [check]}
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [test]}))
    done = subprocess.run(
        [program, "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    found = set(re.findall(rf'{label}=\\?"(\w+)\\?"\}} ', said))
    assert done.returncode == 0 or found, said
    return found
