"""What Hugging Face's library, command and file system, diffusers and PEFT read from a hub."""

from __future__ import annotations

import hashlib
import html
import re
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.clients.cutting import CutOnce
from tests.clients.programs import Programs
from tests.clients.shelf import MANY, Shelf
from tests.documents import snippets

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DOCS, SECTION = "docs/clients.md", "Hugging Face: reading"


@pytest.fixture
def reader(shelf: Shelf, tmp_path: Path) -> Programs:
    """A stranger's programs."""
    return Programs(shelf.hub, tmp_path / "reader")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_library_downloads_and_describes_a_repo(reader: Programs, shelf: Shelf) -> None:
    told = reader.python(
        """
        import hashlib, pathlib
        from huggingface_hub import (
            HfApi, HfFileSystem, ModelCard, hf_hub_download, parse_safetensors_file_metadata,
            snapshot_download,
        )
        def digest(path): return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        api, repo = HfApi(), "studio/noir"
        info = api.model_info(repo, files_metadata=True, securityStatus=True)
        first = snapshot_download(repo, revision="v1")
        peft = pathlib.Path(snapshot_download("studio/noir-peft"))
        header = parse_safetensors_file_metadata(repo, "noir.safetensors")
        fs = HfFileSystem()
        refs = api.list_repo_refs(repo, include_pull_requests=True)
        commits = api.list_repo_commits(repo, formatted=True)
        tree = list(api.list_repo_tree(repo, recursive=True, expand=True))
        tell({
            "newest": digest(hf_hub_download(repo, "noir.safetensors")),
            "again": digest(hf_hub_download(repo, "noir.safetensors")),
            "pinned": digest(hf_hub_download(repo, "noir.safetensors", revision="v1")),
            "first": digest(f"{first}/noir.safetensors"),
            "peft": sorted(path.name for path in peft.iterdir()),
            "sha": info.sha, "sizes": {one.rfilename: one.size for one in info.siblings},
            "lfs": info.siblings[1].lfs.sha256, "tags": info.tags,
            "card": ModelCard.load(repo).data.to_dict(),
            "numbers": info.safetensors.total,
            "pipeline": info.pipeline_tag, "prompt": info.card_data.to_dict()["instance_prompt"],
            "modified": info.last_modified.isoformat(), "private": info.private,
            "by_commit": api.model_info(repo, revision=info.sha).id,
            "files": api.list_repo_files(repo),
            "tree": [(one.path, one.lfs and one.lfs.sha256, one.last_commit.oid) for one in tree],
            "tags_of_refs": {one.name: one.target_commit for one in refs.tags},
            "main": refs.branches[0].target_commit,
            "commits": [one.commit_id for one in commits],
            "paths": [one.path for one in api.get_paths_info(repo, ["noir.safetensors", "no"])],
            "exists": [api.file_exists(repo, "noir.safetensors"), api.file_exists(repo, "no"),
                       api.repo_exists(repo), api.repo_exists("studio/none"),
                       api.revision_exists(repo, "v2"), api.revision_exists(repo, "v9")],
            "tensors": len(header.tensors), "parameters": sum(header.parameter_count.values()),
            "listed": fs.ls(repo, detail=False),
            "found": fs.glob(f"{repo}@v1/*.safetensors"),
            "middle": fs.cat_file(f"{repo}/noir.safetensors", start=8, end=40).hex(),
        })
        """
    )
    assert told["newest"] == told["again"] == told["lfs"] == digest(shelf.noir)
    assert told["pinned"] == told["first"] == digest(shelf.older)
    assert told["peft"] == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert told["sizes"].pop("noir.safetensors") == shelf.noir.stat().st_size
    assert list(told["sizes"]) == ["README.md"]
    assert told["card"]["instance_prompt"] == "dim light"
    assert {"lora", "diffusers", "style", "safetensors"} <= set(told["tags"])
    assert (told["pipeline"], told["prompt"], told["private"]) == (
        "text-to-image", "dim light", False,
    )  # fmt: skip
    assert told["tensors"] > 10
    assert 0 < told["numbers"] <= told["parameters"]
    assert told["modified"].endswith("+00:00")
    assert told["by_commit"] == "studio/noir"
    assert told["files"] == ["README.md", "noir.safetensors"]
    assert told["paths"] == ["noir.safetensors"]
    (second, first, _empty) = told["commits"]
    assert (told["main"], told["sha"]) == (second, second)
    assert told["tags_of_refs"] == {"v1": first, "v2": second}
    assert ["noir.safetensors", digest(shelf.noir), second] in told["tree"]
    assert told["exists"] == [True, False, True, False, True, False]
    assert told["listed"] == ["studio/noir/README.md", "studio/noir/noir.safetensors"]
    assert told["found"] == ["studio/noir@v1/noir.safetensors"]
    assert bytes.fromhex(told["middle"]) == shelf.noir.read_bytes()[8:40]


def test_the_library_lists_searches_and_turns_pages(reader: Programs, shelf: Shelf) -> None:
    told = reader.python(
        """
        from huggingface_hub import HfApi
        api = HfApi()
        def ids(**asked): return [one.id for one in api.list_models(**asked)]
        full = list(api.list_models(author="studio", search="noir", full=True, cardData=True))
        tell({
            "public": sorted(ids(author="studio")),
            "found": ids(author="studio", search="noir", filter=["style", "lora"]),
            "two": len(ids(author="studio", limit=2)),
            "full": [(one.id, bool(one.sha), len(one.siblings)) for one in full],
            "all": ids(author="studio", filter="many", token=TOKEN),
            "whoami": api.whoami(token=TOKEN)["name"],
            "mine": len(list(api.list_user_repos(token=TOKEN))),
        })
        """.replace("TOKEN", repr(shelf.token))
    )
    public = ["studio/after.v2", "studio/gated", "studio/large", "studio/noir", "studio/noir-peft"]
    assert told["public"] == public
    # Two of them only have a file of this name.
    found = ["studio/after.v2", "studio/gated", "studio/noir", "studio/noir-peft"]
    assert sorted(told["found"]) == found
    assert told["two"] == 2
    full = {name: facts for name, *facts in told["full"]}
    assert sorted(full) == found
    assert full["studio/noir"] == [True, 2]
    assert full["studio/noir-peft"] == [True, 3]
    assert sorted(told["all"]) == [f"studio/many{number:03}" for number in range(MANY)]
    assert told["whoami"] == "studio"
    assert told["mine"] == MANY + 6


def test_errors_are_the_ones_that_programs_expect(reader: Programs, shelf: Shelf) -> None:
    told = reader.python(
        """
        from huggingface_hub import HfApi, auth_check, hf_hub_download
        api, weights = HfApi(), "noir.safetensors"
        def error(call, *args, **more):
            try:
                call(*args, **more)
            except Exception as error:
                return type(error).__name__
            return ""
        guest, studio = "GUEST", "STUDIO"
        tell({
            "missing repo": error(api.model_info, "studio/none"),
            "missing revision": error(hf_hub_download, "studio/noir", weights, revision="v9"),
            "missing file": error(hf_hub_download, "studio/noir", "none.bin"),
            "private": error(hf_hub_download, "studio/secret.v1", weights),
            "private, another": error(api.model_info, "studio/secret.v1", token=guest),
            "private, own": error(hf_hub_download, "studio/secret.v1", weights, token=studio),
            "gated": error(hf_hub_download, "studio/gated", "noir.safetensors", token=guest),
            "gated, info": error(api.model_info, "studio/gated"),
            "gated, asked": error(auth_check, "studio/gated", token=guest),
            "open, asked": error(auth_check, "studio/noir"),
            "bad token": error(api.model_info, "studio/noir", token="hf_abc"),
            "whoami": error(api.whoami, token="hf_abc"),
        })
        """.replace("GUEST", shelf.other_token).replace("STUDIO", shelf.token)
    )
    assert told == {
        "missing repo": "RepositoryNotFoundError", "missing revision": "RevisionNotFoundError",
        "missing file": "RemoteEntryNotFoundError", "private": "RepositoryNotFoundError",
        "private, another": "RepositoryNotFoundError", "private, own": "",
        "gated": "GatedRepoError", "gated, info": "", "gated, asked": "GatedRepoError",
        "open, asked": "", "bad token": "HfHubHTTPError", "whoami": "HfHubHTTPError",
    }  # fmt: skip


@pytest.mark.long
def test_branches_with_slashes_and_old_names_are_found(reader: Programs, shelf: Shelf) -> None:
    told = reader.python(
        """
        import hashlib, pathlib
        from huggingface_hub import HfApi, hf_hub_download, snapshot_download
        def digest(path): return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        api, branch, weights = HfApi(), "feat/rain", "noir.safetensors"
        api.create_branch("studio/noir", branch=branch, revision="v1", token=TOKEN)
        folder = snapshot_download("studio/noir", revision=branch)
        tree = api.list_repo_tree("studio/noir", revision=branch, recursive=True)
        tell({
            "file": digest(hf_hub_download("studio/noir", weights, revision=branch)),
            "folder": digest(f"{folder}/{weights}"), "tree": [one.path for one in tree],
            "moved": digest(hf_hub_download("studio/before", weights)),
            "name": api.model_info("studio/before").id,
        })
        """.replace("TOKEN", repr(shelf.token))
    )
    assert told["file"] == told["folder"] == told["moved"] == digest(shelf.older)
    assert told["tree"] == ["README.md", "noir.safetensors"]
    assert told["name"] == "studio/after.v2"


def test_a_broken_download_goes_on_where_it_ended(reader: Programs, shelf: Shelf) -> None:
    with CutOnce(shelf.hub.url) as proxy:
        reader.environ["HF_ENDPOINT"] = proxy.url
        told = reader.python(
            """
            from huggingface_hub import hf_hub_download
            tell(hf_hub_download("studio/large", "large.safetensors"))
            """
        )
    assert digest(Path(told)) == digest(shelf.large)
    whole, rest = proxy.ranges
    assert whole == ""
    start = re.fullmatch(r"bytes=(\d+)-\d*", rest)
    assert start is not None
    assert 0 < int(start[1]) < shelf.large.stat().st_size


NUMBERS = """
import hashlib
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from peft import PeftModel
pipe = DiffusionPipeline.from_pretrained(BASE)
pipe.set_progress_bar_config(disable=True)
def picture(*adapter, **more):
    if adapter:
        pipe.load_lora_weights(*adapter, **more)
    array = pipe("a red house", num_inference_steps=2, height=64, width=64, output_type="np",
                 generator=torch.Generator().manual_seed(3)).images
    pipe.unload_lora_weights()
    return hashlib.sha256(array.tobytes()).hexdigest()
def numbers(adapter):
    unet = UNet2DConditionModel.from_pretrained(BASE, subfolder="unet")
    model = PeftModel.from_pretrained(unet, adapter) if adapter else unet
    noise, config = torch.Generator().manual_seed(1), unet.config
    words = torch.randn((1, 4, config.cross_attention_dim), generator=noise)
    with torch.no_grad():
        out = model(torch.randn((1, config.in_channels, 16, 16), generator=noise), 7, words).sample
    return hashlib.sha256(out.numpy().tobytes()).hexdigest()
tell({
    "none": picture(), "file": picture(NOIR), "hub": picture("studio/noir"),
    "older file": picture(OLDER), "private": picture("studio/secret.v1"),
    "older": picture("studio/noir", weight_name="noir.safetensors", revision="v1"),
    "peft": [numbers(""), numbers(PEFT), numbers("studio/noir-peft")],
})
"""


def test_diffusers_and_peft_make_of_a_repo_what_they_make_of_the_files(
    reader: Programs, shelf: Shelf, base: Path
) -> None:
    reader.environ["HF_TOKEN"] = shelf.token
    code, places = NUMBERS, {"NOIR": shelf.noir, "OLDER": shelf.older, "PEFT": shelf.peft}
    for word, place in {**places, "BASE": base}.items():
        code = code.replace(f"({word}", f"({str(place)!r}")
    told = reader.python(code)
    assert told["hub"] == told["file"] != told["none"]
    assert told["older"] == told["older file"] == told["private"] != told["file"]
    none, folder, hub = told["peft"]
    assert hub == folder != none


def test_the_command_downloads_and_describes(reader: Programs, shelf: Shelf) -> None:
    reader.tool("hf", "download", "studio/noir", "--local-dir", "noir")
    assert digest(reader.folder / "noir" / "noir.safetensors") == digest(shelf.noir)
    reader.tool("hf", "auth", "login", "--token", shelf.token)
    assert "studio" in reader.tool("hf", "auth", "whoami")
    reader.tool("hf", "download", "studio/secret.v1", "noir.safetensors", "--local-dir", "mine")
    assert digest(reader.folder / "mine" / "noir.safetensors") == digest(shelf.older)
    reader.tool("hf", "download", "studio/none", expected=1)
    assert "studio/none" in reader.output


@pytest.mark.long
def test_the_guide_says_what_works(reader: Programs, shelf: Shelf, base: Path) -> None:
    (reader.folder / "base").symlink_to(base)
    scripts, lines = (snippets(DOCS, language, SECTION) for language in ("python", "console"))
    assert len(scripts) == 5
    whole = "\n".join(scripts).replace("https://hub.example", shelf.hub.url)
    reader.python(whole)
    assert "studio/noir/noir.safetensors" in reader.output
    told = [line.removeprefix("$ ") for block in lines for line in block.splitlines()]
    commands = "set -e\n" + "\n".join(told).replace("https://hub.example", shelf.hub.url)
    reader.environ["PATH"] = f"{Path(sys.executable).parent}:{reader.environ['PATH']}"
    del reader.environ["HF_ENDPOINT"]
    assert "studio/noir" in reader.command(["bash", "-c", commands])
    assert digest(reader.folder / "noir" / "noir.safetensors") == digest(shelf.noir)


@pytest.mark.long
def test_the_page_of_an_adapter_says_what_works(reader: Programs, shelf: Shelf, base: Path) -> None:
    """Every line below “Put it here” that a shell or diffusers takes, as it is copied."""
    with urllib.request.urlopen(f"{shelf.hub.url}/studio/noir", timeout=60) as answer:
        page = answer.read().decode()
    menu = page[page.index('id="tools"') :]
    lines = [
        html.unescape(text) for text in re.findall(r'<li\b.*?data-copy="(.*?)"', menu, re.DOTALL)
    ]
    reader.environ["PATH"] = f"{Path(sys.executable).parent}:{reader.environ['PATH']}"
    ways = ("lorary pull", "export", "HF_ENDPOINT=", "curl")
    shell = [line for line in lines if line.startswith(ways)]
    calls = [line for line in lines if line.startswith("pipe.")]
    assert (len(shell), len(calls)) == (7, 2)
    script = "\n".join(["set -e", *sorted(shell, key=lambda line: not line.startswith("export"))])
    told = reader.command(["bash", "-c", script])
    assert '"baseModel":' in told
    files = {path.name: digest(path) for path in reader.folder.rglob("noir*.safetensors")}
    assert set(files.values()) == {digest(shelf.noir)}
    assert len(list(reader.folder.rglob("noir*.safetensors"))) >= 3  # lorary's, hf's, curl's
    loads = [f"{call}; pipe.unload_lora_weights()" for call in calls]
    opened = f"pipe = diffusers.DiffusionPipeline.from_pretrained({str(base)!r})"
    code = "\n".join(["import diffusers, lorary", opened, *loads, "tell(len(pipe.components))"])
    reader.environ["LORARY_ENDPOINT"] = shelf.hub.url
    assert reader.python(code)
