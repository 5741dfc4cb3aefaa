from __future__ import annotations

import hashlib
import io
import threading
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from registry import worker
from registry.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    PathInvalid,
    QuotaExceeded,
    StateConflict,
    TooLarge,
    UploadIncomplete,
    UploadNotReady,
    UploadRefused,
)
from registry.models import Adapter, Event, Revision, Upload, UploadState, User, Version
from registry.services import (
    accounts,
    adapters,
    aliases,
    changes,
    commits,
    depositing,
    manifests,
    versions,
    withdrawing,
)
from registry.services.commits import Committed, Inline, Put
from registry.signals import version_published
from tests import catalogue
from tests.registry.files import LORA, OTHER, with_nan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Send = Callable[..., Upload]

pytestmark = pytest.mark.django_db(transaction=True)

WEIGHTS = "noir.safetensors"
README = b"---\nlicense: mit\n---\n# Noir\n"


def deposited(actor: User, data: bytes, path: str = WEIGHTS) -> Put:
    """Send bytes as LFS and Xet do, and return the change that names them."""
    sha256 = hashlib.sha256(data).hexdigest()
    upload = depositing.begin(actor=actor, sha256=sha256, size_bytes=len(data))
    if upload is not None:
        depositing.take(actor=actor, upload=upload, stream=io.BytesIO(data))
    return Put(path, sha256, len(data))


def push(
    adapter: Adapter,
    *files: Put | Inline,
    deletes: Sequence[str] = (),
    ref: str = "main",
    parent: str | None = None,
    message: str = "Push",
) -> Committed:
    """Commit as the owner, with a worker that runs the checks once the first try has begun them."""
    owner = adapter.namespace.user
    assert owner is not None

    def tried(wait_s: float) -> Committed:
        return commits.commit(
            actor=owner,
            adapter=adapter,
            ref=ref,
            expected_parent=parent,
            puts=[file for file in files if isinstance(file, Put)],
            inlines=[file for file in files if isinstance(file, Inline)],
            deletes=deletes,
            message=message,
            wait_s=wait_s,
        )

    try:
        return tried(0.2)
    except UploadNotReady:
        worker.drain("checks")
        return tried(0.2)


def paths(revision: Revision) -> list[str]:
    return [file.path for file in revision.files.all()]


def branch(adapter: Adapter, name: str) -> None:
    revision, owner = manifests.main_of(adapter), adapter.namespace.user
    assert owner is not None
    manifests.move(actor=owner, revision=revision, name=name, is_branch=True)


def test_new_weights_make_a_version_that_is_out(ada: User, noir: Adapter) -> None:
    heard: list[int] = []

    def listen(version_id: int, **_: object) -> None:
        heard.append(version_id)

    version_published.connect(listen)
    done = push(noir, deposited(ada, LORA), Inline("README.md", README), Inline("sample.txt", b"x"))
    version_published.disconnect(listen)
    assert done.version is not None
    assert (done.is_new, done.version.name, done.version.state) == (True, "v1", "published")
    assert done.version.revision == done.revision == manifests.main_of(noir)
    assert paths(done.revision) == ["README.md", WEIGHTS, "sample.txt"]
    primary = done.version.primary_file
    assert primary is not None
    assert primary.path == WEIGHTS
    assert heard == [done.version.pk]
    noir.refresh_from_db()
    assert (noir.latest_version, noir.family) == (done.version, "sd1")
    assert (noir.licence, noir.card) == ("mit", "# Noir\n")
    assert User.objects.get(pk=ada.pk).namespace.used_bytes == len(LORA) + len(README) + 1


def test_a_readme_alone_is_a_revision_and_waits_for_no_worker(ada: User, noir: Adapter) -> None:
    first = push(noir, deposited(ada, LORA))
    done = commits.commit(
        actor=ada, adapter=noir, inlines=[Inline("README.md", README)], message="Card"
    )
    assert done.version is None
    assert done.revision.parent == first.revision
    assert manifests.main_of(noir) == done.revision
    assert paths(done.revision) == ["README.md", WEIGHTS]
    noir.refresh_from_db()
    assert (noir.latest_version, noir.licence) == (first.version, "mit")
    assert Version.objects.count() == 1


def test_a_card_tells_the_version_that_is_out_what_it_says(ada: User, noir: Adapter) -> None:
    first = push(noir, deposited(ada, LORA))
    text = (
        b"---\ninstance_prompt: sks style\nbase_model: runwayml/stable-diffusion-v1-5\n---\n# Noir"
    )
    push(noir, Inline("README.md", text))
    second = push(noir, deposited(ada, OTHER))
    for done in (first, second):
        assert done.version is not None
        done.version.refresh_from_db()
        assert done.version.trigger_words == ["sks style"]
        assert done.version.lineage == "Stable Diffusion 1.5"


def test_a_folder_in_several_commits_is_one_version(ada: User, noir: Adapter) -> None:
    push(noir, deposited(ada, LORA), message="Upload folder")
    for number in range(2, 4):
        sidecar = Inline(f"samples/{number}.json", b'{"seed": 7}')
        done = push(
            noir,
            Inline(f"samples/{number}.txt", b"prompt"),
            sidecar,
            message=f"Upload folder (part {number})",
        )
        assert done.version is None
    assert len(paths(manifests.main_of(noir))) == 5
    assert Version.objects.count() == 1


def test_configuration_counts_where_there_are_weights(ada: User, noir: Adapter) -> None:
    early = push(noir, Inline("adapter_config.json", b'{"r": 4}'))
    assert early.version is None
    first = push(noir, deposited(ada, LORA, "unet/adapter_model.safetensors"))
    assert first.version is not None
    config = push(noir, Inline("adapter_config.json", b'{"r": 8}'))
    assert config.version is not None
    beside = push(noir, Inline("unet/adapter_config.json", b'{"r": 8}'))
    assert beside.version is not None
    apart = push(noir, Inline("vae/config.json", b"{}"))
    assert apart.version is None


def test_weights_that_all_go_leave_a_revision(ada: User, noir: Adapter) -> None:
    push(noir, deposited(ada, LORA), Inline("README.md", README))
    done = push(noir, deletes=[WEIGHTS])
    assert done.version is None
    assert paths(done.revision) == ["README.md"]
    back = push(noir, deposited(ada, LORA))
    assert back.version is not None
    assert back.version.name == "v2"


def test_folders_go_as_a_whole_and_what_comes_back_replaces(ada: User, noir: Adapter) -> None:
    push(noir, *(Inline(path, b"x") for path in ("a/1.txt", "a/b/2.txt", "ab.txt", "c.txt")))
    done = push(noir, Inline("a/1.txt", b"new"), deletes=["a/", "./c.txt"])
    assert paths(done.revision) == ["a/1.txt", "ab.txt"]


@pytest.mark.parametrize("path", ["nothing.txt", "nothing/", "a", "a.txt/"])
def test_nothing_cannot_be_deleted(ada: User, noir: Adapter, path: str) -> None:
    push(noir, Inline("a/1.txt", b"x"), Inline("a.txt", b"x"))
    with pytest.raises(NotFound) as refusal:
        push(noir, deletes=[path])
    assert refusal.value.facts["path"] == path


def test_what_changes_nothing_makes_nothing(ada: User, noir: Adapter) -> None:
    first = push(noir, deposited(ada, LORA), Inline("README.md", README))
    events = Event.objects.count()
    for files in ((), (deposited(ada, LORA),), (Inline("README.md", README),)):
        again = push(noir, *files, message="Again")
        assert again == Committed(first.revision, first.version, is_new=False)
    assert Event.objects.count() == events


def test_a_commit_that_is_sent_again_finds_what_it_made(ada: User, noir: Adapter) -> None:
    first = push(noir, Inline("old.txt", b"x"), Inline("README.md", README))
    before = first.revision.commit
    files = [deposited(ada, LORA)]
    for parent in (before, before[:7], None):
        done = push(noir, *files, deletes=["old.txt"], parent=parent, message="Weights")
        assert done.is_new is (parent == before)
        assert done.version is not None
    assert Revision.objects.filter(adapter=noir).count() == 3
    # Somebody else's deletion of the same is no repetition.
    with pytest.raises(NotFound):
        push(noir, *files, deletes=["old.txt"], message="Another")


def test_a_parent_that_is_not_the_tip_is_refused(ada: User, noir: Adapter) -> None:
    root = manifests.main_of(noir)
    first = push(noir, Inline("a.txt", b"x"), parent=root.commit)
    push(noir, Inline("b.txt", b"x"), parent=first.revision.commit.upper())
    for parent in (root.commit, "0" * 40, "f00", first.revision.commit):
        with pytest.raises(Conflict) as refusal:
            push(noir, Inline("c.txt", b"x"), parent=parent)
        assert type(refusal.value) is Conflict
        assert refusal.value.facts["current"] == manifests.main_of(noir).commit
        assert refusal.value.facts["expected"] == parent


def test_who_expects_nothing_lands_on_what_others_made_meanwhile(
    ada: User, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, others = commits._planned, [Inline("theirs.txt", b"x")]

    def overtaken(*args: object) -> object:
        plan = planned(*args)  # type: ignore[arg-type]
        if others:
            push(noir, others.pop())
        return plan

    monkeypatch.setattr(commits, "_planned", overtaken)
    done = push(noir, Inline("ours.txt", b"x"))
    assert paths(done.revision) == ["ours.txt", "theirs.txt"]
    assert manifests.main_of(noir) == done.revision


def test_many_at_once_all_land(ada: User, noir: Adapter) -> None:
    for number in range(4):
        catalogue.accept(ada, b"x%d" % number, f"{number}.txt")
    faults: list[Exception] = []

    def one(number: int) -> None:
        try:
            commits.commit(
                actor=ada,
                adapter=Adapter.objects.get(pk=noir.pk),
                inlines=[Inline(f"{number}.txt", b"x%d" % number)],
            )
        except Exception as fault:  # noqa: BLE001 - told below
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert paths(manifests.main_of(noir)) == [f"{number}.txt" for number in range(4)]


def test_a_branch_gets_revisions_only(ada: User, noir: Adapter) -> None:
    first = push(noir, deposited(ada, LORA))
    branch(noir, "trial")
    done = push(noir, deposited(ada, OTHER), Inline("README.md", README), ref="trial")
    assert (done.version, done.is_new) == (None, True)
    assert manifests.main_of(noir) == first.revision
    assert commits.tip_of(noir, "trial") == done.revision
    noir.refresh_from_db()
    assert noir.licence == ""
    # What the branch has is paid for, and can be copied without its bytes.
    assert User.objects.get(pk=ada.pk).namespace.used_bytes == len(LORA) + len(OTHER) + len(README)
    Upload.objects.all().delete()
    copy = Put("copied.safetensors", hashlib.sha256(OTHER).hexdigest())
    merged = push(noir, copy, deletes=[WEIGHTS])
    assert merged.version is not None
    assert merged.version.name == "v2"
    assert User.objects.get(pk=ada.pk).namespace.used_bytes == len(LORA) + len(OTHER) + len(README)


def test_a_copy_of_text_is_no_weights(ada: User, noir: Adapter) -> None:
    push(noir, Inline("notes.txt", b"x"))
    with pytest.raises(UploadRefused):
        push(noir, Put("x.safetensors", hashlib.sha256(b"x").hexdigest()))


@pytest.mark.parametrize("ref", ["v1", "stable", "nowhere", "0" * 40])
def test_commits_go_to_branches(ada: User, noir: Adapter, ref: str) -> None:
    first = push(noir, deposited(ada, LORA))
    aliases.point(actor=ada, adapter=noir, name="stable", to=first.revision)
    kind = StateConflict if ref in {"v1", "stable"} else NotFound
    with pytest.raises(kind) as refusal:
        push(noir, Inline("a.txt", b"x"), ref=ref)
    assert kind is StateConflict or refusal.value.facts["revision"] == ref


def test_a_refused_file_refuses_the_commit(ada: User, noir: Adapter) -> None:
    tip = manifests.main_of(noir)
    bad = deposited(ada, b"no adapter", "bad.safetensors")
    for _time in range(2):
        with pytest.raises(UploadRefused) as refusal:
            push(noir, Inline("README.md", README), bad)
        assert "bad.safetensors" in str(refusal.value)
        assert any(found.severity == "error" for found in refusal.value.findings)
    assert manifests.main_of(noir) == tip
    noir.refresh_from_db()
    assert noir.licence == ""


def test_what_the_deep_checks_refuse_is_told_as_well(ada: User, noir: Adapter) -> None:
    with pytest.raises(UploadRefused) as refusal:
        push(noir, deposited(ada, with_nan(LORA)))
    assert refusal.value.facts["paths"] == [WEIGHTS]
    assert any(found.severity == "error" for found in refusal.value.findings)


def test_checks_that_take_long_are_waited_for_in_another_request(ada: User, noir: Adapter) -> None:
    put = deposited(ada, LORA)
    for _time in range(2):
        with pytest.raises(UploadNotReady) as refusal:
            commits.commit(actor=ada, adapter=noir, puts=[put], wait_s=0)
        assert refusal.value.facts["retry_after"] >= 1
        assert refusal.value.facts["paths"] == [WEIGHTS]
    assert Upload.objects.get().state == UploadState.CHECKING
    worker.drain("checks")
    assert commits.commit(actor=ada, adapter=noir, puts=[put], wait_s=0).version is not None


def test_a_commit_waits_for_its_checks(ada: User, noir: Adapter) -> None:
    put = deposited(ada, LORA)

    def check() -> None:
        while not Upload.objects.filter(state=UploadState.CHECKING).exists():
            pass
        worker.drain("checks")
        connection.close()

    thread = threading.Thread(target=check)
    thread.start()
    done = commits.commit(actor=ada, adapter=noir, puts=[put], wait_s=60)
    thread.join()
    assert done.version is not None


def test_the_same_bytes_come_at_two_paths(ada: User, noir: Adapter) -> None:
    put = deposited(ada, LORA)
    done = push(noir, put, Put("copy.safetensors", put.sha256, put.size_bytes))
    assert paths(done.revision) == ["copy.safetensors", WEIGHTS]


def test_bytes_that_never_came_are_missed(ada: User, noir: Adapter) -> None:
    with pytest.raises(UploadIncomplete) as refusal:
        push(noir, Put(WEIGHTS, "0" * 64, 5))
    assert refusal.value.facts["path"] == WEIGHTS


@pytest.mark.parametrize("path", ["optimizer.pt", "adapter_model.bin", "x/noir.CKPT", "data.pkl"])
def test_a_pickle_refuses_the_commit_before_it_is_read(ada: User, noir: Adapter, path: str) -> None:
    with pytest.raises(UploadRefused) as refusal:
        push(noir, Inline(path, b"\x80\x04."), Inline("README.md", README))
    assert [found.code for found in refusal.value.findings] == ["is_pickle"]
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    "path", ["../x.txt", "/x.txt", "a//b.txt", ".gitattributes", "a\\b.txt", "a\x00.txt", ""]
)
def test_paths_stay_inside(ada: User, noir: Adapter, path: str) -> None:
    with pytest.raises(PathInvalid):
        push(noir, Inline(path, b"x"))
    with pytest.raises(PathInvalid):
        push(noir, deletes=[path])


@pytest.mark.parametrize(
    "twins", [("a.txt", "a.txt"), ("a.txt", "A.txt"), ("a.txt", "a.txt/b.txt")]
)
def test_names_that_some_system_cannot_have_are_refused(
    ada: User, noir: Adapter, twins: tuple[str, str]
) -> None:
    with pytest.raises(Invalid):
        push(noir, *(Inline(path, b"x") for path in twins))
    if twins[0] != twins[1]:
        push(noir, Inline(twins[0], b"x"))
        with pytest.raises(Invalid):
            push(noir, Inline(twins[1], b"x"))


def test_limits_are_held(ada: User, noir: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_CHANGES", 3)
    monkeypatch.setattr(changes, "MAX_MANIFEST", 4)
    monkeypatch.setattr(changes, "MAX_INLINE_BYTES", 10)
    monkeypatch.setattr(changes, "MAX_INLINE_TOTAL", 15)
    with pytest.raises(Invalid):
        push(noir, *(Inline(f"{number}.txt", b"x") for number in range(4)))
    with pytest.raises(TooLarge):
        push(noir, Inline("a.txt", b"x" * 11))
    with pytest.raises(TooLarge):
        push(noir, Inline("a.txt", b"x" * 8), Inline("b.txt", b"y" * 8))
    assert not Upload.objects.exists()
    push(noir, *(Inline(f"{number}.txt", b"x") for number in range(3)))
    with pytest.raises(Invalid):
        push(noir, *(Inline(f"{number}.txt", b"x") for number in range(3, 5)))


@pytest.mark.parametrize("data", [b"---\nlicense: [\n---\n", b"# \xff"])
def test_a_readme_that_cannot_be_read_is_refused(ada: User, noir: Adapter, data: bytes) -> None:
    with pytest.raises(Invalid):
        push(noir, Inline("README.md", data))
    assert not Upload.objects.exists()
    with pytest.raises(Invalid):
        push(noir, deposited(ada, data, "README.md"))
    assert paths(manifests.main_of(noir)) == []


def test_an_empty_file_is_refused(ada: User, noir: Adapter) -> None:
    with pytest.raises(UploadRefused):
        push(noir, Inline("a.txt", b""))


def test_a_message_is_cut_and_has_nothing_unseen(ada: User, noir: Adapter) -> None:
    done = push(noir, Inline("a.txt", b"x"), message="One\n\ntwo\x00" + "x" * 900)
    assert done.revision.message == ("One\n\ntwo" + "x" * 900)[:500]
    assert push(noir, Inline("a.txt", b"y"), message="\x00").revision.message


def test_only_owners_commit(ada: User, bob: User, noir: Adapter) -> None:
    adapters.update(actor=ada, adapter=noir, visibility="private")
    for kind in (NotFound, Forbidden):
        with pytest.raises(kind):
            commits.commit(actor=bob, adapter=noir, inlines=[Inline("a.txt", b"x")])
        adapters.update(actor=ada, adapter=noir, visibility="public")
    assert not Upload.objects.exists()


def test_the_quota_holds_for_every_branch(ada: User, noir: Adapter) -> None:
    branch(noir, "trial")
    ada.namespace.quota_bytes = 10
    ada.namespace.save()
    push(noir, Inline("a.txt", b"x" * 8), ref="trial")
    with pytest.raises(QuotaExceeded):
        push(noir, Inline("b.txt", b"y" * 8))


def test_what_was_withdrawn_is_left_behind(ada: User, noir: Adapter) -> None:
    first = push(noir, deposited(ada, LORA, "a.safetensors"))
    second = push(noir, deposited(ada, OTHER, "b.safetensors"))
    assert first.version is not None
    assert second.version is not None
    withdrawing.withdraw(actor=ada, version=second.version, reason="wrong")
    done = push(noir, Inline("README.md", README))
    assert done.version is None
    assert paths(done.revision) == ["README.md", "a.safetensors"]


def test_what_was_taken_down_does_not_come_back(ada: User, noir: Adapter) -> None:
    operator = accounts.create_user(name="root", email="root@example.org", password="x" * 12)
    operator.is_staff = True
    operator.save()
    first = push(noir, deposited(ada, LORA))
    assert first.version is not None
    withdrawing.withdraw(actor=operator, version=first.version, reason="not theirs")
    with pytest.raises(UploadRefused):
        push(noir, deposited(ada, LORA, "again.safetensors"))
    withdrawing.withdraw_adapter(actor=operator, adapter=noir, reason="all of it")
    with pytest.raises(Gone):
        push(noir, Inline("README.md", README))


def test_versions_of_the_web_and_of_commits_follow_each_other(
    ada: User, noir: Adapter, send: Send
) -> None:
    push(noir, deposited(ada, LORA), Inline("README.md", README))
    draft = versions.create_draft(actor=ada, adapter=noir, uploads=[send(ada, OTHER, WEIGHTS)])
    push(noir, Inline("notes.txt", b"x"))
    versions.publish(actor=ada, version=draft)
    third = push(noir, deposited(ada, LORA))
    assert third.version is not None
    assert [version.name for version in noir.versions.all()] == ["v3", "v2", "v1"]
    assert User.objects.get(pk=ada.pk).namespace.used_bytes == len(LORA) + len(OTHER) + len(
        README
    ) + len(b"x")
