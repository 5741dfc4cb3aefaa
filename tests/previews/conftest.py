"""A tiny base with random weights, opened once, and versions to render on it."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from diffusers import DiffusionPipeline

from previews.render.engine import Engine
from registry.adapters import services as adapters
from registry.jobs import worker_process
from registry.models import Adapter
from registry.versions.details import Details
from tests import catalogue
from tests.previews.updates import bases_at
from tests.served import serve
from tests.snapshots import Snapshot
from training.miniature.tiny import write_tiny_base, write_tiny_lora

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import User, Version


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("bases") / "tiny")


@pytest.fixture(scope="session")
def tiny_lora(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_tiny_lora(tmp_path_factory.mktemp("loras") / "tiny.safetensors").read_bytes()


@pytest.fixture(scope="session")
def engine(tiny_folder: Path) -> Engine:
    return Engine(bases_at(tiny_folder))


@pytest.fixture(scope="session")
def _opened(tiny_folder: Path) -> Any:
    opener: Any = DiffusionPipeline
    pipeline = opener.from_pretrained(tiny_folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def plain(_opened: Any) -> Any:
    """A pipeline of its own, to be changed at will."""
    return copy.deepcopy(_opened)


@pytest.fixture(scope="session")
def bases_file(tiny_folder: Path) -> Path:
    file = tiny_folder.parent / "bases.toml"
    file.write_text(
        '[bases.tiny]\nfamily = "miniature"\npath = "tiny"\ndevice = "cpu"\nsteps = 2\n'
        'guidance = 2.5\nwidth = 64\nheight = 64\ntrigger = "end"\n'
    )
    return file


@pytest.fixture
def served(settings: Settings, bases_file: Path) -> None:
    """This hub has a base for the miniature's family."""
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=bases_file)


@pytest.fixture
def unserved(settings: Settings, tmp_path: Path) -> None:
    """This hub has no base of the Miniature."""
    (tmp_path / "others").mkdir()
    serve(settings, tmp_path / "others", "sdxl")


@pytest.fixture
def previews_off(settings: Settings, tmp_path: Path) -> None:
    """This hub has no base at all."""
    file = tmp_path / "none.toml"
    file.touch()
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=file)


def _publish_and_render(request: pytest.FixtureRequest) -> Version:
    request.getfixturevalue("served")
    version: Version = request.getfixturevalue("publish")(request.getfixturevalue("noir"))
    worker_process.drain("render.miniature")
    return version


RENDERED = Snapshot(_publish_and_render)


@pytest.fixture(autouse=True)
def _rendered(request: pytest.FixtureRequest) -> None:
    RENDERED.put_for(request, "rendered")


@pytest.fixture
def rendered(request: pytest.FixtureRequest, served: None, noir: Adapter) -> Version:
    """A version whose pictures are rendered, and nothing more."""
    del served
    return noir.versions.first() or _publish_and_render(request)


@pytest.fixture
def noir(ada: User) -> Adapter:
    there = Adapter.objects.filter(name="noir").first()
    return there or adapters.create(actor=ada, name="noir", title="Noir", kind="style")


@pytest.fixture
def publish(tiny_lora: bytes, django_capture_on_commit_callbacks: Any) -> Callable[..., Version]:
    """Upload, check, draft and publish; what follows a commit happens."""

    def publish(
        adapter: Adapter, data: bytes = tiny_lora, words: tuple[str, ...] = ("neon glow",)
    ) -> Version:
        details = Details(declared_family="miniature", trigger_words=words)
        with django_capture_on_commit_callbacks(execute=True):
            return catalogue.release(adapter, data, details)

    return publish
