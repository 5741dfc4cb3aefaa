"""What a version of ``huggingface_hub`` can do with a hub, call by call; run by ``matrix.py``.

Needs nothing but that package, of any version from 0.25 on, and writes one JSON object: case →
"" where it passed, else what went wrong. ``HF_ENDPOINT`` and ``HF_TOKEN`` say where and as whom.

    python probe.py REPO WEIGHTS SMALL
"""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

CARD = b"---\nlicense: mit\ntags:\n- film\n---\n# Probe\n"


def sha256(path: str | Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def refused(kind: type[Exception], function: Any, *args: Any, **more: Any) -> Exception:
    """Return the error that a call must raise."""
    try:
        function(*args, **more)
    except kind as error:
        return error
    message = f"no {kind.__name__}"
    raise AssertionError(message)


class Probe:
    """The cases, in the order in which they build on each other."""

    def __init__(self, repo: str, weights: Path, small: Path) -> None:
        self.repo, self.weights, self.small = repo, weights, small
        self.api: Any = HfApi()
        self.stranger: Any = HfApi(token=False)
        self.folder = Path(tempfile.mkdtemp())

    def _add(self, path: str, data: Any, **more: Any) -> Any:
        return self.api.upload_file(
            path_or_fileobj=data, path_in_repo=path, repo_id=self.repo, **more
        )

    def _files(self, **more: Any) -> set[str]:
        return set(self.api.list_repo_files(self.repo, **more))

    def whoami(self) -> None:
        assert self.api.whoami()["name"] == self.repo.partition("/")[0]

    def create(self) -> None:
        assert self.api.create_repo(self.repo).repo_id == self.repo
        assert self.api.create_repo(self.repo, exist_ok=True).repo_id == self.repo
        assert "409" in str(refused(HfHubHTTPError, self.api.create_repo, self.repo))

    def upload_large(self) -> None:
        self._add("noir.safetensors", str(self.weights))

    def upload_object(self) -> None:
        self._add("object/small.safetensors", io.BytesIO(self.small.read_bytes()))

    def upload_card(self) -> None:
        assert self._add("README.md", CARD).oid == self.api.model_info(self.repo).sha
        assert self._add("README.md", CARD).oid == self.api.model_info(self.repo).sha

    def upload_folder(self) -> None:
        folder = self.folder / "output"
        (folder / "checkpoint-1").mkdir(parents=True)
        (folder / "é %.txt").write_text("a street at night")
        (folder / "config.json").write_text("{}")
        (folder / "checkpoint-1" / "optimizer.bin").write_bytes(b"PK\x03\x04")
        self.api.upload_folder(folder_path=str(folder), path_in_repo="out", repo_id=self.repo)
        assert {"out/é %.txt", "out/config.json"} <= self._files()
        assert "out/checkpoint-1/optimizer.bin" not in self._files()

    def download(self) -> None:
        path = self.api.hf_hub_download(self.repo, "noir.safetensors")
        assert sha256(path) == sha256(self.weights)
        assert Path(self.api.hf_hub_download(self.repo, "out/é %.txt")).read_text()

    def snapshot(self) -> None:
        folder = Path(self.api.snapshot_download(self.repo, local_dir=self.folder / "snapshot"))
        assert sha256(folder / "object" / "small.safetensors") == sha256(self.small)

    def info(self) -> None:
        info = self.api.model_info(self.repo, files_metadata=True)
        (large,) = (one for one in info.siblings if one.rfilename == "noir.safetensors")
        assert large.size == self.weights.stat().st_size
        lfs = large.lfs if isinstance(large.lfs, dict) else vars(large.lfs)
        assert lfs["sha256"] == sha256(self.weights)
        assert info.card_data.to_dict()["license"] == "mit"
        assert self.api.file_exists(self.repo, "README.md")
        assert not self.api.file_exists(self.repo, "nothing.md")

    def listing(self) -> None:
        author = self.repo.partition("/")[0]
        assert self.repo in {one.id for one in self.api.list_models(author=author, limit=500)}
        tree = list(self.api.list_repo_tree(self.repo, recursive=True))
        assert "object" in {one.path for one in tree}
        assert [one.path for one in self.api.get_paths_info(self.repo, ["README.md", "no"])] == [
            "README.md"
        ]
        assert len(self.api.list_repo_commits(self.repo)) >= 4

    def header(self) -> None:
        found = self.api.parse_safetensors_file_metadata(self.repo, "noir.safetensors")
        assert found.tensors

    def branch(self) -> None:
        self.api.create_branch(self.repo, branch="feat/x")
        self.api.create_branch(self.repo, branch="feat/x", exist_ok=True)
        self._add("side.txt", b"side", revision="feat/x")
        assert "side.txt" in self._files(revision="feat/x") - self._files()
        path = self.api.hf_hub_download(self.repo, "side.txt", revision="feat/x")
        assert Path(path).read_text() == "side"
        self.api.delete_branch(self.repo, branch="feat/x")

    def tag(self) -> None:
        self.api.create_tag(self.repo, tag="release")
        refused(HfHubHTTPError, self.api.create_tag, self.repo, tag="release")
        assert self.api.model_info(self.repo, revision="release").sha
        self.api.delete_tag(self.repo, tag="release")
        assert {"v1", "v2"} <= {one.name for one in self.api.list_repo_refs(self.repo).tags}

    def private(self) -> None:
        change = self.api.update_repo_settings
        if "private" not in inspect.signature(change).parameters:
            change = self.api.update_repo_visibility
        change(self.repo, private=True)
        assert self.api.model_info(self.repo).private
        refused(RepositoryNotFoundError, self.stranger.model_info, self.repo)
        refused(
            RepositoryNotFoundError, self.stranger.hf_hub_download, self.repo, "README.md",
            local_dir=self.folder / "stranger",
        )  # fmt: skip

    def errors(self) -> None:
        api, repo = self.api, self.repo
        refused(RepositoryNotFoundError, api.model_info, "ada/nothing-here")
        refused(RevisionNotFoundError, api.model_info, repo, revision="nowhere")
        refused(EntryNotFoundError, api.hf_hub_download, repo, "nothing.md")
        refused(EntryNotFoundError, api.delete_file, "nothing.md", repo)
        refused(OSError, HfApi(token="hf_other").whoami)  # of requests, up to 0.36
        pickle = refused(HfHubHTTPError, self._add, "a.bin", b"\x80\x02}q\x00.")
        assert "pickle" in str(pickle)
        stale = refused(
            HfHubHTTPError, api.create_commit, repo, [CommitOperationAdd("a.md", b"a")],
            commit_message="x", parent_commit=api.list_repo_commits(repo)[-1].commit_id,
        )  # fmt: skip
        assert "412" in str(stale)

    def delete(self) -> None:
        self.api.delete_file("out/config.json", self.repo)
        self.api.delete_folder("out", self.repo)
        assert not {name for name in self._files() if name.startswith("out/")}

    def move(self) -> None:
        self.api.move_repo(self.repo, f"{self.repo}-moved")
        assert self.api.model_info(self.repo).id == f"{self.repo}-moved"
        self.api.delete_repo(f"{self.repo}-moved")
        refused(HfHubHTTPError, self.api.model_info, f"{self.repo}-moved")


CASES = (
    "whoami", "create", "upload_large", "upload_object", "upload_card", "upload_folder", "download",
    "snapshot", "info", "listing", "header", "branch", "tag", "private", "errors", "delete", "move",
)  # fmt: skip


def main(repo: str, weights: str, small: str) -> dict[str, str]:
    """Try every case."""
    probe, told = Probe(repo, Path(weights), Path(small)), {}
    for case in CASES:
        try:
            getattr(probe, case)()
            told[case] = ""
        except Exception as error:  # noqa: BLE001 - whatever a client raises is the result
            told[case] = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3)}"
    return told


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"version": huggingface_hub.__version__, **main(*sys.argv[1:])}))
