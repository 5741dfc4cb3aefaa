"""Calls of all write services, with the verbs of their events."""

from __future__ import annotations

import hashlib
import io
import time
from typing import TYPE_CHECKING, Any

from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from previews import operator_actions
from previews.covers import services as covers
from previews.models import Image, Recipe, Render, RenderState, Sample
from previews.packs import services as sheets
from previews.recipes import prompts
from previews.renders import services as renders
from previews.samples import services as samples
from previews.tryouts import packs as pack_tryouts
from previews.tryouts import services as tryouts
from previews.tryouts.packs import PackTryoutRequest
from registry.accounts import (
    deletion,
    disabling,
    export,
    organisations,
    quotas,
    second_factor,
    transfer,
    users,
)
from registry.adapters import services as adapters
from registry.aliases import services as aliases
from registry.audit import services as audit
from registry.audit.selectors import Filters
from registry.cards import services as cards
from registry.cards.fields import Card
from registry.commits import services as commits
from registry.commits.services import Inline
from registry.comparisons import services as comparisons
from registry.derived import selectors as derived_selectors
from registry.derived import services as derived
from registry.derived.options import Wanted
from registry.jobs import workers
from registry.log_context import LogContext
from registry.models import Adapter, Job, JobState, Namespace, Pack, Source, User, Worker
from registry.packs import aliases as pack_aliases
from registry.packs import publish as pack_publish
from registry.packs import services as packs
from registry.packs import states
from registry.publication import services as publication
from registry.tokens import device_logins
from registry.tokens import services as tokens
from registry.uploads import by_digest
from registry.uploads import services as uploads
from registry.versions import blocking, download_events, withdraw
from registry.versions import services as versions
from registry.versions.details import Details
from tests import catalogue
from tests import packs as made
from tests.builders.adapters import DENOISERS, kohya
from tests.previews.stacks import stack_of
from tests.registry.files import LORA
from tests.stored import blob_of

if TYPE_CHECKING:
    from registry.models import PackVersion, Upload, Version


#: The base model of a worker that is alive.
BASE = {"id": "sd15", "family": "sd1", "title": "SD 1.5", "steps": 2, "width": 64, "height": 64}
REQUEST = LogContext(source=Source.REQUEST, address="192.0.2.7")
#: Services that only the command line calls, for no account.
NOBODY = {"registry.accounts.users.set_staff", "registry.jobs.workers.set_wish"}


class World:
    """What the services are called with; each call gets new rows where it uses them up."""

    def __init__(self, ada: User, noir: Adapter) -> None:
        self.ada, self.noir, self.rank = ada, noir, 1
        self.version = catalogue.release(noir, LORA)
        self.pack_version: PackVersion = made.published(ada, noir)
        self.pack = self.pack_version.pack

    def lora(self) -> bytes:
        """Return bytes that the hub does not have."""
        self.rank += 1
        return kohya(DENOISERS["sd1", "diffusers"], rank=self.rank)

    def upload(self) -> Upload:
        return catalogue.accept(self.ada, self.lora())

    def open_upload(self) -> Upload:
        return uploads.create(actor=self.ada, path="a.safetensors", size_bytes=len(LORA))

    def sent_upload(self) -> Upload:
        upload, data = self.open_upload(), self.lora()
        upload = uploads.create(actor=self.ada, path="b.safetensors", size_bytes=len(data))
        uploads.receive_part(actor=self.ada, upload=upload, number=1, stream=io.BytesIO(data))
        return upload

    def draft(self) -> Version:
        return publication.create_draft(actor=self.ada, adapter=self.noir, uploads=[self.upload()])

    def released(self) -> Version:
        return publication.publish(actor=self.ada, version=self.draft())

    def adapter(self, name: str) -> Adapter:
        return adapters.create(actor=self.ada, name=name)

    def image(self) -> Image:
        recipe, _new = Recipe.objects.get_or_create(
            digest="0" * 64, defaults={"document": made.DOCUMENT}
        )
        render = Render.objects.create(
            version=self.version, state=RenderState.READY, recipe=recipe, base="tiny"
        )
        blob = blob_of(made.png(32))
        return Image.objects.create(
            render=render, blob=blob, position=0, prompt_index=0, prompt="a", seed=1,
            strength=1, width=32, height=32, placeholder="data:image/webp;base64,AAAA",
        )  # fmt: skip

    def sample(self) -> Sample:
        return samples.add(actor=self.ada, version=self.version, stream=io.BytesIO(made.png(64)))

    def job(self, state: str) -> int:
        render = renders.request(actor=self.ada, version=self.version)
        if state == JobState.FAILED:
            render.state, render.reason = RenderState.FAILED, "broken"
        render.save()
        assert render.job is not None
        Job.objects.filter(pk=render.job.pk).update(state=state)
        return render.job.pk

    def tryout(self) -> Any:
        return tryouts.create(actor=self.ada, request=stack_of((self.version, 0.5)))

    def pack_tryout(self) -> Any:
        variant = self.pack_version.variants.get()
        request = PackTryoutRequest(variant=variant, subject="a cat")
        return pack_tryouts.create(actor=self.ada, request=request)

    def device_login(self) -> str:
        return device_logins.begin(client="lorary").user

    def worker(self) -> Worker:
        return Worker.objects.get()

    def commit(self) -> Any:
        files = [Inline("notes.txt", b"x")]
        return commits.commit(actor=self.ada, adapter=self.noir, inlines=files, message="Notes")

    def assign_path(self) -> Any:
        data = self.lora()
        digest = hashlib.sha256(data).hexdigest()
        upload = by_digest.begin(actor=self.ada, sha256=digest, size_bytes=len(data))
        assert upload is not None
        by_digest.receive_body(actor=self.ada, upload=upload, stream=io.BytesIO(data))
        return by_digest.assign_path(actor=self.ada, sha256=digest, path="c.safetensors")

    def other(
        self, *, is_active: bool = True, has_app: bool = False, has_token: bool = False
    ) -> User:
        self.rank += 1
        user = users.create_user(name=f"other{self.rank}")
        User.objects.filter(pk=user.pk).update(is_active=is_active)
        if has_app:
            TOTPDevice.objects.create(user=user)
        if has_token:
            tokens.issue(actor=user, name="laptop")
        return User.objects.get(pk=user.pk)

    def second_factor(self) -> Any:
        app = TOTP(second_factor.pending(actor=self.ada).bin_key)
        app.time = time.time()
        return second_factor.confirm(actor=self.ada, code=f"{app.token():06}")

    def recovery_code(self) -> str:
        return second_factor.renew_codes(actor=self.ada)[0]

    def transfer(self, *, is_account: bool = False) -> Any:
        source, target = self.other(), self.other().namespace
        adapters.create(actor=source, name="given")
        packs.create(actor=source, name="given-too")
        if is_account:
            return transfer.transfer_account(actor=self.ada, user=source, target=target)
        return transfer.transfer_all(actor=self.ada, source=source.namespace, target=target)

    def organisation(self) -> Namespace:
        self.rank += 1
        return organisations.create(actor=self.ada, name=f"studio{self.rank}", admin=self.ada)

    def remove_member(self) -> bool:
        studio, member = self.organisation(), self.other()
        organisations.set_role(actor=self.ada, organisation=studio, user=member, role="write")
        return organisations.remove(actor=self.ada, organisation=studio, user=member)

    def derived(self) -> Any:
        source = derived_selectors.source_of(self.ada, "ada", "noir", self.version.name)
        return derived.request(
            actor=self.ada, source=source, wanted=Wanted("comfyui"), address="192.0.2.1"
        )


#: Name of a service to a call of it, and the verbs of its events.
CALLS: dict[str, tuple[Any, str]] = {
    "previews.covers.services.choose": (
        lambda w: covers.choose(actor=w.ada, adapter=w.noir, image=w.image().pk), "cover_chosen"
    ),
    "previews.covers.services.choose_automatically": (
        lambda w: covers.choose_automatically(actor=w.ada, adapter=w.noir), "cover_automatic"
    ),
    "previews.recipes.prompts.change": (
        lambda w: prompts.change(actor=w.ada, adapter=w.noir, prompts=["a red boat"]),
        "prompts_changed",
    ),
    "previews.recipes.prompts.reset": (
        lambda w: prompts.reset(actor=w.ada, adapter=w.noir), "prompts_reset"
    ),
    "previews.renders.services.rate": (
        lambda w: renders.rate(
            actor=w.ada, image_id=Image.objects.latest("pk").pk, maturity="mature"
        ),
        "picture_rated",
    ),
    "previews.renders.services.request": (
        lambda w: renders.request(actor=w.ada, version=w.version), "render_requested"
    ),
    "previews.operator_actions.retry": (
        lambda w: operator_actions.retry(actor=w.ada, job_id=w.job(JobState.FAILED)),
        "job_retried",
    ),
    "previews.operator_actions.cancel": (
        lambda w: operator_actions.cancel(actor=w.ada, job_id=w.job(JobState.QUEUED)),
        "job_cancelled",
    ),
    "previews.packs.services.request": (
        lambda w: sheets.request(
            actor=w.ada, version=w.pack_version, variant=w.pack_version.variants.get().name
        ),
        "sheet_requested",
    ),
    "previews.samples.services.add": (lambda w: w.sample(), "sample_added"),
    "previews.samples.services.edit": (
        lambda w: samples.edit(actor=w.ada, sample=w.sample(), caption="Rain"), "sample_edited"
    ),
    "previews.samples.services.remove": (
        lambda w: samples.remove(actor=w.ada, sample=w.sample()), "sample_removed"
    ),
    "previews.tryouts.services.create": (lambda w: w.tryout(), "tryout_created"),
    "previews.tryouts.services.create_group": (
        lambda w: tryouts.create_group(actor=w.ada, requests=[stack_of((w.version, 1.0))]),
        "tryout_created",
    ),
    "previews.tryouts.services.set_shared": (
        lambda w: tryouts.set_shared(actor=w.ada, key=w.tryout().key, is_shared=True),
        "tryout_shared",
    ),
    "previews.tryouts.services.remove": (
        lambda w: tryouts.remove(actor=w.ada, key=w.tryout().key), "tryout_removed"
    ),
    "previews.tryouts.services.end": (
        lambda w: tryouts.end(actor=w.ada, tryout=w.tryout()), "tryout_removed"
    ),
    "previews.tryouts.packs.create": (lambda w: w.pack_tryout(), "tryout_created"),
    "previews.tryouts.packs.remove": (
        lambda w: pack_tryouts.remove(actor=w.ada, key=w.pack_tryout().key), "tryout_removed"
    ),
    "registry.accounts.users.change_password": (
        lambda w: users.change_password(actor=w.ada, password="another horse 8"),
        "password_changed",
    ),
    "registry.accounts.users.set_shows_up_to": (
        lambda w: users.set_shows_up_to(actor=w.ada, level="mature"), "content_rating_set"
    ),
    "registry.accounts.users.set_staff": (
        lambda w: users.set_staff(
            actor=None, user=users.create_user(name="dan"), is_staff=True
        ),
        "staff_added",
    ),
    "registry.accounts.deletion.delete": (
        lambda w: deletion.delete(actor=w.ada, user=users.create_user(name="eve")),
        "account_deleted",
    ),
    "registry.accounts.disabling.disable": (
        lambda w: disabling.disable(actor=w.ada, user=w.other(), reason="Stolen"),
        "account_disabled",
    ),
    "registry.accounts.disabling.enable": (
        lambda w: disabling.enable(actor=w.ada, user=w.other(is_active=False)),
        "account_enabled",
    ),
    "registry.accounts.export.export": (
        lambda w: export.export(actor=w.ada, user=w.other()), "account_exported"
    ),
    "registry.accounts.organisations.create": (
        lambda w: w.organisation(), "member_set organisation_created"
    ),
    "registry.accounts.organisations.set_role": (
        lambda w: organisations.set_role(
            actor=w.ada, organisation=w.organisation(), user=w.other(), role="read"
        ),
        "member_set",
    ),
    "registry.accounts.organisations.remove": (lambda w: w.remove_member(), "member_removed"),
    "registry.accounts.quotas.set_limit": (
        lambda w: quotas.set_limit(actor=w.ada, namespace=w.ada.namespace, quota_bytes=10**9),
        "quota_set",
    ),
    "registry.accounts.second_factor.confirm": (
        lambda w: w.second_factor(), "second_factor_added"
    ),
    "registry.accounts.second_factor.renew_codes": (
        lambda w: second_factor.renew_codes(actor=w.ada), "recovery_codes_renewed"
    ),
    "registry.accounts.second_factor.verify": (
        lambda w: second_factor.verify(actor=w.ada, code=w.recovery_code()), "recovery_code_used"
    ),
    "registry.accounts.second_factor.reset": (
        lambda w: second_factor.reset(actor=w.ada, user=w.other(has_app=True)),
        "second_factor_removed",
    ),
    "registry.accounts.transfer.transfer_account": (
        lambda w: w.transfer(is_account=True), "adapter_transferred pack_transferred"
    ),
    "registry.accounts.transfer.transfer_all": (
        lambda w: w.transfer(), "adapter_transferred pack_transferred"
    ),
    "registry.adapters.services.create": (lambda w: w.adapter("ink"), "adapter_created"),
    "registry.adapters.services.describe": (
        lambda w: adapters.describe(actor=w.ada, adapter=w.noir, visibility="private"),
        "adapter_permissions_changed adapter_updated",
    ),
    "registry.adapters.services.rename": (
        lambda w: adapters.rename(actor=w.ada, adapter=w.adapter("old"), name="new"),
        "adapter_renamed",
    ),
    "registry.cards.services.edit_adapter": (
        lambda w: cards.edit_adapter(actor=w.ada, adapter=w.noir, visibility="public"),
        "adapter_updated",
    ),
    "registry.cards.services.edit_version": (
        lambda w: cards.edit_version(
            actor=w.ada, version=w.version, details=Details(trigger_words=("rain",))
        ),
        "version_edited",
    ),
    "registry.cards.services.apply": (
        lambda w: cards.apply(actor=w.ada, adapter=w.noir, card=Card("# Other")),
        "adapter_updated",
    ),
    "registry.aliases.services.point": (
        lambda w: aliases.point(
            actor=w.ada, adapter=w.noir, name="stable", to=w.version.revision
        ),
        "alias_moved",
    ),
    "registry.aliases.services.remove": (
        lambda w: aliases.remove(actor=w.ada, adapter=w.noir, name="stable"), "alias_removed"
    ),
    "registry.audit.services.erase_addresses": (
        lambda w: audit.erase_addresses(actor=w.ada, filters=Filters(actor="ada")),
        "audit_addresses_erased",
    ),
    "registry.audit.services.record_export": (
        lambda w: audit.record_export(actor=w.ada, kind="csv", filters=Filters()), "audit_exported"
    ),
    "registry.commits.services.commit": (lambda w: w.commit(), "revision_committed"),
    "registry.derived.services.request": (lambda w: w.derived(), "derived_file_requested"),
    "registry.jobs.workers.request_state": (
        lambda w: workers.request_state(actor=w.ada, worker_id=w.worker().pk, wish="pause"),
        "worker_state_requested",
    ),
    "registry.jobs.workers.set_wish": (
        lambda w: workers.set_wish([w.worker()], "drain", actor=None), "worker_state_requested"
    ),
    "registry.packs.services.create": (
        lambda w: packs.create(actor=w.ada, name="dawn"), "pack_created"
    ),
    "registry.packs.services.describe": (
        lambda w: packs.describe(actor=w.ada, pack=w.pack, visibility="private"),
        "pack_permissions_changed pack_updated",
    ),
    "registry.packs.services.rename": (
        lambda w: packs.rename(actor=w.ada, pack=w.pack, name="night"), "pack_renamed"
    ),
    "registry.packs.publish.publish": (
        lambda w: pack_publish.publish(
            actor=w.ada,
            pack=w.pack,
            manifest=made.manifest(made.variant(made.part(w.noir, strength=0.5))),
        ),
        "pack_version_published",
    ),
    "registry.packs.aliases.point": (
        lambda w: pack_aliases.point(
            actor=w.ada, pack=w.pack, name="stable", to=w.pack_version
        ),
        "pack_alias_moved",
    ),
    "registry.packs.aliases.remove": (
        lambda w: pack_aliases.remove(actor=w.ada, pack=w.pack, name="stable"),
        "pack_alias_removed",
    ),
    "registry.packs.states.yank": (
        lambda w: states.yank(actor=w.ada, version=w.pack_version, reason="Old"),
        "pack_version_yanked",
    ),
    "registry.packs.states.restore": (
        lambda w: states.restore(actor=w.ada, version=w.pack_version), "pack_version_restored"
    ),
    "registry.packs.states.withdraw": (
        lambda w: states.withdraw(actor=w.ada, version=w.pack_version, reason="Copied"),
        "pack_version_withdrawn",
    ),
    "registry.packs.states.withdraw_pack": (
        lambda w: states.withdraw_pack(actor=w.ada, pack=w.pack, reason="Copied"),
        "pack_withdrawn",
    ),
    "registry.publication.services.create_draft": (lambda w: w.draft(), "version_drafted"),
    "registry.publication.services.publish": (
        lambda w: publication.publish(actor=w.ada, version=w.draft()), "version_published"
    ),
    "registry.publication.services.publish_once": (
        lambda w: publication.publish_once(actor=w.ada, version=w.draft()), "version_published"
    ),
    "registry.publication.services.release": (
        lambda w: publication.release(actor=w.ada, adapter=w.noir, uploads=[w.upload()]),
        "version_published",
    ),
    "registry.tokens.services.issue": (
        lambda w: tokens.issue(actor=w.ada, name="laptop"), "token_issued"
    ),
    "registry.tokens.services.revoke": (
        lambda w: tokens.revoke(
            actor=w.ada, token_id=tokens.issue(actor=w.ada, name="desk")[0].pk
        ),
        "token_revoked",
    ),
    "registry.tokens.services.revoke_all": (
        lambda w: tokens.revoke_all(actor=w.ada), "tokens_revoked"
    ),
    "registry.tokens.services.revoke_all_of": (
        lambda w: tokens.revoke_all_of(actor=w.ada, user=w.other(has_token=True)),
        "tokens_revoked",
    ),
    "registry.tokens.device_logins.decide": (
        lambda w: device_logins.decide(
            actor=w.ada, user_code=w.device_login(), is_allowed=False
        ),
        "device_login_denied",
    ),
    "registry.uploads.services.create": (lambda w: w.open_upload(), "upload_created"),
    "registry.uploads.services.receive": (lambda w: w.upload(), "upload_received"),
    "registry.uploads.services.complete": (
        lambda w: uploads.complete(actor=w.ada, upload=w.sent_upload()), "upload_received"
    ),
    "registry.uploads.services.cancel": (
        lambda w: uploads.cancel(actor=w.ada, upload=w.open_upload()), "upload_cancelled"
    ),
    "registry.uploads.by_digest.begin": (
        lambda w: by_digest.begin(actor=w.ada, sha256="a" * 64, size_bytes=9), "upload_created"
    ),
    "registry.uploads.by_digest.assign_path": (lambda w: w.assign_path(), "upload_received"),
    "registry.uploads.by_digest.upload_bytes": (
        lambda w: by_digest.upload_bytes(actor=w.ada, path="note.txt", data=b"hello"),
        "upload_received",
    ),
    "registry.comparisons.services.request": (
        lambda w: comparisons.request(
            actor=w.ada, first=w.version, second=w.released(), address="192.0.2.1"
        ),
        "comparison_requested",
    ),
    "registry.versions.blocking.block": (
        lambda w: (
            blocking.block(actor=w.ada, thing=w.adapter("bad"), reason="Copied"),
            blocking.block(actor=w.ada, thing=packs.create(actor=w.ada, name="bad"), reason="x"),
        ),
        "adapter_blocked pack_blocked",
    ),
    "registry.versions.blocking.lift": (
        lambda w: [
            blocking.lift(actor=w.ada, thing=model.objects.get(key="bad"))
            for model in (Adapter, Pack)
        ],
        "adapter_unblocked pack_unblocked",
    ),
    "registry.versions.download_events.record": (
        lambda w: download_events.record(
            actor=w.ada, adapter=w.noir, subject="v1", path="a", sha256="a" * 64
        ),
        "file_downloaded",
    ),
    "registry.versions.download_events.record_of_version": (
        lambda w: download_events.record_of_version(
            actor=w.ada, version_id=w.version.pk, path="a", sha256="a" * 64
        ),
        "file_downloaded",
    ),
    "registry.versions.services.describe": (
        lambda w: versions.describe(
            actor=w.ada, version=w.version, details=Details(trigger_words=("snow",))
        ),
        "version_edited",
    ),
    "registry.versions.services.discard": (
        lambda w: versions.discard(actor=w.ada, version=w.draft()), "version_discarded"
    ),
    "registry.versions.services.yank": (
        lambda w: versions.yank(actor=w.ada, version=w.version, reason="Old"), "version_yanked"
    ),
    "registry.versions.services.restore": (
        lambda w: versions.restore(actor=w.ada, version=w.version), "version_restored"
    ),
    "registry.versions.withdraw.withdraw": (
        lambda w: withdraw.withdraw(actor=w.ada, version=w.released(), reason="Copied"),
        "version_withdrawn",
    ),
    "registry.versions.withdraw.withdraw_adapter": (
        lambda w: withdraw.withdraw_adapter(
            actor=w.ada, adapter=w.adapter("gone"), reason="Copied"
        ),
        "adapter_withdrawn",
    ),
}  # fmt: skip
