from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from registry import storage
from registry.adapters import manifests
from registry.blobs import selectors as blob_selectors
from registry.commits import services as commits
from registry.commits import wait_for_checks
from registry.commits.services import Committed, Inline, Put
from registry.errors import (
    NotFound,
    UploadNotReady,
)
from registry.hooks import version_published
from registry.jobs import worker_process
from registry.models import Adapter, Blob, Event, Revision, Upload, UploadState, User, Version
from registry.publication import services as publication
from registry.versions import selectors as version_selectors
from registry.versions import services as versions
from registry.versions import withdraw
from tests import catalogue
from tests.registry.files import LORA, OTHER
from tests.registry.pushing import README, WEIGHTS, branch, deposited, paths, push

if TYPE_CHECKING:
    from collections.abc import Callable

    Send = Callable[..., Upload]

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_an_empty_file_is_kept_by_every_store(ada: User, noir: Adapter, either_store: str) -> None:
    done = push(noir, Inline("train.log", b""), Inline("notes.txt", b"x"))
    assert paths(done.revision) == ["notes.txt", "train.log"]
    blob = done.revision.files.get(path="train.log").blob
    assert (blob.sha256, blob.size_bytes) == (hashlib.sha256().hexdigest(), 0)
    with storage.store().open(blob.sha256) as handle:
        assert handle.read() == b""
    assert paths(push(noir, Inline("other.log", b"")).revision) == [
        "notes.txt", "other.log", "train.log",
    ]  # fmt: skip


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


def test_a_card_beside_a_yanked_version_tells_of_that_one(ada: User, noir: Adapter) -> None:
    first = push(noir, deposited(ada, LORA)).version
    second = push(noir, deposited(ada, OTHER)).version
    assert first is not None
    assert second is not None
    versions.yank(actor=ada, version=second, reason="Too dark.")
    text = b"---\ninstance_prompt: sks style\nlicense: mit\n---\n# Rain\n"
    push(noir, Inline("README.md", text))
    noir.refresh_from_db()
    assert (noir.latest_version, noir.licence, noir.card) == (first, "mit", "# Rain\n")
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.trigger_words, second.trigger_words) == ([], ["sks style"])
    push(noir, deletes=[WEIGHTS])
    push(noir, Inline("README.md", text.replace(b"sks", b"noir")))
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.trigger_words, second.trigger_words) == (["noir style"], ["sks style"])


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


def test_who_expects_nothing_lands_on_what_others_made_meanwhile(
    ada: User, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, others = commits._make_plan, [Inline("theirs.txt", b"x")]

    def overtaken(*args: object) -> object:
        plan = planned(*args)  # type: ignore[arg-type]
        if others:
            push(noir, others.pop())
        return plan

    monkeypatch.setattr(commits, "_make_plan", overtaken)
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


def test_checks_that_take_long_are_waited_for_in_another_request(ada: User, noir: Adapter) -> None:
    put = deposited(ada, LORA)
    for _time in range(2):
        with pytest.raises(UploadNotReady) as refusal:
            commits.commit(actor=ada, adapter=noir, puts=[put], wait_s=0)
        assert refusal.value.facts["retry_after"] >= 1
        assert refusal.value.facts["paths"] == [WEIGHTS]
    assert Upload.objects.get().state == UploadState.CHECKING
    worker_process.drain("checks")
    assert commits.commit(actor=ada, adapter=noir, puts=[put], wait_s=0).version is not None


def test_a_commit_waits_for_its_checks(ada: User, noir: Adapter) -> None:
    put = deposited(ada, LORA)

    def check() -> None:
        while not Upload.objects.filter(state=UploadState.CHECKING).exists():
            pass
        worker_process.drain("checks")
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


def test_a_message_is_cut_and_has_nothing_unseen(ada: User, noir: Adapter) -> None:
    done = push(noir, Inline("a.txt", b"x"), message="One\n\ntwo\x00" + "x" * 900)
    assert done.revision.message == ("One\n\ntwo" + "x" * 900)[:500]
    assert push(noir, Inline("a.txt", b"y"), message="\x00").revision.message


def test_what_is_withheld_is_looked_up_once_and_again_under_the_lock(
    ada: User, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(noir, Inline("a.txt", b"x"), message="Same")
    asked: list[Adapter] = []
    withheld_in = blob_selectors.withheld_in

    def counted(adapter: Adapter) -> set[int]:
        asked.append(adapter)
        return withheld_in(adapter)

    monkeypatch.setattr(blob_selectors, "withheld_in", counted)
    push(noir, Inline("a.txt", b"y"), message="Same")
    assert len(asked) == 2


def test_what_was_withdrawn_is_left_behind(ada: User, noir: Adapter) -> None:
    first = push(noir, deposited(ada, LORA, "a.safetensors"))
    second = push(noir, deposited(ada, OTHER, "b.safetensors"))
    assert first.version is not None
    assert second.version is not None
    withdraw.withdraw(actor=ada, version=second.version, reason="wrong")
    done = push(noir, Inline("README.md", README))
    assert done.version is None
    assert paths(done.revision) == ["README.md", "a.safetensors"]


def test_versions_of_the_web_and_of_commits_follow_each_other(
    ada: User, noir: Adapter, send: Send
) -> None:
    push(noir, deposited(ada, LORA), Inline("README.md", README))
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, OTHER, WEIGHTS)])
    push(noir, Inline("notes.txt", b"x"))
    publication.publish(actor=ada, version=draft)
    third = push(noir, deposited(ada, LORA))
    assert third.version is not None
    assert [version.name for version in noir.versions.all()] == ["v3", "v2", "v1"]
    cards = Blob.objects.filter(files__path="README.md").distinct()
    written = sum(cards.values_list("size_bytes", flat=True))
    assert written > len(README)
    used = User.objects.get(pk=ada.pk).namespace.used_bytes
    assert used == len(LORA) + len(OTHER) + written + len(b"x")


def test_more_files_than_are_checked_at_once_all_come(
    ada: User, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait_for_checks, "WAVE", 2)
    monkeypatch.setattr(wait_for_checks, "SMALL_BYTES", 0)
    files = [Inline(f"{number}.txt", b"x%d" % number) for number in range(5)]
    for _time in range(2):
        with pytest.raises(UploadNotReady) as refusal:
            commits.commit(actor=ada, adapter=noir, inlines=files, wait_s=0)
        worker_process.drain("checks")
    assert refusal.value.facts["paths"] == ["2.txt", "3.txt", "4.txt"]
    assert len(paths(push(noir, *files).revision)) == 5


def test_a_commit_of_a_card_still_names_the_weights_that_lie_there(
    ada: User, noir: Adapter
) -> None:
    first = push(noir, deposited(ada, LORA))
    branch(noir, "trial")
    card = push(noir, Inline("README.md", README))
    other = push(noir, deposited(ada, OTHER), ref="trial")
    assert version_selectors.get(None, noir, "main") == first.version
    assert version_selectors.get(None, noir, card.revision.commit) == first.version
    for name in ("trial", other.revision.commit):
        with pytest.raises(NotFound):
            version_selectors.get(None, noir, name)
    push(noir, deletes=[WEIGHTS])
    with pytest.raises(NotFound):
        version_selectors.get(None, noir, "main")
