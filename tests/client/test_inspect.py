"""`lorary inspect`: files, folders and addresses, for people and for programs."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import select
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

import lorary
from lorary.anatomy import finding_codes
from lorary.cli.commands.files import inspect
from lorary.cli.output import text as output
from lorary.cli.output.text import ADVICE, wrap
from tests.builders.adapters import DENOISERS, TEXT_ENCODERS, diffusers, kohya
from tests.builders.weights import safetensors
from tests.client.conftest import CLI, Ran
from tests.lorary import documents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

SD1 = DENOISERS["sd1", "diffusers"]
SDXL = DENOISERS["sdxl", "sgm"]
LIE = {"ss_base_model_version": "sd_1.5", "modelspec.trigger_phrase": "film noir"}
ESCAPE = re.compile(r"\x1b\[[0-9;]*[mK]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of everything: sound, lying, damaged, foreign and unreadable files."""
    root = tmp_path / "loras"
    (root / "sub").mkdir(parents=True)
    (root / "b.safetensors").write_bytes(kohya(SD1))
    (root / "a.safetensors").write_bytes(kohya(SDXL, metadata=LIE))
    (root / "sub" / "c.SafeTensors").write_bytes(b"<html>")
    (root / "sub" / "vae.safetensors").write_bytes(
        safetensors({"first_stage_model.encoder.conv_in.weight": ("F16", (4, 4, 3, 3))})
    )
    (root / "gone.safetensors").symlink_to(root / "nowhere")
    (root / "notes.txt").write_text("no weights")
    return root


def names(ran: Ran) -> list[str]:
    return [row["file"]["name"] for row in ran.documents]


def test_a_file_gives_one_document_and_needs_no_hub(run: Run, fake: FakeHub, lora: Path) -> None:
    ran = run("inspect", lora, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.document == {**lorary.inspect(lora).to_dict(), "path": str(lora)}
    assert ran.document["file"]["name"] == "noir.safetensors"
    assert ran.document["base"]["family"] == "sd1"
    assert ran.out.startswith('{"schema":2,"file":{"name":"noir.safetensors","size_bytes":')
    assert fake.seen == []


def test_a_folder_gives_a_document_for_each_file_and_stops_at_none(run: Run, folder: Path) -> None:
    ran = run("inspect", folder, "--json")
    assert ran.code == 1
    assert names(ran) == [
        "a.safetensors", "b.safetensors", "gone.safetensors", "sub/c.SafeTensors",
        "sub/vae.safetensors",
    ]  # fmt: skip
    assert [row.pop("path") for row in ran.documents] == [f"{folder}/{n}" for n in names(ran)]
    assert [documents.faults(document) for document in ran.documents] == [[]] * 5
    assert [row["error"]["code"] for row in ran.documents if "error" in row] == [
        "unreadable",
        "is_html",
    ]
    assert [row.get("kind") for row in ran.documents] == ["adapter", "adapter", None, None, "vae"]


def test_a_folder_shows_people_a_line_for_each_file(run: Run, folder: Path) -> None:
    ran = run("inspect", folder)
    assert (ran.code, ran.err) == (1, "")
    lines = ran.out.splitlines()
    assert len(lines) == 5
    assert all(len(line) <= 80 for line in lines)
    assert re.fullmatch(r"a\.safetensors +SDXL≠ +LoRA 4 +[0-9.]+ kB", lines[0])
    assert "cannot be read" in lines[2]
    assert "refused: is_html" in lines[3]
    assert "not an adapter: vae" in lines[4]


def test_several_processes_give_what_one_does(tmp_path: Path, environment: dict[str, str]) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(inspect._WORTH_IT + 9):
        rank = 1 + number % 7
        data = kohya(SD1, rank=rank) if number % 5 else b"PK\x03\x04"
        (root / f"{number:03}.safetensors").write_bytes(data)
    command = [*CLI, "inspect", str(root), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, b"")
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert shown == [
        {**lorary.inspect(place).to_dict(), "path": str(place)} for place in sorted(root.iterdir())
    ]
    head = subprocess.run(
        f"{' '.join(command)} | head -n 1", shell=True, env=environment, capture_output=True,
        check=False,
    )  # fmt: skip
    assert (len(head.stdout.splitlines()), head.stderr) == (1, b"")


def test_what_is_no_adapter_and_what_an_upload_would_refuse_exits_with_0(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half.safetensors"
    half.write_bytes(
        safetensors(
            {
                f"unet.{path}.lora_{half}.weight": ("F16", shape)
                for path, half, shape in (
                    ("a", "A", (4, 9)),
                    ("a", "B", (9, 4)),
                    ("b", "A", (4, 9)),
                )
            }
        )
    )
    ran = run("inspect", half, folder / "sub" / "vae.safetensors", "--json")
    assert ran.code == 0
    assert [row["findings"][0]["severity"] for row in ran.documents] == ["error", "error"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nothing.safetensors"], 3),
        (["empty"], 3),
        (["nothing.safetensors", "bad.safetensors"], 1),
        (["http://127.0.0.1:9/a.safetensors"], 5),
        (["pipe.safetensors"], 1),
        (["-"], 2),
    ],
)
def test_exit_codes_tell_why(
    run: Run, tmp_path: Path, words: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.safetensors").write_bytes(b"PK\x03\x04")
    os.mkfifo(tmp_path / "pipe.safetensors")
    ran = run("inspect", *words, "--json")
    assert ran.code == code
    assert run("inspect", *words).code == code
    for document in ran.documents:
        assert "error" in document


def test_files_and_folders_that_may_not_be_read_are_named(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    barred = {str(folder / "a.safetensors"), str(folder / "sub")}

    # Root may read what is locked, so the answer of the system is given here.
    def deny(really: Callable[..., Any]) -> Callable[..., Any]:
        def ask(place: Any, *words: Any, **options: Any) -> Any:
            if str(place) in barred:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
            return really(place, *words, **options)

        return ask

    monkeypatch.setattr("os.scandir", deny(os.scandir))
    monkeypatch.setattr("pathlib.Path.open", deny(type(folder).open))
    ran = run("inspect", folder, "--json")
    assert ran.code == 1
    refused = [row["file"]["name"] for row in ran.documents if "error" in row]
    assert refused == ["a.safetensors", "gone.safetensors", "sub/"]


def test_links_that_lead_in_circles_are_followed_once(run: Run, folder: Path) -> None:
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "self").symlink_to(folder / "self")
    (folder / "sub" / "up").symlink_to(folder / "sub", target_is_directory=True)
    assert len(run("inspect", folder, "--json").documents) == 5


def test_pages_are_plain_in_a_pipe_and_fit_into_80_columns(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "noir.safetensors"
    words = "a very long trigger phrase, " * 9 + "長い日本語の言葉" * 9
    metadata = {
        **LIE,
        "modelspec.trigger_phrase": words,
        "modelspec.description": "x" * 500,
        "ss_sd_model_name": "ponyDiffusionV6XL.safetensors",
        "ss_tag_frequency": '{"3_noir": {"film grain": 3, "hat": 1}}',
        "ss_network_args": '{"conv_dim": 8}',
        "ss_resolution": "(1024, 1024)",
        "home": "/home/ada/loras",
    }
    place.write_bytes(
        kohya(SDXL, encoders={"lora_te1": TEXT_ENCODERS["clip_l"]}, metadata=metadata)
    )
    ran = run("inspect", place)
    assert ran.code == 0
    assert "\x1b" not in ran.out
    lines = ran.out.splitlines()
    assert [line for line in lines if cell_len(line) > 80] == [lines[0]] * (cell_len(lines[0]) > 80)
    assert "Stable Diffusion XL" in lines[2]
    page = " ".join(ran.out.split())
    assert (
        "CONFLICT: its metadata says Stable Diffusion 1.x (ss_base_model_version: sd_1.5)" in page
    )
    assert "modelspec.trigger_phrase" in page
    assert "1024 × 1024" in page
    assert "privacy_path" in page
    assert "/home/ada" not in page


def test_a_page_says_what_a_file_is_that_is_no_adapter(run: Run, folder: Path) -> None:
    ran = run("inspect", folder / "sub" / "vae.safetensors", folder / "sub" / "c.SafeTensors")
    assert "Not an adapter: this is a VAE." in ran.out
    assert "REFUSED" in ran.out
    assert "Download the file again. [is_html]" in " ".join(ran.out.split())


def _page(data: bytes, tmp_path: Path, run: Run) -> str:
    place = tmp_path / "x.safetensors"
    place.write_bytes(data)
    return " ".join(run("inspect", place).out.split())


def test_a_page_tells_what_is_proven_possible_claimed_and_unknown(run: Run, tmp_path: Path) -> None:
    strange = [SD1[0]._replace(path="strange.0.to_q")]
    attention = [target for target in DENOISERS["flux1", "diffusers"] if "attn" in target.path]
    assert "Stable Diffusion 1.x — proven by its tensors." in _page(kohya(SD1), tmp_path, run)
    several = _page(kohya(attention), tmp_path, run)
    assert re.search(
        r"Likely FLUX\.1 — adapters for .*Chroma, .*or .* have the same structure\.", several
    )
    assert "FLUX.1 is the most used of those that fit." in several
    assert "If you know which one it is, mention it" in several
    claim = {"ss_base_model_version": "omnigen2"}
    claimed = _page(diffusers(strange, metadata=claim), tmp_path, run)
    assert "OmniGen2 — according to its metadata (ss_base_model_version: omnigen2)" in claimed
    assert "Unknown base model —" in _page(diffusers(strange), tmp_path, run)


def test_a_page_tells_which_checkpoints_the_tensors_rule_out(run: Run, tmp_path: Path) -> None:
    name = {"ss_sd_model_name": "ponyGhibliStyle"}
    page = " ".join(_page(kohya(SD1, metadata=name), tmp_path, run).split())
    assert "ss_sd_model_name names Pony as the checkpoint (ponyGhibliStyle), but" in page
    assert "Trained on" not in page
    small = _page(kohya(DENOISERS["wan_5b", "native"]), tmp_path, run)
    assert "Trained on Wan 2.2, as its tensors show." in small


def test_a_page_tells_a_name_from_metadata(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "wan2.2_noir_HN.safetensors"
    attention = [one for one in DENOISERS["wan_14b", "native"] if "attn" in one.path]
    place.write_bytes(kohya(attention))
    page = " ".join(run("inspect", place).out.split())
    assert "Wan 14B — according to its file name; the tensors fit others too." in page
    assert "Its file name suggests Wan 2.2." in page
    assert "Trained on Wan 2.2, according to its file name." in page
    assert "The file name suggests Wan 14B, and the tensors fit it." in page
    assert "metadata" not in page


def test_norms_are_not_compared_with_the_layers_of_a_whole_file(run: Run, tmp_path: Path) -> None:
    rows: dict[str, tuple[str, tuple[int, ...]]] = {}
    for target in SD1:
        stem = "lora_unet_" + target.path.replace(".", "_")
        rows[f"{stem}.lora_down.weight"] = ("F16", (4, *target.shape[1:]))
        rows[f"{stem}.lora_up.weight"] = ("F16", (target.shape[0], 4))
    for number in range(300):
        rows[f"lora_unet_down_blocks_0_extra_{number}_norm1.w_norm"] = ("F16", (320,))
    page = _page(safetensors(rows), tmp_path, run)
    assert re.search(r"layers 7 of \d+ that trainers adapt by default, and norms: ", page), page
    assert "norm 300" in page


def test_a_broken_table_of_lineages_is_told_before_anything_is_read(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.json"
    own.write_text('{"names": 1}')
    monkeypatch.setenv("LORARY_LINEAGES", str(own))
    ran = run("inspect", tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert "LORARY_LINEAGES" in ran.err
    assert "names is not a list. Correct the file" in " ".join(ran.err.split())
    own.write_text('{"names": []}')
    assert run("inspect", tmp_path).code == 3


def test_nothing_of_a_file_can_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x9b2J\u202egnp\u200b"
    place = tmp_path / f"{hostile}.safetensors"
    keys = (
        hostile, "modelspec.title", "modelspec.author", "modelspec.trigger_phrase",
        "ss_sd_model_name", "ss_base_model_version", "ss_optimizer", "modelspec.description",
    )  # fmt: skip
    metadata = dict.fromkeys(keys, hostile)
    metadata["ss_tag_frequency"] = json.dumps({f"1_{hostile}": {hostile: 3}})
    place.write_bytes(kohya(SD1, metadata=metadata))
    for words in ([place], [tmp_path], [place, "--json"], [tmp_path, "--json"]):
        ran = run("inspect", *words)
        assert not set(ran.out) & set("\x1b\x07\x9b\u202e\u200b")
        assert ran.err == ""


def on_terminal(words: list[object], env: dict[str, str], *, stop: bool = False) -> tuple[int, str]:
    """Run a command on a terminal of 80 columns, and return its exit code and what it wrote."""
    mine, theirs = pty.openpty()
    done = subprocess.Popen(
        [*CLI, *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**env, "TERM": "xterm-256color", "COLUMNS": "80"}, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    read = b""
    while select.select([mine], [], [], 20)[0]:
        try:
            read += os.read(mine, 65_536)
        except OSError:
            break
        if stop and b"Inspecting" in read:
            stop = False
            done.send_signal(signal.SIGINT)
    os.close(mine)
    return done.wait(20), read.decode()


def test_a_terminal_gets_colour_unless_it_says_no(
    folder: Path, environment: dict[str, str]
) -> None:
    place = folder / "a.safetensors"
    own = {key: value for key, value in environment.items() if key != "NO_COLOR"}
    code, text = on_terminal(["inspect", place], own)
    assert code == 0
    assert "\x1b[1;31mCONFLICT" in text
    _, plain = on_terminal(["inspect", place], {**own, "NO_COLOR": "1"})
    assert plain == ESCAPE.sub("", text)


def test_a_terminal_shows_progress_and_is_left_clean(
    folder: Path, environment: dict[str, str]
) -> None:
    _, text = on_terminal(["inspect", folder], environment)
    assert "Inspecting 0 of 5" in text
    shown = re.sub(r"\r\x1b\[K[^\r\n]*(?=\r\x1b\[K)|\r\x1b\[K", "", text)
    assert "Inspecting" not in shown
    assert shown.splitlines()[5:] == ["5 files, 2 refused or unreadable."]


def test_ctrl_c_ends_it_without_a_trace(tmp_path: Path, environment: dict[str, str]) -> None:
    data = kohya(SD1)
    for number in range(3_000):
        (tmp_path / f"{number}.safetensors").write_bytes(data)
    code, text = on_terminal(["inspect", tmp_path], environment, stop=True)
    assert code == 130
    assert "interrupted" in text
    assert "Traceback" not in text


def test_every_finding_has_its_advice() -> None:
    assert finding_codes() <= set(ADVICE)
    assert all(text.endswith(".") for text in ADVICE.values())
    assert "Check that it is a safetensors file" in ADVICE["header_too_large"]


@pytest.mark.parametrize("text", ["", "a", "word " * 40, "x" * 200, "語" * 90, "a\u0301" * 90])
def test_wrapped_text_fits_and_loses_nothing(text: str) -> None:
    lines = wrap(text, 30)
    assert all(cell_len(line) <= 30 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("terminal", [None, 40, 60])
def test_a_table_is_whole_in_a_pipe_and_fits_a_terminal(
    monkeypatch: pytest.MonkeyPatch, terminal: int | None
) -> None:
    monkeypatch.setattr(output, "terminal_columns", lambda: terminal)
    rows = [["ADAPTER", "WORDS"], ["studio/noir", "[red] 語 " * 20]]
    lines = output.table(rows)
    assert "".join("".join(lines).split()) == "ADAPTERWORDSstudio/noir" + "[red]語" * 20
    assert lines[0] == "ADAPTER      WORDS"
    if terminal is None:
        assert len(lines) == 2
    else:
        assert max(map(cell_len, lines)) <= terminal


def test_files_of_one_name_are_told_apart_by_their_paths(run: Run, lora: Path) -> None:
    places = [lora.parent / folder / lora.name for folder in ("a", "b")]
    for place in places:
        place.parent.mkdir()
        place.write_bytes(lora.read_bytes())
    missing = lora.parent / "none.safetensors"
    documents = run("inspect", *places, missing, lora.parent / "b", "--json").documents
    assert [one["path"] for one in documents] == [
        str(place) for place in (*places, missing, places[1])
    ]
