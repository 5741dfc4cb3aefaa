"""``manage.py generate``."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from hub.generation import vocabulary
from hub.generation.fill import fill
from hub.generation.weights import FAMILIES, METHODS, TRAININGS, weights
from hub.operations import doctor
from previews.models import Image, Sample
from registry.accounts import quotas
from registry.adapters import facets, services
from registry.adapters.manifests import digest_of, entries_of
from registry.database import guards
from registry.models import (
    Adapter,
    Blob,
    BlobAnatomy,
    BlobHash,
    Namespace,
    Revision,
    Tag,
    Version,
    VersionState,
)
from registry.names import check_new_name
from registry.search import maintenance

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import User

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = 200
#: Probes of the doctor that look at what was generated.
PROBES = ("bytes", "orphans", "pieces", "anatomies", "hashes", "names", "guards")


def generate(*words: str, count: int = COUNT) -> str:
    out = StringIO()
    call_command("generate", f"--adapters={count}", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def facts() -> list[tuple[object, ...]]:
    columns = ("name", "namespace__name", "title", "summary", "card", "family", "downloads")
    return list(Adapter.objects.order_by("name").values_list(*columns))


def test_it_fills_an_empty_hub_with_rows_that_the_doctor_finds_in_order(client: Client) -> None:
    assert generate().startswith("200 adapters, ")
    assert Adapter.objects.count() == COUNT
    for name in PROBES:
        assert [report.state for report in doctor.PROBES[name]()] == ["ok"], name
    assert guards.missing(connection) == []
    for place in ("/", "/browse", f"/{_listed().full_name}", f"/{_listed().namespace.name}"):
        assert client.get(place).status_code == 200, place
    adapter = _listed()
    document = client.get(f"/api/v1/adapters/{adapter.full_name}").json()
    assert document["name"] == adapter.name


def _listed() -> Adapter:
    return Adapter.objects.listed_for(None).select_related("namespace").earliest("pk")


def test_rows_look_like_those_that_services_write(ada: User) -> None:
    generate()
    assert maintenance.check().is_well
    for adapter in Adapter.objects.select_related("namespace", "latest_version"):
        check_new_name(adapter.name)
        newest = adapter.versions.filter(state=VersionState.PUBLISHED).order_by("number").last()
        assert adapter.latest_version == newest
        assert adapter.last_number == adapter.versions.count()
    for revision in Revision.objects.all():
        assert revision.manifest_sha256 == digest_of(entries_of(revision))
    version = Version.objects.filter(state=VersionState.PUBLISHED).first()
    assert version is not None
    assert version.primary_file is not None
    assert version.size_bytes == sum(file.size_bytes for file in version.files)
    for namespace in Namespace.objects.filter(adapters__isnull=False).distinct():
        check_new_name(namespace.name, is_namespace=True)
        shown = Blob.objects.filter(
            files__revision__adapter__namespace=namespace,
            files__revision__versions__state__in=["published", "yanked"],
        )
        assert namespace.used_bytes == sum(blob.size_bytes for blob in shown.distinct())
        assert quotas.used_by(namespace) >= namespace.used_bytes
    new = services.create(actor=ada, name="after")
    assert new.pk > COUNT


def test_families_tags_and_owners_are_uneven_and_some_adapters_are_out_of_sight() -> None:
    generate(count=600)
    found = facets.overall(None)
    assert found["family"].values[0][1] > 3 * found["family"].values[4][1]
    assert found["tag"].values[0][1] > 4 * Tag.objects.filter(adapters__isnull=False).count() / 600
    listed = Adapter.objects.listed_for(None).count()
    assert 600 * 0.8 < listed < 600
    owned = [row.adapters.count() for row in Namespace.objects.all()]
    assert max(owned) > 5 * sorted(owned)[len(owned) // 2]
    assert {Version.objects.filter(number=number).count() > 0 for number in (1, 2, 5)} == {True}
    shown = Adapter.objects.filter(latest_version__in=Image.objects.values("render__version"))
    brought = Adapter.objects.filter(latest_version__in=Sample.objects.values("version"))
    assert 600 * 0.1 < shown.count() < 600 * 0.3
    assert 600 * 0.15 < brought.count() < 600 * 0.35


def test_the_bytes_of_weights_are_known_as_not_stored_and_found_by_hash(client: Client) -> None:
    generate(count=40)
    version = Version.objects.filter(adapter=_listed(), state=VersionState.PUBLISHED).first()
    assert version is not None
    file = version.primary_file
    assert file is not None
    assert not file.blob.is_stored
    address = f"/api/v1/adapters/{version.adapter.full_name}/versions/v{version.number}"
    assert client.get(f"{address}/files/{file.path}").status_code in {404, 409, 410}
    hashed = BlobHash.objects.filter(blob=file.blob, kind="blake3").get()
    found = client.get(f"/api/v1/hashes/{hashed.value}")
    assert found.status_code == 200
    assert client.get("/browse", {"q": hashed.value}).status_code in {200, 302}
    assert BlobAnatomy.objects.filter(blob=file.blob).get().is_current


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    names = [vocabulary.title(vocabulary.seeded(seed), _words(seed), "style") for seed in range(40)]
    again = [vocabulary.title(vocabulary.seeded(seed), _words(seed), "style") for seed in range(40)]
    assert names == again
    assert len(set(names)) > 30
    generate(count=30)
    first = facts()
    call_command("flush", interactive=False)
    generate("--seed=1", count=30)
    second = facts()
    call_command("flush", interactive=False)
    generate("--seed=2", count=30)
    assert _without_numbers(first) == _without_numbers(second)
    assert _without_numbers(first) != _without_numbers(facts())


def _words(seed: int) -> dict[str, str]:
    return vocabulary.words_of(vocabulary.seeded(seed))


def _without_numbers(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Leave out the end of each name, which is the row's id."""
    return sorted((str(name).rpartition("-")[0], *rest) for name, *rest in rows)


def test_a_hub_with_adapters_is_only_filled_if_that_is_meant(ada: User) -> None:
    services.create(actor=ada, name="mine")
    with pytest.raises(CommandError, match="This hub has adapters"):
        generate(count=20)
    assert Adapter.objects.count() == 1
    generate("--yes", count=20)
    generate("--yes", count=20)
    assert Adapter.objects.count() == 41


def test_progress_is_reported_with_the_total_of_each_step(ada: User) -> None:
    services.create(actor=ada, name="mine")
    seen: list[tuple[str, int, int]] = []
    fill(adapters_wanted=20, seed=1, end=timezone.now(), progress=lambda *step: seen.append(step))
    assert seen == [("adapters", 20, 20), ("search documents", 21, 21)]


@pytest.mark.parametrize("count", ["0", "-1", "many", ""])
def test_a_count_that_is_none_is_refused(count: str) -> None:
    with pytest.raises(CommandError, match="whole number"):
        call_command("generate", f"--adapters={count}")


def test_every_generated_header_proves_its_family_or_leaves_it_open() -> None:
    for family in FAMILIES:
        for training, method in enumerate((*METHODS, *METHODS)[: len(TRAININGS)]):
            known = weights(family, method, 16, training)
            assert (known.family, known.algorithm) == (family, method)
            assert known.proven_family in {family, ""}


def test_generated_headers_name_trainers_and_train_text_encoders() -> None:
    found = [weights("sd1", "lora", 8, number) for number in range(len(TRAININGS))]
    assert {"sd-scripts", "ai-toolkit", "OneTrainer", "diffusers", ""} < {w.trainer for w in found}
    assert {known.parts for known in found} == {"denoiser", "both"}
    assert {known.proven_family for known in found} == {"sd1"}
    assert weights("lumina2", "lora", 8, 4).parts == "denoiser"


def test_coined_names_differ() -> None:
    assert len({vocabulary.coined(number) for number in range(50_000)}) == 50_000
    assert len(set(vocabulary.NAMES)) == vocabulary.COINED
