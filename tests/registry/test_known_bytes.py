"""Files whose bytes are here already: accepted without being sent, with what is known of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from registry.adapters import services as adapters
from registry.models import UploadState
from registry.uploads import services as uploads
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from registry.models import Upload, User

pytestmark = pytest.mark.django_db

#: Weights with two findings: a folder of a person in the metadata, and an alpha that differs.
WEIGHTS = kohya(
    DENOISERS["sd1", "diffusers"], metadata={"note": "/home/ada/holiday", "ss_network_alpha": "4"}
)


def announce(user: User) -> Upload:
    """Announce the weights by their digest, without sending a byte."""
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    upload = uploads.create(
        actor=user, path="n.safetensors", size_bytes=len(WEIGHTS), sha256=digest
    )
    assert upload.state == UploadState.ACCEPTED
    return upload


def codes(upload: Upload) -> set[str]:
    return set(upload.findings.values_list("code", flat=True))


def test_what_was_found_in_the_bytes_is_told_again(ada: User) -> None:
    first = codes(catalogue.accept(ada, WEIGHTS))
    assert len(first) > 1
    assert codes(announce(ada)) == first


def test_published_weights_are_named_at_once(ada: User, bob: User) -> None:
    catalogue.release(adapters.create(actor=ada, name="noir"), WEIGHTS)
    found = announce(bob).findings.get(code="weights_known")
    assert "ada/noir v1" in found.message
    assert found.blob is None


def test_what_only_one_uploader_may_know_is_not_told_to_the_next(ada: User, bob: User) -> None:
    catalogue.release(adapters.create(actor=ada, name="mine", visibility="unlisted"), WEIGHTS)
    assert "weights_known" in codes(announce(ada))
    assert "weights_known" not in codes(announce(bob))
