from __future__ import annotations

import hashlib
from typing import Any

import pytest

from registry import locks
from registry.accounts import users
from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.aliases import services as aliases
from registry.blobs import selectors as blob_selectors
from registry.cards import services as cards
from registry.commits import changes, wait_for_checks
from registry.commits import services as commits
from registry.commits.services import Inline, Put
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
from registry.models import Adapter, Membership, Namespace, NamespaceKind, Role, Upload, User
from registry.uploads import by_digest
from registry.versions import withdraw
from tests.registry.files import LORA, with_nan
from tests.registry.pushing import README, WEIGHTS, branch, deposited, paths, push

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("path", ["nothing.txt", "nothing/", "a", "a.txt/"])
def test_nothing_cannot_be_deleted(ada: User, noir: Adapter, path: str) -> None:
    push(noir, Inline("a/1.txt", b"x"), Inline("a.txt", b"x"))
    with pytest.raises(NotFound) as refusal:
        push(noir, deletes=[path])
    assert refusal.value.facts["path"] == path


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


def test_paths_stay_inside(ada: User, noir: Adapter, subtests: pytest.Subtests) -> None:
    for path in ["../x.txt", "/x.txt", "a//b.txt", ".gitattributes", "a\\b.txt", "a\x00.txt", ""]:
        with subtests.test(path=path):
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


def test_empty_weights_are_refused(ada: User, noir: Adapter) -> None:
    with pytest.raises(UploadRefused):
        push(noir, Inline("a.safetensors", b""))


def test_only_owners_commit(ada: User, bob: User, noir: Adapter) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
    for kind in (NotFound, Forbidden):
        with pytest.raises(kind):
            commits.commit(actor=bob, adapter=noir, inlines=[Inline("a.txt", b"x")])
        cards.edit_adapter(actor=ada, adapter=noir, visibility="public")
    assert not Upload.objects.exists()


def test_who_left_during_the_checks_commits_nothing(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = Namespace.objects.create(name="studio", key="studio", kind=NamespaceKind.ORGANISATION)
    member = Membership.objects.create(namespace=studio, user=ada, role=Role.WRITE)
    adapter = adapters.create(actor=ada, owner=studio, name="rain")
    accepted_blobs = wait_for_checks.accepted_blobs

    def slowly(**asked: Any) -> Any:
        found = accepted_blobs(**asked)
        member.delete()
        return found

    monkeypatch.setattr(wait_for_checks, "accepted_blobs", slowly)
    before = manifests.main_of(adapter)
    with pytest.raises(Forbidden):
        commits.commit(actor=ada, adapter=adapter, inlines=[Inline("a.txt", b"x")])
    assert manifests.main_of(adapter) == before


def test_the_quota_holds_for_every_branch(ada: User, noir: Adapter) -> None:
    branch(noir, "trial")
    ada.namespace.quota_bytes = 10
    ada.namespace.save()
    push(noir, Inline("a.txt", b"x" * 8), ref="trial")
    with pytest.raises(QuotaExceeded):
        push(noir, Inline("b.txt", b"y" * 8))


def test_what_was_taken_down_does_not_come_back(ada: User, noir: Adapter) -> None:
    operator = users.create_user(name="carol", email="carol@example.org", password="x" * 12)
    operator.is_staff = True
    operator.save()
    first = push(noir, deposited(ada, LORA))
    assert first.version is not None
    withdraw.withdraw(actor=operator, version=first.version, reason="not theirs")
    with pytest.raises(UploadRefused):
        push(noir, deposited(ada, LORA, "again.safetensors"))
    withdraw.withdraw_adapter(actor=operator, adapter=noir, reason="all of it")
    with pytest.raises(Gone):
        push(noir, Inline("README.md", README))


def test_what_only_a_branch_had_goes_with_the_adapter(ada: User, noir: Adapter) -> None:
    push(noir, deposited(ada, LORA), Inline("README.md", README))
    branch(noir, "trial")
    push(noir, Inline("a.txt", b"x" * 8), ref="trial")
    withdraw.withdraw_adapter(actor=ada, adapter=noir, reason="all of it")
    assert User.objects.get(pk=ada.pk).namespace.used_bytes == 0
    assert not blob_selectors.keeping_files().exists()
    Upload.objects.all().delete()
    with pytest.raises(UploadIncomplete):
        by_digest.assign_path(actor=ada, sha256=hashlib.sha256(b"x" * 8).hexdigest(), path="a.txt")


def test_who_holds_the_bytes_has_the_commit_come_again(
    ada: User, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = deposited(ada, LORA)
    monkeypatch.setattr(locks, "WAIT_S", 0.1)
    with locks.holding(Upload.objects.get().storage_key), pytest.raises(UploadNotReady):
        push(noir, put)
    assert push(noir, put).version is not None
