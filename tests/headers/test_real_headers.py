"""Headers of published adapters, filled with finite numbers, go the whole way in."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings

from lorary.anatomy import family_title
from registry import tasks
from registry.accounts import users
from registry.adapters import services as adapters
from registry.models import UploadState
from registry.publication import services as publication
from registry.uploads import services as uploads
from tests.builders.streams import SIZES, write_safetensors
from tests.lorary import reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from _pytest.mark.structures import ParameterSet
    from django.test import Client

    from registry.models import Adapter, User

FAMILIES = {"sd1", "sdxl", "flux1"}

#: Families whose attention layers are the same: a file without others may be of either.
TWINS = {frozenset({"flux1", "chroma"}), frozenset({"sdxl", "kolors"}), frozenset({"sd1", "sd2"})}

#: Number format of tensors whose header was recorded without one.
UNRECORDED = "BF16"

LARGE_BYTES = 100_000_000

#: Where the name of a tensor leaves the name of its module.
MARK = re.compile(r"(\.lora[._].*|\.alpha|_lora\.(down|up)\.weight)$")


@dataclass(frozen=True)
class Known:
    """A recorded header and what is known of the file it was taken from."""

    name: str
    family: str
    rank: int
    metadata: Mapping[str, str]
    tensors: Mapping[str, tuple[str, Sequence[int]]]

    @property
    def size_bytes(self) -> int:
        """Size of the tensors."""
        total = 0
        for dtype, shape in self.tensors.values():
            count = 1
            for side in shape:
                count *= side
            total += SIZES[dtype] * count
        return total

    @property
    def parts(self) -> dict[str, int]:
        """Adapted modules by part, counted by names alone."""
        found = Counter(_part(name) for name in {_module(key) for key in self.tensors})
        return dict(found)


def _module(key: str) -> str:
    return MARK.sub("", key)


def _part(module: str) -> str:
    if module.startswith(("lora_te2_", "text_encoder_2.")):
        return "text_encoder_2"
    is_text = module.startswith(("lora_te_", "lora_te1_", "text_encoder."))
    return "text_encoder" if is_text else "denoiser"


def _is_covered(document: Mapping[str, Any]) -> bool:
    tensors: Mapping[str, Mapping[str, Any]] = document["tensors"]
    return (
        document["complete"]
        and document["is_adapter"]
        and document["origin"] in {"published", "whole_file", "library_generated"}
        and document["known_family"] in FAMILIES
        and document["known_algorithm"] in {"lora", "locon"}
        and all(tensor["shape"] is not None for tensor in tensors.values())
    )


def _known() -> Iterator[ParameterSet]:
    for name in reference.names("lora_headers"):
        document = reference.load("lora_headers", name)
        if not _is_covered(document):
            continue
        known = Known(
            name=name,
            family=document["known_family"],
            rank=document["known_rank"],
            metadata=reference.metadata_of(document),
            tensors={
                key: (tensor["dtype"] or UNRECORDED, tensor["shape"])
                for key, tensor in document["tensors"].items()
            },
        )
        marks = [pytest.mark.slow, pytest.mark.long] if known.size_bytes > LARGE_BYTES else []
        yield pytest.param(known, id=f"{known.name}-{document['origin']}", marks=marks)


@pytest.fixture
def ada(db: None) -> User:
    return users.create_user(name="ada")


@pytest.fixture
def adapter(ada: User) -> Adapter:
    return adapters.create(actor=ada, name="real")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A place for the file; it and the store are emptied at once, they are large."""
    path = tmp_path / "real.safetensors"
    yield path
    path.unlink(missing_ok=True)
    shutil.rmtree(settings.LORARY.data / "files", ignore_errors=True)


@pytest.mark.parametrize("known", list(_known()))
def test_a_real_header_shows_its_family_rank_and_parts(
    known: Known, ada: User, adapter: Adapter, file: Path, client: Client
) -> None:
    size = write_safetensors(file, known.tensors, known.metadata)
    upload = uploads.create(actor=ada, path=file.name, size_bytes=size)
    with file.open("rb") as stream:
        uploads.receive(actor=ada, upload=upload, stream=stream)
    tasks.wake("checks")
    upload.refresh_from_db()
    assert upload.state == UploadState.ACCEPTED, [str(f) for f in upload.findings.all()]
    draft = publication.create_draft(actor=ada, adapter=adapter, uploads=[upload])
    publication.publish(actor=ada, version=draft)

    version = client.get("/api/v1/adapters/ada/real/versions/v1").json()
    anatomy = version["anatomy"]
    candidates = anatomy["base"]["candidates"]
    assert known.family in candidates
    assert candidates == [known.family] or frozenset(candidates) in TWINS
    assert version["family"] == (known.family if len(candidates) == 1 else "")
    assert version["rank"] == anatomy["rank"]["mode"] == known.rank
    assert anatomy["parts"] == known.parts
    assert anatomy["file"]["tensors"] == len(known.tensors)
    assert anatomy["file"]["size_bytes"] == size

    page = client.get("/ada/real?tab=anatomy").content.decode()
    assert family_title(known.family) in page
    assert f">{known.rank}</td>" in page
