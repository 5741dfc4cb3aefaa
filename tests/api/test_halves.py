"""Pairs of weights over the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, Upload, User
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db


def test_files_of_a_pair_say_which_half_they_are(
    as_ada: Caller, ada: User, noir: Adapter, accepted: Callable[..., Upload]
) -> None:
    targets = DENOISERS["wan_14b", "native"]
    sent = [
        accepted(ada, kohya(targets, rank=rank), f"noir_{half}_noise.safetensors")
        for half, rank in (("high", 4), ("low", 8))
    ]
    body = {"uploads": [str(upload.public_id) for upload in sent]}
    version = as_ada.send("post", "adapters/ada/noir/versions", body).json()
    assert version["family"] == "wan_14b"
    assert [(file["path"], file["variant"], file["primary"]) for file in version["files"]] == [
        ("noir_high_noise.safetensors", "high-noise", True),
        ("noir_low_noise.safetensors", "low-noise", False),
    ]
