"""Civitai's words for base models, types and licences, as names and as conditions."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from django.urls import resolve

from hub.api.urls import v1
from hub.protocols.civitai import urls
from hub.protocols.civitai.vocabulary import (
    COMMERCIAL_USES,
    MODEL_TYPES,
    NAMES,
    allowing,
    flags_of,
    model_type,
    name_of,
    of_base_models,
    of_types,
)
from lorary.anatomy import FAMILIES
from lorary.anatomy.keys.algorithms import ALGORITHM_TITLES
from registry.models import Adapter, Version

if TYPE_CHECKING:
    from registry.models import User

LINEAGES = (
    "", "Pony Diffusion V6 XL", "PONY", "Pony V7", "Illustrious XL", "NoobAI", "SDXL Lightning",
    "FLUX.1 schnell", "FLUX.1 Kontext", "Z-Image Turbo", "Wan 2.2", "Wan 2.1", "something else",
    "Animagine", "Stable Diffusion 1.4", "hyper pony", "FLUX.2 klein 4B base", "100%_\\", "LTX-2.3",
)  # fmt: skip


def test_families_and_lineages_have_the_names_that_clients_know() -> None:
    for (family, lineage), name in {
        ("sd1", ""): "SD 1.5", ("sdxl", ""): "SDXL 1.0", ("sdxl", "Pony Diffusion V6 XL"): "Pony",
        ("sdxl", "Illustrious XL"): "Illustrious", ("sdxl", "NoobAI"): "NoobAI",
        ("sdxl", "Animagine"): "SDXL 1.0", ("flux1", ""): "Flux.1 D",
        ("flux1", "FLUX.1 schnell"): "Flux.1 S", ("flux1", "FLUX.1 Kontext"): "Flux.1 Kontext",
        ("z_image", "Z-Image Turbo"): "ZImageTurbo", ("z_image", "Z-Image"): "ZImageBase",
        ("wan_14b", "Wan 2.2"): "Wan Video 2.2 T2V-A14B", ("wan_14b", ""): "Wan Video 14B t2v",
        ("qwen_image", ""): "Qwen", ("sd35_large", ""): "SD 3.5 Large", ("", ""): "Other",
        ("", "Pony"): "Pony", ("not yet known", ""): "Other", ("miniature", ""): "Other",
    }.items():  # fmt: skip
        assert name_of(family, lineage) == name, (family, lineage)


def test_every_family_has_a_name_that_can_be_asked_for() -> None:
    for family, lineage in itertools.product((*FAMILIES, "", "new"), LINEAGES):
        assert name_of(family, lineage) in NAMES
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.django_db
def test_a_name_finds_what_has_it_and_nothing_else(ada: User) -> None:
    rows = [
        Adapter(namespace=ada.namespace, name=f"a{n}", key=f"a{n}", family=family, lineage=lineage)
        for n, (family, lineage) in enumerate(itertools.product((*FAMILIES, "", "new"), LINEAGES))
    ]
    Adapter.objects.bulk_create(rows)
    told = {row.name: name_of(row.family, row.lineage) for row in rows}
    for name in NAMES:
        found = set(Adapter.objects.filter(of_base_models([name])).values_list("name", flat=True))
        assert found == {key for key, value in told.items() if value == name}, name
    assert Adapter.objects.filter(of_base_models(NAMES)).count() == len(rows)


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("lora", "LORA"), ("", "LORA"), ("locon", "LoCon"), ("loha", "LoCon"), ("lokr", "LoCon"),
     ("loha+norm", "LoCon"), ("dora", "DoRA"), ("lokr+dora", "DoRA"), ("lora+diff_b", "LORA"),
     ("vera", "Other"), ("oft", "LoCon"), ("lora_embed", "Other")],
)  # fmt: skip
def test_algorithms_have_the_types_that_clients_know(algorithm: str, kind: str) -> None:
    assert model_type(algorithm) == kind


@pytest.mark.django_db
def test_a_type_finds_what_has_it_and_nothing_else(ada: User) -> None:
    more = ("", "loha+norm", "loha+dora", "lora+dora", "lokr+diff+dora")
    algorithms = dict.fromkeys((*ALGORITHM_TITLES, *more))
    adapter = Adapter.objects.create(namespace=ada.namespace, name="a", key="a")
    revision = adapter.revisions.create(
        commit="0" * 40, manifest_sha256="0" * 64, author=ada, created_at=adapter.created_at
    )
    Version.objects.bulk_create(
        Version(adapter=adapter, number=n, revision=revision, author=ada, algorithm=one)
        for n, one in enumerate(algorithms, 1)
    )
    for kind in MODEL_TYPES:
        found = Version.objects.filter(of_types([kind], "algorithm"))
        assert set(found.values_list("algorithm", flat=True)) == {
            one for one in algorithms if model_type(one) == kind
        }, kind


@pytest.mark.django_db
def test_a_licence_finds_what_it_allows(ada: User) -> None:
    licences = ("", "MIT", "cc0-1.0", "CC-BY-NC-4.0", "cc-by-nd-4.0", "gpl-3.0", "my own")
    for n, licence in enumerate(licences):
        Adapter.objects.create(namespace=ada.namespace, name=f"a{n}", key=f"a{n}", licence=licence)

    def found(flag: str, value: bool | str) -> set[str]:
        return set(Adapter.objects.filter(allowing(flag, value)).values_list("licence", flat=True))

    for flag in ("allowNoCredit", "allowDerivatives", "allowDifferentLicense"):
        for value in (True, False):
            assert found(flag, value) == {one for one in licences if flags_of(one)[flag] is value}
    for use in COMMERCIAL_USES:
        allowed = {one: flags_of(one)["allowCommercialUse"] for one in licences}
        assert found("allowCommercialUse", use) == {
            one for one, uses in allowed.items() if isinstance(uses, list)
            and (use in uses or (use == "None" and not uses))
        }, use  # fmt: skip


def test_no_address_is_also_a_native_one() -> None:
    native = {str(one.pattern).split("/")[0] for one in v1}
    for one in urls.urlpatterns:
        place = "/" + str(one.pattern).replace("<str:number_text>", "7").replace("<str:value>", "a")
        place = place.replace("<str:signed>", "x").replace("<str:name>", "y")
        assert resolve(place).func == one.callback, place
        assert place.removeprefix("/api/v1/").split("/")[0] not in native
