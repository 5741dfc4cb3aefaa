"""System checks of the settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import checks
from django.test import override_settings

from hub.setting_checks import check_settings

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("E001", {"data": Path("/proc/nowhere")}),
    ("E003", {"broker_url": "sqla+sqlite://"}),
    ("E004", {"cache_url": "memcached://x"}),
    ("E005", {"storage": "ftp://x"}),
    ("E005", {"storage": "file://host/path"}),
    ("E006", {"secret_key": "short"}),
    ("E007", {"base_url": "hub.example"}),
    ("E071", {"metrics_token": "guessable"}),
    ("W008", {"allowed_hosts": ("*",)}),
    ("W009", {"trust_proxy": True, "base_url": ""}),
    ("W010", {"debug": True, "base_url": "https://hub.example"}),
    ("W015", {"bases": Path("/nowhere/bases.toml")}),
    ("E025", {"lineages": Path(__file__)}),
    ("E025", {"lineages": Path("/nowhere/lineages.json")}),
    ("E016", {"accel": "blobs"}),
    ("E017", {"max_file_bytes": 0}),
    ("E018", {"max_header_bytes": 200_000_000}),
    ("E040", {"max_hashes": 10_001}),
    ("E019", {"part_bytes": 1}),
    ("E020", {"quota_bytes": -1}),
    ("E050", {"xet_ratio": 0}),
    ("E051", {"stranger_header_bytes": 1}),
    ("E052", {"inspections": 0}),
    ("E053", {"writes_per_minute": -1}),
    ("E083", {"samples_per_day": 0}),
    ("E082", {"anonymous_per_minute": -1}),
    ("E064", {"derived_total_bytes": -1}),
    ("E021", {"upload_days": 0}),
    ("E030", {"upload_log_days": 0}),
    ("E005", {"storage": "s3://studio?regoin=eu"}),
    ("E019", {"storage": "s3://studio", "part_bytes": 5 * 2**20 - 1}),
    ("E022", {"grace_days": 1000}),
    ("E029", {"xet_bytes": 1}),
    ("E023", {"job_lease_s": 1}),
    ("E046", {"min_body_rate": 0}),
    ("E072", {"security_contact": "the admin"}),
    ("E072", {"security_contact": "http://x.example"}),
    ("W024", {"unknown": ("STORAG",)}),
]


def found_with(**changes: Any) -> list[checks.CheckMessage]:
    changes.setdefault("bases", Path(__file__))
    with override_settings(LORARY=dataclasses.replace(settings.LORARY, **changes)):
        return check_settings()


def test_the_defaults_raise_nothing() -> None:
    assert found_with() == []


@pytest.mark.parametrize(("number", "changes"), WRONG, ids=[number for number, _ in WRONG])
def test_a_wrong_value_is_named_with_a_hint(number: str, changes: dict[str, Any]) -> None:
    (message,) = found_with(**changes)
    assert message.id == f"lorary.{number}"
    assert message.msg.startswith("LORARY_")
    assert message.hint
    assert message.is_serious() == number.startswith("E")


def test_a_misspelt_setting_is_told_the_right_name() -> None:
    (message,) = found_with(unknown=("DTA",))
    assert "Did you mean LORARY_DATA?" in str(message.hint)
    (message,) = found_with(unknown=("XYLOPHONE",))
    assert "Did you mean" not in str(message.hint)


def test_django_runs_the_checks() -> None:
    with override_settings(LORARY=dataclasses.replace(settings.LORARY, secret_key="short")):
        assert "lorary.E006" in {message.id for message in checks.run_checks()}
