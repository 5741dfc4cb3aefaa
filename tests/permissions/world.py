"""A hub with an adapter and a pack in every state, and every kind of caller.

A pack is called like the adapter that is its only part; “gated” ones have a gated part, and a
“draft” has no version. All belong to the organisation ``studio``; ``ada`` may write there, ``rita``
is a member who may only read, ``bob`` is somebody else and ``otto`` runs the hub. What belongs to a
person (an upload, a token, a try-out) is ada's.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.test import Client
from django.utils import timezone
from PIL import Image as Picture

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from previews.models import (
    Image,
    Layer,
    Recipe,
    Render,
    Report,
    ReportPicture,
    Sample,
    Sheet,
    Tryout,
)
from previews.pictures.selectors import DIGITS
from previews.render.defaults import default_recipe
from previews.render.look.recipes import report_recipe
from previews.renders import services as renders
from previews.worker_bases import base_for
from registry.accounts import users
from registry.adapters import services as adapters
from registry.aliases import services as aliases
from registry.cards import services as cards
from registry.jobs import queue
from registry.models import (
    AccessToken,
    Adapter,
    Blob,
    Membership,
    Namespace,
    NamespaceKind,
    NamespaceName,
    Pack,
    PackVersion,
    Role,
    User,
    Version,
    Worker,
)
from registry.packs import aliases as pack_aliases
from registry.packs import publish, states
from registry.packs import services as packs
from registry.publication import services as publication
from registry.tokens import services as tokens
from registry.uploads import services as uploads
from registry.versions import services as versions
from registry.versions import withdraw
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.packs import manifest, part, report, sheet, variant
from tests.stored import blob_of

#: What an adapter can be like; each is the name of one.
STATES = (
    "public", "unlisted", "private", "gated-auto", "gated-manual", "blocked", "draft", "yanked",
    "version-withdrawn", "withdrawn",
)  # fmt: skip

#: Who asks; each is a way to be signed in.
CALLERS = (
    "stranger", "other-session", "other-token", "reader-session", "reader-token", "owner-session",
    "owner-token", "owner-read-token", "owner-bound-token", "owner-dead-token", "staff-session",
    "staff-token",
)  # fmt: skip

OWNER = "studio"


@dataclass(frozen=True)
class Caller:
    """Somebody who sends requests: by a session, by a token, or as a stranger."""

    session: str = ""
    secret: str = ""

    @classmethod
    def signed_in(cls, user: User) -> Caller:
        """Return a user with a session of the site."""
        client = Client()
        client.force_login(user)
        return cls(session=client.cookies[settings.SESSION_COOKIE_NAME].value)

    def client(self) -> Client:
        """Return a new client that is signed in so."""
        headers = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        client = Client(headers=headers, raise_request_exception=False)
        if self.session:
            client.cookies[settings.SESSION_COOKIE_NAME] = self.session
        return client


@dataclass
class World:
    """The rows; ``places`` has, for each state, what stands in addresses."""

    callers: dict[str, Caller] = field(default_factory=dict)
    places: dict[str, dict[str, Any]] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def build(cls) -> World:
        """Fill an empty hub."""
        world = cls()
        ada, bob, rita, otto = (
            users.create_user(name=name, email=f"{name}@example.org", password="a long word 7")
            for name in ("ada", "bob", "rita", "otto")
        )
        User.objects.filter(pk=otto.pk).update(is_staff=True)
        otto.refresh_from_db()
        studio = Namespace.objects.create(
            kind=NamespaceKind.ORGANISATION, name=OWNER, key=OWNER, display_name="Studio"
        )
        NamespaceName.objects.create(namespace=studio, key=OWNER)
        Membership.objects.create(namespace=studio, user=ada, role=Role.WRITE)
        Membership.objects.create(namespace=studio, user=rita, role=Role.READ)
        world._add_callers(ada, bob, rita, otto)
        for position, state in enumerate(STATES):
            world._add_adapter(ada, otto, studio, state, rank=position + 2)
        world._add_own(ada)
        return world

    def _add_callers(self, ada: User, bob: User, rita: User, otto: User) -> None:
        def secret(user: User, *scopes: str) -> str:
            return tokens.issue(actor=user, name="test", scopes=scopes)[1]

        bound, dead = secret(ada, "read", "write"), secret(ada, "read", "write")
        newest = AccessToken.objects.order_by("-pk")
        newest.filter(pk=newest[1].pk).update(namespace=ada.namespace)
        newest.filter(pk=newest[0].pk).update(expires_at=timezone.now() - timedelta(hours=1))
        self.callers = {
            "stranger": Caller(),
            "other-session": Caller.signed_in(bob),
            "other-token": Caller(secret=secret(bob, "read", "write")),
            "reader-session": Caller.signed_in(rita),
            "reader-token": Caller(secret=secret(rita, "read", "write")),
            "owner-session": Caller.signed_in(ada),
            "owner-token": Caller(secret=secret(ada, "read", "write")),
            "owner-read-token": Caller(secret=secret(ada, "read")),
            "owner-bound-token": Caller(secret=bound),
            "owner-dead-token": Caller(secret=dead),
            "staff-session": Caller.signed_in(otto),
            "staff-token": Caller(secret=secret(otto, "read", "write", "admin")),
        }

    def _add_own(self, ada: User) -> None:
        upload = uploads.create(actor=ada, path="begun.safetensors", size_bytes=1000)
        data = kohya(DENOISERS["sd1", "diffusers"], rank=1)
        accepted = catalogue.accept(ada, data, "spare.safetensors")
        token, _secret = tokens.issue(actor=ada, name="spare", scopes=["read"])
        worker = Worker.objects.create(name="box:1", queues=["checks"], seen_at=timezone.now())
        job = queue.enqueue(queue="checks", task="check_upload", args={}, key="spare")
        render = Render.objects.create(kind="tryout", recipe=_recipe(), state="ready")
        Layer.objects.create(
            render=render, position=0, version_id=self.places["public"]["version_id"]
        )
        tryout = Tryout.objects.create(
            user=ada, render=render, expires_at=timezone.now() + timedelta(days=1)
        )
        render = Render.objects.create(kind="tryout", recipe=_recipe(), state="ready")
        pack = PackVersion.objects.get(pack__name="public")
        of_pack = Tryout.objects.create(
            user=ada, render=render, expires_at=tryout.expires_at, pack_version=pack, variant="sd1"
        )
        self.own = {
            "upload_id": upload.public_id, "accepted_id": accepted.public_id,
            "token_id": token.pk, "worker_id": worker.pk, "job_id": job.pk, "user_id": ada.pk,
            "key": tryout.key, "pack_key": of_pack.key,
        }  # fmt: skip

    def _add_adapter(self, ada: User, otto: User, studio: Namespace, state: str, rank: int) -> None:
        adapter = adapters.create(actor=ada, owner=studio, name=state, title=state, kind="style")
        data = kohya(DENOISERS["sd1", "diffusers"], rank=rank)
        version = publication.create_draft(
            actor=ada, adapter=adapter, uploads=[catalogue.accept(ada, data, "noir.safetensors")]
        )
        if state != "draft":
            version = publication.publish(actor=ada, version=version)
            aliases.point(actor=ada, adapter=adapter, name="stable", to=version.revision)
        image, film, sheet, sample = _pictures(version, ada)
        reported = _report(version)
        pack = packs.create(actor=ada, owner=studio, name=state)
        _change(adapter, version, state, ada, otto, pack)
        weights = version.revision.files.get(path="noir.safetensors")
        self.places[state] = {
            "owner": OWNER, "name": state, "version": version.name, "path": "noir.safetensors",
            "alias": "stable", "ref": "main", "rest": "main/noir.safetensors",
            "sample_id": sample.pk, "render_id": sheet.render_id, "image_id": image.pk,
            "film_id": film.pk,
            "version_id": version.pk, "adapter_id": adapter.pk, "sha256": weights.blob.sha256,
            "digest": image.blob.sha256[:DIGITS], "width": 256, "picture_id": reported.pk,
        }  # fmt: skip


def _recipe() -> Recipe:
    base = base_for("miniature")
    assert base is not None
    return renders.store_recipe(default_recipe(base, "style"))


def _blob(color: int, kind: str) -> Blob:
    drawn = io.BytesIO()
    Picture.new("RGB", (300, 300), (color % 256, 0, 0)).save(drawn, kind)
    return blob_of(drawn.getvalue())


def _pictures(version: Version, ada: User) -> tuple[Image, Image, Sheet, Sample]:
    """Give a version what a worker would have made of it."""
    version.renders.all().delete()
    number = version.pk
    blob = _blob(number, "PNG")
    render = Render.objects.create(version=version, recipe=_recipe(), state="ready")
    image = Image.objects.create(
        render=render, blob=blob, animation=_blob(number, "WEBP"), position=0, prompt_index=0,
        prompt="a", seed=1, strength=1.0, width=300, height=300, media_type="image/webp",
    )  # fmt: skip
    film = Image.objects.create(
        render=render, blob=blob, animation=blob, position=1, prompt_index=0, prompt="a", seed=2,
        strength=1.0, width=300, height=300, media_type="video/mp4", frames=8, fps=8,
    )  # fmt: skip
    sheet = Sheet.objects.create(render=render, kind="png", blob=blob, width=300, height=300)
    sample = Sample.objects.create(
        version=version, author=ada, state="ready", blob=blob, width=300, height=300
    )
    return image, film, sheet, sample


def _report(version: Version) -> ReportPicture:
    """Give a version a look report with one picture."""
    base = base_for("miniature")
    recipe = report_recipe(base, "style") if base else None
    assert recipe is not None
    report = Report.objects.create(
        version=version, state="ready", base="miniature", recipe=recipe.to_dict(),
        recipe_digest=recipe.digest, strength=1.0, encoder="small", encoder_digest="a" * 64,
    )  # fmt: skip
    return ReportPicture.objects.create(
        report=report, blob=_blob(version.pk, "PNG"), part="look", position=0, prompt_index=0,
        prompt="a", seed=1, strength=1.0, width=300, height=300,
    )  # fmt: skip


def _change(
    adapter: Adapter, version: Version, state: str, ada: User, otto: User, pack: Pack
) -> None:
    if state != "draft":
        document = manifest(variant(part(adapter)))
        pack_version = publish.publish(actor=ada, pack=pack, manifest=document)
        pack_aliases.point(actor=ada, pack=pack, name="stable", to=pack_version)
        report(sheet(pack_version))
        _change_pack(pack_version, state, ada, otto)
    if state in {"unlisted", "private"}:
        cards.edit_adapter(actor=ada, adapter=adapter, visibility=state)
    elif state.startswith("gated"):
        Adapter.objects.filter(pk=adapter.pk).update(access=state)
    elif state == "blocked":
        Adapter.objects.filter(pk=adapter.pk).update(blocked_reason="Rights")
    elif state == "yanked":
        versions.yank(actor=ada, version=version, reason="Blurred")
    elif state == "version-withdrawn":
        withdraw.withdraw(actor=ada, version=version, reason="Copied")
    elif state == "withdrawn":
        withdraw.withdraw_adapter(actor=otto, adapter=adapter, reason="Copied")


def _change_pack(version: PackVersion, state: str, ada: User, otto: User) -> None:
    pack = version.pack
    if state in {"unlisted", "private"}:
        packs.describe(actor=ada, pack=pack, visibility=state)
    elif state == "blocked":
        Pack.objects.filter(pk=pack.pk).update(blocked_reason="Rights")
    elif state == "yanked":
        states.yank(actor=ada, version=version, reason="Blurred")
    elif state == "version-withdrawn":
        states.withdraw(actor=ada, version=version, reason="Copied")
    elif state == "withdrawn":
        states.withdraw_pack(actor=otto, pack=pack, reason="Copied")
