"""People and things that the catalogue's tests start from."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING

import pytest

import registry.tasks  # noqa: F401 - registers the handlers
from registry import worker
from registry.services import accounts, adapters, uploads, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import Settings

    from registry.models import Adapter, Upload, User, Version
    from registry.services.versions import Details


@pytest.fixture
def ada(db: None) -> User:
    return accounts.create_user(name="ada", email="ada@example.org", password="correct horse")


@pytest.fixture
def bob(db: None) -> User:
    return accounts.create_user(name="bob", email="bob@example.org", password="correct horse")


@pytest.fixture
def noir(ada: User) -> Adapter:
    return adapters.create(
        actor=ada, name="noir", title="Noir", kind="style", tags=["Film", "dark"]
    )


@pytest.fixture
def send() -> Callable[..., Upload]:
    """Upload bytes and run their checks."""

    def send(actor: User, data: bytes, path: str = "noir.safetensors") -> Upload:
        upload = uploads.create(actor=actor, path=path, size_bytes=len(data))
        uploads.receive(actor=actor, upload=upload, stream=io.BytesIO(data))
        worker.drain("checks")
        upload.refresh_from_db()
        return upload

    return send


@pytest.fixture
def release(send: Callable[..., Upload]) -> Callable[..., Version]:
    """Upload, draft and publish in one go."""

    def release(
        actor: User, adapter: Adapter, data: bytes, details: Details | None = None
    ) -> Version:
        upload = send(actor, data)
        draft = versions.create_draft(
            actor=actor, adapter=adapter, uploads=[upload], details=details
        )
        return versions.publish(actor=actor, version=draft)

    return release


@pytest.fixture
def small_parts(settings: Settings) -> None:
    """Cut uploads into parts of 64 KiB."""
    settings.LORARY = dataclasses.replace(settings.LORARY, part_bytes=64 * 1024)
