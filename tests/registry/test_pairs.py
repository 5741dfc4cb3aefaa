"""Weights with the ``adapter_config.json`` beside them: what they say together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from registry.models import VersionAnatomy
from registry.publication import services as publication
from registry.versions import reinspect
from registry.versions import selectors as version_selectors
from registry.versions import services as versions
from tests import catalogue
from tests.builders.adapters import Target, peft

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db(transaction=True)

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
#: PEFT writes no alphas and no base model into the weights.
LORA = peft([Target(f"model.layers.{n}.self_attn.q_proj", (64, 64)) for n in range(2)], rank=8)


def config(**changed: object) -> bytes:
    told = {"peft_type": "LORA", "r": 8, "lora_alpha": 32, "target_modules": ["q_proj"]}
    return json.dumps(told | changed).encode()


def release(adapter: Adapter, ada: User, **files: bytes) -> Version:
    """Publish files whose names are written with ``__`` for a slash and ``_`` as it is."""
    uploads = [catalogue.accept(ada, data, path) for path, data in files.items()]
    return publication.release(actor=ada, adapter=adapter, uploads=uploads)


def told(version: Version) -> dict[str, object]:
    return version_selectors.document_of(version, version.primary_file)


def test_the_configuration_tells_what_the_weights_do_not(noir: Adapter, ada: User) -> None:
    v1 = release(noir, ada, **{WEIGHTS: LORA, CONFIG: config()})
    assert told(v1)["alpha"] == {"mode": 32, "values_read": 0}
    assert (v1.rank, v1.algorithm) == (8, "lora")


def test_without_a_configuration_the_bytes_speak_alone(noir: Adapter, ada: User) -> None:
    v1 = release(noir, ada, **{WEIGHTS: LORA})
    assert told(v1)["alpha"] == {"mode": None, "values_read": 0}
    assert not VersionAnatomy.objects.exists()


def test_a_configuration_in_another_folder_is_another_s(noir: Adapter, ada: User) -> None:
    release(noir, ada, **{WEIGHTS: LORA, f"other/{CONFIG}": config()})
    assert not VersionAnatomy.objects.exists()


def test_a_configuration_beside_several_weights_is_nobody_s(noir: Adapter, ada: User) -> None:
    other = peft([Target("model.layers.0.mlp.up_proj", (64, 64))])
    release(noir, ada, **{"a.safetensors": LORA, "b.safetensors": other, CONFIG: config()})
    assert not VersionAnatomy.objects.exists()


def test_the_same_bytes_without_it_are_not_touched(noir: Adapter, ada: User) -> None:
    v1 = release(noir, ada, **{WEIGHTS: LORA, CONFIG: config()})
    primary = v1.primary_file
    assert primary is not None
    assert primary.blob.anatomy.document["alpha"]["mode"] is None


def test_findings_of_the_pair_are_shown(noir: Adapter, ada: User, client: Client) -> None:
    v1 = release(noir, ada, **{WEIGHTS: LORA, CONFIG: b'{"peft_type": '})
    codes = [
        found.code for found in version_selectors.findings_of(v1, v1.primary_file, is_owner=True)
    ]
    assert "config_unreadable" in codes
    page = client.get("/ada/noir?tab=findings").content.decode()
    assert "adapter_config.json" in page.partition('id="p-findings"')[2]


@pytest.mark.parametrize("raw", [b"[]", b"null", b"[" * 100_000, b" " * 2_000_000])
def test_an_odd_configuration_refuses_nothing(noir: Adapter, ada: User, raw: bytes) -> None:
    assert release(noir, ada, **{WEIGHTS: LORA, CONFIG: raw}).state == "published"


def test_a_draft_that_is_dropped_takes_its_anatomy_along(noir: Adapter, ada: User) -> None:
    uploads = [catalogue.accept(ada, LORA, WEIGHTS), catalogue.accept(ada, config(), CONFIG)]
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=uploads)
    assert VersionAnatomy.objects.count() == 1
    versions.discard(actor=ada, version=draft)
    assert not VersionAnatomy.objects.exists()


def test_a_configuration_that_stays_speaks_for_the_next_weights(noir: Adapter, ada: User) -> None:
    release(noir, ada, **{WEIGHTS: LORA, CONFIG: config()})
    larger = peft([Target("model.layers.0.self_attn.q_proj", (64, 64))], rank=4)
    v2 = release(noir, ada, **{WEIGHTS: larger})
    assert told(v2)["alpha"] == {"mode": 32, "values_read": 0}


def test_reading_again_renews_pairs_too(noir: Adapter, ada: User) -> None:
    v1 = release(noir, ada, **{WEIGHTS: LORA, CONFIG: config()})
    before = VersionAnatomy.objects.get().document
    VersionAnatomy.objects.update(document={})
    reinspect.run(includes_current=True)
    assert VersionAnatomy.objects.get().document == before
    assert reinspect.run(includes_current=True).versions == 0
    v1.refresh_from_db()
    assert v1.rank == 8
