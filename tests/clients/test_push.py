"""What Hugging Face's own library and command push, in processes of their own, without Xet."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.builders.adapters import DENOISERS, kohya
from tests.clients.conftest import PART_BYTES
from tests.clients.programs import Programs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TARGETS = DENOISERS["sd1", "diffusers"]
CARD = "---\nlicense: mit\ntags:\n- film\n---\n# Noir\n"


@pytest.fixture
def ada(hub: RunningHub, ada_token: str, tmp_path: Path) -> Programs:
    """Ada's programs; they send large files by LFS."""
    programs = Programs(hub, tmp_path / "ada", ada_token)
    programs.environ["HF_HUB_DISABLE_XET"] = "1"
    return programs


@pytest.fixture
def folder(ada: Programs) -> Path:
    """What a trainer leaves behind: an adapter, its card, and its own state."""
    folder = ada.folder / "output"
    state = folder / "checkpoint-500"
    state.mkdir(parents=True)
    (folder / "noir.safetensors").write_bytes(kohya(TARGETS))
    (folder / "README.md").write_text(CARD)
    (folder / "sample prompt é.txt").write_text("a street at night")
    for name in ("training_args.bin", "checkpoint-500/optimizer.pt", ".gitignore"):
        (folder / name).write_bytes(b"PK\x03\x04 no adapter")
    return folder


def test_a_repo_is_made_and_filled_file_by_file(ada: Programs, folder: Path) -> None:
    told = ada.python(
        """
        import io
        from huggingface_hub import HfApi
        api = HfApi()
        repo = api.create_repo("hand").repo_id
        again = api.create_repo("ada/hand", exist_ok=True).repo_id
        first = api.upload_file(
            path_or_fileobj="output/noir.safetensors", path_in_repo="noir.safetensors", repo_id=repo
        )
        def card():
            with open("output/README.md", "rb") as file:
                return api.upload_file(
                    path_or_fileobj=io.BytesIO(file.read()), path_in_repo="README.md", repo_id=repo
                ).oid
        second, same = card(), card()
        versions = [tag.name for tag in api.list_repo_refs(repo).tags]
        files = api.list_repo_files(repo)
        api.delete_file("README.md", repo)
        tell({"ids": [repo, again], "url": first.commit_url, "oid": first.oid, "second": second,
              "same": same, "versions": versions, "files": files,
              "left": api.list_repo_files(repo)})
        """
    )
    assert told["ids"] == ["ada/hand", "ada/hand"]
    assert told["url"].endswith(f"/ada/hand/commit/{told['oid']}")
    assert told["same"] == told["second"] != told["oid"]
    assert told["versions"] == ["v1"]  # a card alone makes none
    assert {"README.md", "noir.safetensors"} <= set(told["files"])
    assert "noir.safetensors" in told["left"]


@pytest.mark.long
def test_an_empty_file_of_a_folder_is_there_afterwards(ada: Programs, folder: Path) -> None:
    (folder / "train.log").write_bytes(b"")
    told = ada.python(
        """
        import os
        from huggingface_hub import HfApi
        api = HfApi()
        repo = api.create_repo("empty").repo_id
        api.upload_folder(folder_path="output", repo_id=repo)
        one = api.hf_hub_download(repo, "train.log")
        whole = api.snapshot_download(repo)
        tell({"sizes": [os.path.getsize(one), os.path.getsize(f"{whole}/train.log")],
              "files": sorted(api.list_repo_files(repo))})
        """
    )
    assert told["sizes"] == [0, 0]
    assert "train.log" in told["files"]


def test_large_files_come_by_parts_and_small_ones_in_one(ada: Programs) -> None:
    data = kohya(TARGETS, rank=448)
    assert 2 * PART_BYTES < len(data) < 3 * PART_BYTES
    (ada.folder / "large.safetensors").write_bytes(data)
    told = ada.python(
        """
        import hashlib, io
        from huggingface_hub import HfApi
        import huggingface_hub.lfs as lfs
        ways = []
        for name in ("_upload_multi_part", "_upload_single_part"):
            def noted(*args, _name=name, _real=getattr(lfs, name), **more):
                ways.append(_name)
                return _real(*args, **more)
            setattr(lfs, name, noted)
        api = HfApi()
        repo = api.create_repo("large", private=True).repo_id
        data = open("large.safetensors", "rb").read()
        api.upload_file(path_or_fileobj=io.BytesIO(data), path_in_repo="a/x.safetensors",
                        repo_id=repo)
        prompts = ("a street at night\\n" * 100_000).encode()
        api.upload_file(path_or_fileobj=prompts, path_in_repo="prompts.txt", repo_id=repo)
        path = api.hf_hub_download(repo, "a/x.safetensors")
        again = api.upload_file(path_or_fileobj="large.safetensors", path_in_repo="b.safetensors",
                                repo_id=repo)
        tell({"ways": ways, "sha256": hashlib.sha256(open(path, "rb").read()).hexdigest(),
              "files": sorted(api.list_repo_files(repo))})
        """
    )
    assert told["ways"] == ["_upload_multi_part", "_upload_single_part"]
    assert told["sha256"] == hashlib.sha256(data).hexdigest()
    assert {"a/x.safetensors", "b.safetensors", "prompts.txt"} <= set(told["files"])


@pytest.mark.long
def test_a_folder_is_pushed_without_what_is_the_trainers(ada: Programs, folder: Path) -> None:
    told = ada.python(
        """
        from huggingface_hub import HfApi
        api = HfApi()
        repo = api.create_repo("folder").repo_id
        first = api.upload_folder(folder_path="output", repo_id=repo)
        second = api.upload_folder(folder_path="output", repo_id=repo)
        files = sorted(api.list_repo_files(repo))
        api.upload_folder(folder_path="output", repo_id=repo, allow_patterns="README.md",
                          delete_patterns="*.txt", commit_message="Tidy")
        info = api.model_info(repo)
        tell({"first": first.oid, "second": second.oid, "files": files,
              "left": sorted(api.list_repo_files(repo)), "card": info.card_data.to_dict(),
              "versions": [tag.name for tag in api.list_repo_refs(repo).tags]})
        """
    )
    assert told["first"] == told["second"]
    assert told["files"] == ["README.md", "noir.safetensors", "sample prompt é.txt"]
    assert told["left"] == ["README.md", "noir.safetensors"]
    assert told["card"]["license"] == "mit"
    assert told["versions"] == ["v1"]


def test_what_is_refused_is_refused_in_words(ada: Programs, hub: RunningHub, folder: Path) -> None:
    (ada.folder / "adapter_model.bin").write_bytes(b"\x80\x02}q\x00.")
    (ada.folder / "whole.safetensors").write_bytes(b"PK\x03\x04" + b"\0" * 3000)
    hub.manage("token", "--user", "bob", "--create")
    told = ada.python(
        """
        import io
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
        from huggingface_hub.errors import HfHubHTTPError
        api = HfApi()
        repo = api.create_repo("refusals").repo_id
        def said(function, *args, **more):
            try:
                function(*args, **more)
            except Exception as error:
                status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
                return [type(error).__name__, status, str(error)]
            return ["", 0, ""]
        def push(path, data=None):
            return said(api.upload_file, path_or_fileobj=data or path, path_in_repo=path,
                        repo_id=repo)
        old = api.model_info(repo).sha
        api.upload_file(path_or_fileobj=b"# One", path_in_repo="README.md", repo_id=repo)
        add = [CommitOperationAdd("notes.md", io.BytesIO(b"# Two"))]
        tell({
            "pickle": push("adapter_model.bin"),
            "zip": push("whole.safetensors"),
            "broken": push("cut.safetensors", open("output/noir.safetensors", "rb").read()[:-9]),
            "stale": said(api.create_commit, repo, add, commit_message="x", parent_commit=old),
            "absent": said(api.delete_file, "nothing.md", repo),
            "branch": said(api.upload_file, path_or_fileobj=b"x", path_in_repo="a.md", repo_id=repo,
                           revision="nowhere"),
            "proposal": said(api.create_commit, repo, add, commit_message="x", create_pr=True),
            "exists": said(api.create_repo, repo),
            "others": said(api.create_repo, "bob/mine"),
            "gone": said(api.upload_file, path_or_fileobj=b"x", path_in_repo="a.md",
                         repo_id="ada/nothing"),
            "token": said(HfApi(token="hf_other").create_repo, "x"),
            "dataset": said(api.create_repo, "data", repo_type="dataset"),
            "stranger": said(HfApi(token=False).delete_repo, repo),
            "versions": [tag.name for tag in api.list_repo_refs(repo).tags],
        })
        """
    )
    expected = {
        "pickle": (422, "has the name of a Python pickle"),
        "zip": (422, "Convert it to safetensors first"),
        "broken": (422, "cut.safetensors"),
        "stale": (412, "main"),
        "absent": (404, "nothing.md"),
        "branch": (404, "nowhere"),
        "proposal": (403, "no pull requests"),
        "exists": (409, "in use"),
        "others": (403, "cannot publish under"),
        "gone": (404, "ada/nothing"),
        "token": (401, "huggingface.co"),
        "dataset": (400, "only models"),
        "stranger": (401, "Sign in"),
    }
    for case, (status, words) in expected.items():
        assert told[case][1] == status, (case, told[case])
        assert words in told[case][2], (case, told[case])
    assert told["absent"][0] == "RemoteEntryNotFoundError"
    assert told["branch"][0] == "RevisionNotFoundError"
    assert told["gone"][0] == "RepositoryNotFoundError"
    assert told["versions"] == []


def test_branches_tags_settings_and_names_change(ada: Programs, folder: Path) -> None:
    told = ada.python(
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
        api = HfApi()
        repo = api.create_repo("named").repo_id
        first = api.upload_file(path_or_fileobj="output/noir.safetensors",
                                path_in_repo="noir.safetensors", repo_id=repo).oid
        api.create_tag(repo, tag="release-1", tag_message="First")
        api.create_tag(repo, tag="release-1", exist_ok=True)
        api.create_tag(repo, tag="v1")
        api.create_branch(repo, branch="feat/rain")
        api.upload_file(path_or_fileobj=b"rain", path_in_repo="rain.txt", repo_id=repo,
                        revision="feat/rain")
        refs = api.list_repo_refs(repo)
        told = {"tags": sorted(tag.name for tag in refs.tags),
                "branches": sorted(branch.name for branch in refs.branches),
                "main": api.list_repo_files(repo),
                "rain": api.list_repo_files(repo, revision="feat/rain"),
                "tagged": api.model_info(repo, revision="release-1").sha == first}
        path = api.hf_hub_download(repo, "rain.txt", revision="feat/rain")
        told["read"] = open(path).read()
        api.delete_branch(repo, branch="feat/rain")
        api.delete_tag(repo, tag="release-1")
        refs = api.list_repo_refs(repo)
        told["left"] = [ref.name for ref in [*refs.branches, *refs.tags]]
        api.update_repo_settings(repo, private=True)
        told["private"] = api.model_info(repo).private
        told["hidden"] = not HfApi(token=False).repo_exists(repo)
        api.move_repo(repo, "ada/renamed")
        told["moved"] = api.model_info(repo).id
        told["still"] = [api.upload_file(path_or_fileobj=b"# x", path_in_repo="README.md",
                         repo_id=repo).repo_url.repo_id]
        api.delete_repo("ada/renamed")
        api.delete_repo("ada/renamed", missing_ok=True)
        told["exists"] = api.repo_exists("ada/renamed")
        try:
            api.create_repo("renamed", exist_ok=True)
        except HfHubHTTPError as error:
            told["again"] = str(error)
        tell(told)
        """
    )
    assert told["tags"] == ["release-1", "v1"]
    assert told["branches"] == ["feat/rain", "main"]
    assert "rain.txt" in told["rain"]
    assert "rain.txt" not in told["main"]
    assert told["tagged"]
    assert told["read"] == "rain"
    assert told["left"] == ["main", "v1"]
    assert (told["private"], told["hidden"]) == (True, True)
    assert (told["moved"], told["still"]) == ("ada/renamed", ["ada/renamed"])
    assert told["exists"] is False
    assert "its name cannot be reused" in told["again"]


def test_kohyas_scripts_push_as_they_train(ada: Programs, folder: Path) -> None:
    """The calls of sd-scripts ``library/huggingface_util.py``, for a state and then a model."""
    told = ada.python(
        """
        from pathlib import Path
        from huggingface_hub import HfApi
        token = None
        def exists_repo(repo_id, revision="main"):
            try:
                HfApi(token=token).repo_info(repo_id=repo_id, revision=revision, repo_type="model")
            except Exception:
                return False
            return True
        def upload(source, path_in_repo):
            api = HfApi(token=token)
            if not exists_repo("ada/kohya"):
                api.create_repo(repo_id="ada/kohya", repo_type="model", private=True)
            if Path(source).is_dir():
                return api.upload_folder(repo_id="ada/kohya", repo_type="model", folder_path=source,
                                         path_in_repo=path_in_repo)
            return api.upload_file(repo_id="ada/kohya", repo_type="model", path_or_fileobj=source,
                                   path_in_repo=path_in_repo)
        first = exists_repo("ada/kohya")
        upload("output/noir.safetensors", "/noir.safetensors".lstrip("/"))
        upload("output", "noir-state")
        info = HfApi(token=token).repo_info(repo_id="ada/kohya", revision="main",
                                            repo_type="model")
        listed = [row.rfilename for row in info.siblings if row.rfilename.startswith("noir-state")]
        tell({"first": first, "private": info.private, "listed": listed})
        """
    )
    assert (told["first"], told["private"]) == (False, True)
    assert "noir-state/noir.safetensors" in told["listed"]
    assert not any(name.endswith((".bin", ".pt")) for name in told["listed"])


@pytest.mark.long
def test_the_hf_command_pushes_and_manages(ada: Programs, folder: Path) -> None:
    ada.tool("hf", "upload", "ada/command", "output", "--commit-message", "By hand")
    ada.tool("hf", "upload", "ada/command", "output/README.md", "notes.md", "--revision", "side")
    ada.tool("hf", "repos", "tag", "create", "ada/command", "release", "--revision", "main")
    ada.tool("hf", "repos", "settings", "ada/command", "--private")
    ada.tool("hf", "repos", "move", "ada/command", "ada/ordered")
    shutil.rmtree(folder)
    got = ada.folder / "got"
    ada.tool("hf", "download", "ada/ordered", "--local-dir", str(got), "--revision", "release")
    assert (got / "noir.safetensors").read_bytes() == kohya(TARGETS)
    assert (got / "README.md").read_text() == CARD
    assert not (got / "notes.md").exists()
    ada.tool("hf", "repos", "delete-files", "ada/ordered", "*.txt")
    ada.tool("hf", "repos", "delete", "ada/ordered", "--yes")
    ada.tool("hf", "download", "ada/ordered", expected=1)
