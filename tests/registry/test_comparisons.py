"""Comparisons of the weights of two versions: results, limits, who may read them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.db.models import F
from django.utils import timezone

from lorary.algebra.comparing import compare
from lorary.algebra.conversion.converting import convert
from registry.adapters import services as adapters
from registry.comparisons import selectors, services
from registry.comparisons.process import MOST_CHARACTERS
from registry.derived import on_demand
from registry.errors import Forbidden, Gone, RateLimited, StateConflict, TooLarge
from registry.jobs import queue, worker_process
from registry.models import Adapter, DerivedState, Job, Version, VersionComparison
from registry.versions import withdraw
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.builders.factors import some_pairs, write_pairs
from tests.builders.relatives import write_arrays, write_original

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import DjangoAssertNumQueries

    from registry.comparisons.selectors import Compared
    from registry.models import User

pytestmark = pytest.mark.django_db
RESTORED = "pair"


def release(owner: User, name: str, path: Path) -> Version:
    if there := Version.objects.filter(adapter__name=name).first():  # from a snapshot
        return there
    adapter = adapters.create(actor=owner, name=name, kind="style")
    return catalogue.release(adapter, path.read_bytes())


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    """Two trainings for Stable Diffusion 1, which have some modules in common."""
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    write_original(first, "sd1", "kohya", seed=1, modules=8)
    write_original(second, "sd1", "kohya", seed=2, modules=10)
    return first, second


@pytest.fixture
def pair(ada: User, bob: User, paths: tuple[Path, Path]) -> tuple[Version, Version]:
    return release(ada, "noir", paths[0]), release(bob, "film", paths[1])


def ask(first: Version, second: Version, actor: User | None = None) -> Compared:
    return services.request(actor=actor, first=first, second=second, address="192.0.2.1")


def computed(first: Version, second: Version) -> Compared:
    assert ask(first, second).is_open
    worker_process.drain("checks")
    return selectors.find(None, first, second)


def numbers(result: Any) -> dict[str, Any]:
    """The cosines and energies of a result, by block; rounding differs between processes."""
    blocks = {one["block"]: one for one in result["blocks"]}
    found = {name: [one["cosine"], *one["energy"], one["moved"]] for name, one in blocks.items()}
    flat = {f"{name} {n}": value for name, row in found.items() for n, value in enumerate(row)}
    return {**flat, "cosine": result["cosine"], "a": result["energy"][0], "b": result["energy"][1]}


def test_the_result_is_that_of_the_command(
    pair: tuple[Version, Version], paths: tuple[Path, Path]
) -> None:
    first, second = pair
    found = computed(first, second)
    assert numbers(found.result) == pytest.approx(numbers(compare(*paths).to_dict()))
    assert VersionComparison.objects.count() == 1
    turned = ask(second, first)  # the same row
    assert numbers(turned.result) == pytest.approx(numbers(compare(*reversed(paths)).to_dict()))
    assert Job.objects.filter(task=VersionComparison.task).count() == 1


def test_other_namings_are_compared_by_converting_one(
    ada: User, pair: tuple[Version, Version], paths: tuple[Path, Path], tmp_path: Path
) -> None:
    renamed = tmp_path / "c.safetensors"
    convert(paths[1], to="comfyui", out=renamed, family="sd1")
    other = release(ada, "renamed", renamed)
    found = computed(pair[0], other)
    expected = compare(*paths)
    assert found.result["cosine"] == pytest.approx(expected.cosine)
    assert found.result["energy"] == pytest.approx(expected.energy)
    assert "lorary.operation" in found.result["metadata"]  # the header that was uploaded


def test_metadata_that_would_fill_the_database_are_cut(ada: User, tmp_path: Path) -> None:
    versions = [
        release(
            ada,
            f"n{number}",
            write_pairs(
                tmp_path / f"{number}.safetensors",
                some_pairs(seed=number),
                metadata={"long": "x" * 9000 + str(number), "short": str(number)},
            ),
        )
        for number in range(2)
    ]
    metadata = computed(*versions).result["metadata"]
    assert [len(value) for value in metadata["long"]] == [MOST_CHARACTERS] * 2
    assert metadata["short"] == ["0", "1"]


def test_what_has_no_exact_form_is_refused_with_the_reason(
    ada: User, pair: tuple[Version, Version], tmp_path: Path
) -> None:
    dora = tmp_path / "dora.safetensors"
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    tensors = {
        f"{name}.lora_down.weight": np.ones((2, 320), np.float32),
        f"{name}.lora_up.weight": np.ones((320, 2), np.float32),
        f"{name}.dora_scale": np.ones((320, 1), np.float32),
    }
    write_arrays(dora, tensors)
    found = computed(pair[0], release(ada, "dora", dora))
    assert (found.state, found.refusal) == (DerivedState.REFUSED, "no_factors")
    assert "its update depends on the weights of the base model" in found.reason
    assert ask(found.first, found.second).state == DerivedState.REFUSED
    assert Job.objects.filter(task=VersionComparison.task).count() == 1  # not tried again
    for hours, is_open in ((23, False), (2, True)):
        VersionComparison.objects.update(used_at=F("used_at") - timedelta(hours=hours))
        assert ask(found.first, found.second).is_open == is_open


def test_other_base_models_and_the_same_version_need_no_job(
    ada: User, pair: tuple[Version, Version]
) -> None:
    adapter = adapters.create(actor=ada, name="large", kind="style")
    other = catalogue.release(adapter, kohya(DENOISERS["sdxl", "sgm"]))
    found = ask(pair[0], other)
    assert found.refusal == "families_differ"
    assert "ada/noir@v1 is for Stable Diffusion 1.x, ada/large@v1 for" in found.reason
    assert ask(pair[0], pair[0]).refusal == "same_version"
    assert not Job.objects.filter(task=VersionComparison.task).exists()


def test_gated_and_withdrawn_versions_are_not_compared(
    ada: User, bob: User, pair: tuple[Version, Version]
) -> None:
    first, second = pair
    computed(first, second)
    Adapter.objects.filter(pk=second.adapter_id).update(access="manual")
    second.adapter.refresh_from_db()
    for user in (None, ada):
        with pytest.raises(Forbidden):
            selectors.find(user, first, second)
        with pytest.raises(Forbidden):
            ask(first, second, user)
    assert selectors.find(bob, first, second).is_ready
    withdraw.withdraw(actor=ada, version=first, reason="Copied")
    first.refresh_from_db()
    with pytest.raises(Gone):
        selectors.find(bob, first, second)
    assert services.sweep(is_dry=True) == (0, 0)
    assert VersionComparison.objects.exists()
    services.sweep(is_dry=False)
    assert not VersionComparison.objects.exists()


def test_a_version_that_is_withdrawn_meanwhile_ends_the_job(
    ada: User, pair: tuple[Version, Version]
) -> None:
    ask(*pair)
    withdraw.withdraw(actor=ada, version=pair[0], reason="Copied")
    worker_process.drain("checks")
    row = VersionComparison.objects.get()
    assert (row.state, row.reason) == (DerivedState.FAILED, "A version was withdrawn.")


def test_a_failed_comparison_is_computed_again_and_a_cancelled_one_queued_again(
    pair: tuple[Version, Version],
) -> None:
    ask(*pair)
    queue.cancel(Job.objects.get(task=VersionComparison.task).key)
    long_ago = timezone.now() - on_demand.ENQUEUE
    for rows, column in ((VersionComparison.objects, "used_at"), (Job.objects, "finished_at")):
        assert ask(*pair).is_open
        assert not VersionComparison.open_jobs().exists()  # an operator cancelled it a moment ago
        rows.update(**{column: long_ago})
    assert ask(*pair).is_open
    assert VersionComparison.open_jobs().count() == 1
    VersionComparison.objects.update(state=DerivedState.FAILED, reason="A crash.")
    assert ask(*pair).reason == "A crash."
    VersionComparison.objects.update(used_at=timezone.now() - services.AGAIN[DerivedState.FAILED])
    assert ask(*pair).is_open
    worker_process.drain("checks")
    assert selectors.find(None, *pair).is_ready


def test_polls_do_not_queue_the_work_again(
    pair: tuple[Version, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(*pair)
    calls: list[str] = []
    monkeypatch.setattr(queue, "enqueue", lambda **kwargs: calls.append(kwargs["key"]))
    for expected in (0, 1):
        for _poll in range(3):
            assert ask(*pair).is_open
        assert len(calls) == expected
        VersionComparison.objects.update(used_at=timezone.now() - on_demand.ENQUEUE)


def test_unused_comparisons_are_removed(pair: tuple[Version, Version], settings: Any) -> None:
    ask(*pair)
    old = timezone.now() - timedelta(days=settings.LORARY.derived_days + 1)
    VersionComparison.objects.update(used_at=old, state=DerivedState.READY)
    ask(*pair)  # used again
    services.sweep(is_dry=False)
    assert VersionComparison.objects.exists()
    VersionComparison.objects.update(used_at=old)
    services.sweep(is_dry=False)
    assert not VersionComparison.objects.exists()


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"derived_per_hour": 0}, StateConflict),
        ({"derived_bytes": 10}, TooLarge),
    ],
)
def test_the_limits_of_derived_files_hold(
    pair: tuple[Version, Version],
    own_settings: Callable[..., None],
    limits: dict[str, int],
    error: type[Exception],
) -> None:
    own_settings(**limits)
    with pytest.raises(error):
        ask(*pair)
    assert not VersionComparison.objects.exists()


def test_requests_and_waiting_comparisons_are_limited(
    ada: User,
    pair: tuple[Version, Version],
    paths: tuple[Path, Path],
    own_settings: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_settings(derived_per_hour=1)
    other = release(ada, "more", paths[0])
    ask(*pair)
    with pytest.raises(RateLimited, match="1 new comparisons within an hour"):
        ask(pair[0], other)
    monkeypatch.setattr(on_demand, "MOST_QUEUED", 1)
    with pytest.raises(RateLimited, match="1 other comparisons"):
        ask(pair[0], other, ada)
    assert ask(*pair).is_open  # one that waits is no new one


def test_pairs_of_a_mix_take_one_query(
    ada: User,
    pair: tuple[Version, Version],
    paths: tuple[Path, Path],
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    third = release(ada, "more", paths[0])
    computed(*pair)
    with django_assert_num_queries(1):
        found = selectors.pairs_of(None, [third, *reversed(pair)])
        assert [one.state for one in found] == ["absent", "absent", "ready"]
        assert found[2].result["energy"][0] > 0
