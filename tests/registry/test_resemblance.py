"""Which adapter a file looks like a new version of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lorary.anatomy import inspect_bytes
from lorary.library.variants import run_of
from registry.adapters import services as adapters
from registry.models import Adapter, Membership, Namespace, NamespaceKind, Role
from registry.publication import services as publication
from registry.versions import resemblance
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

    from registry.models import User
    from registry.versions.resemblance import Resemblance

SDXL, SD1 = DENOISERS["sdxl", "sgm"], DENOISERS["sd1", "diffusers"]
RUN = {"ss_output_name": "noir-ink", "ss_training_started_at": "1700000000.25"}
OTHER_RUN = {"ss_training_started_at": "1800000000.5"}
WAN: dict[str, Any] = {"base": {"family": "wan_14b", "candidates": ["wan_14b"]}}
pytestmark = pytest.mark.django_db
RESTORED = "ink"


@pytest.fixture
def ink(ada: User) -> Adapter:
    if there := Adapter.objects.filter(name="noir-ink").first():
        return there
    adapter = adapters.create(actor=ada, name="noir-ink", title="Noir ink")
    catalogue.release(adapter, kohya(SDXL, rank=16, metadata=RUN), path="noir-ink.safetensors")
    return adapter


def found(user: User, path: str, data: bytes) -> Resemblance | None:
    anatomy = inspect_bytes(data, name=path).anatomy
    assert anatomy is not None
    return resemblance.find(user, path, anatomy.to_dict())


@pytest.mark.parametrize(
    ("path", "document", "run"),
    [
        ("Noir_ink-000008 (1).safetensors", {}, "noir ink"),
        ("noir-ink-step00000500.safetensors", {}, "noir ink"),
        ("NoirInk.safetensors", {}, "noir ink"),
        ("noir-ink-v2.safetensors", {}, "noir ink v2"),
        ("noir-ink_HIGH.safetensors", WAN, "noir ink"),
        ("noir-ink-low-noise.safetensors", WAN, "noir ink"),
        ("high-contrast.safetensors", {}, "high contrast"),
    ],
)
def test_files_of_a_run_share_its_name(path: str, document: dict[str, Any], run: str) -> None:
    assert run_of(path, document) == run


@pytest.mark.parametrize(
    "path", ["noir-ink-v2.safetensors", "Noir ink 3.safetensors", "noir_ink-000004.safetensors"]
)
def test_a_name_without_its_version_is_recognised(ada: User, ink: Adapter, path: str) -> None:
    one = found(ada, path, kohya(SDXL, rank=8, metadata=OTHER_RUN))
    assert one is not None
    assert (one.adapter, one.number) == (ink, 2)
    assert (one.is_same_name, one.is_same_base) == (True, True)
    assert (one.is_same_run, one.is_same_structure) == (False, False)
    assert not one.is_name_in_header


def test_a_name_in_the_header_is_told_from_that_of_the_file(ada: User, ink: Adapter) -> None:
    metadata = OTHER_RUN | {"ss_output_name": "noir_ink"}
    one = found(ada, "final-final.safetensors", kohya(SDXL, rank=8, metadata=metadata))
    assert one is not None
    assert (one.is_same_name, one.is_name_in_header) == (True, True)


def test_the_training_run_is_recognised_under_any_name(ada: User, ink: Adapter) -> None:
    metadata = RUN | {"ss_output_name": "renamed"}
    one = found(ada, "renamed.safetensors", kohya(SDXL, rank=16, metadata=metadata))
    assert one is not None
    assert (one.is_same_name, one.is_same_run, one.is_same_structure) == (False, True, True)


@pytest.mark.parametrize("path", ["noir-ink-v2.safetensors", "noir-ink.safetensors"])
def test_another_base_model_is_another_adapter(ada: User, ink: Adapter, path: str) -> None:
    assert found(ada, path, kohya(SD1, metadata=RUN)) is None


@pytest.mark.parametrize("path", ["velvet.safetensors", "ink.safetensors", "lora.safetensors"])
def test_the_same_structure_alone_is_no_resemblance(ada: User, ink: Adapter, path: str) -> None:
    assert found(ada, path, kohya(SDXL, rank=16, metadata=OTHER_RUN)) is None


def test_names_that_libraries_give_are_no_resemblance(ada: User) -> None:
    adapter = adapters.create(actor=ada, name="velvet")
    catalogue.release(adapter, kohya(SD1), path="pytorch_lora_weights.safetensors")
    assert found(ada, "pytorch_lora_weights.safetensors", kohya(SD1, rank=8)) is None


def test_the_adapter_with_more_in_common_is_chosen(ada: User, ink: Adapter) -> None:
    later = adapters.create(actor=ada, name="noir-ink-2", title="Noir ink")
    catalogue.release(later, kohya(SDXL, rank=4, metadata=OTHER_RUN), path="x.safetensors")
    one = found(ada, "noir-ink-v3.safetensors", kohya(SDXL, rank=16, metadata=RUN))
    assert one is not None
    assert one.adapter == ink


def test_only_adapters_that_the_user_may_write_to_are_compared(bob: User, ada: User) -> None:
    studio = Namespace.objects.create(name="studio", key="studio", kind=NamespaceKind.ORGANISATION)
    Membership.objects.create(namespace=studio, user=ada, role=Role.WRITE)
    theirs = adapters.create(actor=ada, owner=studio, name="noir-ink")
    data = kohya(SDXL, rank=16, metadata=RUN)
    publication.release(actor=ada, adapter=theirs, uploads=[catalogue.accept(ada, data)])
    assert found(bob, "noir-ink.safetensors", data) is None
    Membership.objects.create(namespace=studio, user=bob, role=Role.READ)
    assert found(bob, "noir-ink.safetensors", data) is None
    Membership.objects.filter(user=bob).update(role=Role.WRITE)
    one = found(bob, "noir-ink.safetensors", data)
    assert one is not None
    assert one.adapter == theirs


def test_any_number_of_adapters_takes_two_queries(
    ada: User, ink: Adapter, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for name in ("velvet", "glass", "rain"):
        catalogue.release(adapters.create(actor=ada, name=name), kohya(SD1, rank=len(name)))
    data = kohya(SDXL, rank=16, metadata=RUN)
    with django_assert_num_queries(2):
        assert found(ada, "noir-ink.safetensors", data) is not None
