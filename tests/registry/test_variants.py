"""Halves of a pair are told by their names, by the name of the other, or by their headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lorary.library.variants import HIGH, LOW, variants_of
from registry.publication import services as publication
from registry.versions import reinspect
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from registry.models import Adapter, User, Version

WAN: dict[str, Any] = {"base": {"family": "wan_14b", "candidates": ["wan_14b"]}}
EITHER: dict[str, Any] = {"base": {"family": None, "candidates": ["wan_14b", "wan_14b_i2v"]}}
SDXL: dict[str, Any] = {"base": {"family": "sdxl", "candidates": ["sdxl"]}}


def told(*names: str, document: dict[str, Any] = WAN, declared: str = "") -> dict[str, str]:
    paths = [f"{name}.safetensors" for name in names]
    found = variants_of(dict.fromkeys(paths, document), declared)
    return {path.removesuffix(".safetensors"): variant for path, variant in found.items()}


@pytest.mark.parametrize(
    ("high", "low"),
    [
        ("noir_high_noise", "noir_low_noise"),
        ("noir-high-noise", "noir-low-noise"),
        ("Wan2.2-T2V-NoirHighNoise", "Wan2.2-T2V-NoirLowNoise"),
        ("noir_highnoise_e20", "noir_lownoise_e12"),
        ("high_noise_model/noir", "low_noise_model/noir"),
        ("NOIR-HN-v3", "NOIR-LN-v3"),
        ("noir_HIGH", "noir_LOW"),
        ("wan22-noir-16epoc-full-high-rank", "wan22-noir-16epoc-full-low-rank"),
        ("NoirHigh", "NoirLow"),
        ("noir.high.v2", "noir.low.v2"),
        ("high/noir", "low/noir"),
        ("noir-H-e8", "noir-L-e8"),
        ("noir_high_noise", "noir2_low_noise"),
    ],
)
def test_names_of_a_pair_tell_its_halves(high: str, low: str) -> None:
    assert told(high, low) == told(low, high) == {high: HIGH, low: LOW}


@pytest.mark.parametrize("name", ["noir_low_noise", "noir-LN"])
def test_one_half_alone_is_told_where_its_name_says_so_outright(name: str) -> None:
    assert told(name) == {name: LOW}


@pytest.mark.parametrize(
    "names",
    [
        ("noir_high",),
        ("noir_high", "blanc_low"),
        ("noir_high", "noir_highlow"),
        ("highlight", "lowlight"),
        ("slow", "shigh"),
        ("high_noise_low_noise_merged",),
        ("noir_high", "noir_HIGH", "noir_low"),
        ("noir_v1", "noir_v2"),
    ],
)
def test_names_that_say_nothing_for_sure_say_nothing(names: tuple[str, ...]) -> None:
    assert told(*names) == {}


def test_only_bases_with_two_halves_have_them() -> None:
    pair = ("detail_high", "detail_low")
    assert told(*pair, document=SDXL) == {}
    assert told(*pair, document=SDXL, declared="wan_14b") == {}
    assert told("a_high_noise", document=SDXL) == {}
    assert told(*pair, document={}) == {}
    assert told(*pair, document={}, declared="wan_14b") == {pair[0]: HIGH, pair[1]: LOW}
    assert told(*pair, document=EITHER) == {pair[0]: HIGH, pair[1]: LOW}


def test_the_header_tells_where_the_name_does_not() -> None:
    trained = WAN | {"training": {"expert": "low_noise"}}
    assert told("noir", document=trained) == {"noir": LOW}
    assert told("noir_high_noise", document=trained) == {"noir_high_noise": HIGH}
    assert told("noir", document=WAN | {"training": {"expert": 3}}) == {}


@pytest.mark.parametrize(
    ("names", "variants"),
    [
        (("noir-000004", "noir-000010", "noir"), ("epoch-4", "epoch-10", "final")),
        (("noir-000004", "noir-000010"), ("epoch-4", "epoch-10")),
        (("noir-step00000500", "noir-step00001000"), ("step-500", "step-1000")),
        (("noir_000000500", "noir"), ("step-500", "final")),
        (("noir_e4", "noir_e12"), ("epoch-4", "epoch-12")),
        (("2026-01-02_03-04-05-save-250-1-0", "2026-01-02_03-05-05-save-500-2-0"),
         ("step-250", "step-500")),
        (("checkpoint-500/lora", "checkpoint-1000/lora", "lora"),
         ("step-500", "step-1000", "final")),
        (("a/noir-000004", "a/noir", "b/noir"), ("epoch-4", "final", "")),
        (("noir-000004", "blanc-000004"), ("", "")),
        (("noir_v1", "noir_v2", "noir"), ("", "", "")),
        (("noir-000004", "noir_000004"), ("", "")),
        (("noir",), ("",)),
    ],
)  # fmt: skip
def test_checkpoints_of_one_run_are_told_apart(
    names: tuple[str, ...], variants: tuple[str, ...]
) -> None:
    found = told(*names, document=SDXL)
    assert tuple(found.get(name, "") for name in names) == variants


@pytest.mark.parametrize(
    ("names", "place"),
    [
        (("n_high-000004", "n_high", "n_low-000004", "n_low"), "epoch-4"),
        (
            ("n_000000500_high_noise", "n_high_noise", "n_000000500_low_noise", "n_low_noise"),
            "step-500",
        ),
    ],
)
def test_a_half_is_the_last_checkpoint_of_its_run(names: tuple[str, ...], place: str) -> None:
    assert told(*names) == dict(
        zip(names, (f"{HIGH}-{place}", HIGH, f"{LOW}-{place}", LOW), strict=True)
    )


# --- Published -------------------------------------------------------------------------------

HALF = kohya(DENOISERS["wan_14b", "native"])


def release(adapter: Adapter, ada: User, family: str = "", **files: bytes) -> Version:
    sent = [catalogue.accept(ada, data, f"{name}.safetensors") for name, data in files.items()]
    said = Details(declared_family=family)
    return publication.release(actor=ada, adapter=adapter, uploads=sent, details=said)


def files(version: Version) -> dict[str, tuple[str, bool]]:
    return {file.path: (file.variant, file.is_primary) for file in version.files}


@pytest.mark.django_db
def test_a_pair_is_published_with_its_halves_and_the_first_is_primary(
    noir: Adapter, ada: User
) -> None:
    other = kohya(DENOISERS["wan_14b", "native"], rank=8)
    version = release(noir, ada, noir_high=HALF, noir_low=other)
    assert version.family == "wan_14b"
    assert files(version) == {
        "noir_high.safetensors": (HIGH, True),
        "noir_low.safetensors": (LOW, False),
    }


@pytest.mark.django_db
@pytest.mark.parametrize("names", [("noir_high_noise", "noir_low_noise"), ("noir_H", "noir_L")])
def test_a_pair_needs_nobody_to_name_its_base(
    noir: Adapter, ada: User, names: tuple[str, str]
) -> None:
    attention = [one for one in DENOISERS["wan_14b", "native"] if "attn" in one.path]
    halves = {name: kohya(attention, rank=4 + n) for n, name in enumerate(names)}
    version = release(noir, ada, "", **halves)
    assert version.family == "wan_14b"
    assert [file.variant for file in version.files] == [HIGH, LOW]
    reinspect.run(includes_current=True)
    version.refresh_from_db()
    assert version.family == "wan_14b"


@pytest.mark.django_db
def test_the_last_checkpoint_of_a_run_is_primary(noir: Adapter, ada: User) -> None:
    targets = DENOISERS["sd1", "diffusers"]
    longer = kohya(targets, rank=8, metadata={"ss_epoch": "4", "ss_training_comment": "x" * 99})
    found = {"noir-000004": longer, "noir-000010": kohya(targets, rank=8), "te": kohya(targets)}
    assert files(release(noir, ada, "", **found)) == {
        "noir-000004.safetensors": ("epoch-4", False),
        "noir-000010.safetensors": ("epoch-10", True),
        "te.safetensors": ("", False),
    }


@pytest.mark.django_db
def test_one_half_alone_is_primary(noir: Adapter, ada: User) -> None:
    version = release(noir, ada, noir_low_noise=HALF)
    assert files(version) == {"noir_low_noise.safetensors": (LOW, True)}


@pytest.mark.django_db
def test_files_for_another_base_are_no_pair(noir: Adapter, ada: User) -> None:
    plain = kohya(DENOISERS["sd1", "diffusers"])
    larger = kohya(DENOISERS["sd1", "diffusers"], rank=8)
    version = release(noir, ada, "wan_14b", noir_high=plain, noir_low=larger)
    assert files(version) == {
        "noir_high.safetensors": ("", False),
        "noir_low.safetensors": ("", True),
    }
