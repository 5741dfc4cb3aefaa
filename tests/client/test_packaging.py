"""What pip builds from the package, and what type checkers make of its documents."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

import lorary
from tests.builders.adapters import DENOISERS, kohya
from tests.client.conftest import SDK
from tests.documents import ROOT, sections, snippets
from tools.man_page import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Modules that need an extra, and the one that runs the program.
WITH_EXTRAS = (
    "lorary.algebra", "lorary.integrations.", "lorary.cli.completion", "lorary.__main__",
)  # fmt: skip
READMES, GUIDE = ("README.md", "sdk/README.md"), "docs/sdk.md"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build wheel and source distribution from a copy, with what is installed here."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "sdk"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    shutil.copytree(SDK.parent, source, ignore=ignore)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source]
    subprocess.run([*map(str, command)], check=True, capture_output=True, timeout=120)
    return folder


def test_wheel_and_source_hold_licence_types_and_version(built: Path) -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    name = f"lorary-{lorary.__version__}"
    with zipfile.ZipFile(built / f"{name}-py3-none-any.whl") as wheel:
        assert wheel.read(f"{name}.dist-info/licenses/LICENSE") == licence
        assert "lorary/py.typed" in wheel.namelist()
        assert wheel.read(f"{name}.data/data/share/man/man1/lorary.1") == PAGE.read_bytes()
        told = wheel.read(f"{name}.dist-info/METADATA").decode()
        points = wheel.read(f"{name}.dist-info/entry_points.txt").decode()
    assert f"\nVersion: {lorary.__version__}\n" in told
    assert "\nLicense-Expression: Apache-2.0\n" in told
    assert "[fsspec.specs]\nlorary=lorary.integrations.fsspec:LoraryFileSystem\n" in points
    with tarfile.open(built / f"{name}.tar.gz") as archive:
        packed = archive.extractfile(f"{name}/LICENSE")
        assert packed is not None
        assert packed.read() == licence


def pythons() -> list[Any]:
    """The interpreters of this computer that the package supports; ours is the only quick one."""
    found = []
    for minor in range(10, 15):
        own = sys.version_info[:2] == (3, minor)
        place = sys.executable if own else shutil.which(f"python3.{minor}")
        if place is not None:
            marks = () if own else pytest.mark.long
            found.append(pytest.param(place, minor, marks=marks, id=f"3.{minor}"))
    return found


def requirements() -> Iterator[Path]:
    """Yield the installed packages that the client needs, and those that these need."""
    waiting, seen = ["lorary"], set[str]()
    while waiting:
        name = waiting.pop()
        for text in metadata.requires(name) or ():
            needed = Requirement(text)
            is_due = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if is_due and needed.name not in seen:
                seen.add(needed.name)
                waiting.append(needed.name)
                tops = {one.parts[0] for one in metadata.files(needed.name) or ()}
                root = Path(str(metadata.distribution(needed.name).locate_file("")))
                yield from (root / top for top in tops if top not in {"..", "__pycache__"})


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
@pytest.mark.parametrize(("python", "minor"), pythons())
def test_wheel_and_source_run_with_their_requirements_alone(
    built: Path, tmp_path: Path, python: str, minor: int, kind: str
) -> None:
    if subprocess.run([python, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} does not start")  # pyenv has it, but did not choose it
    (package,) = built.glob(kind)
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
         "--no-build-isolation", "--no-compile", "--target", site, package],
        check=True, timeout=120,
    )  # fmt: skip
    for place in requirements():
        copy = shutil.copytree if place.is_dir() else shutil.copy
        copy(place, site / place.name)
    if minor == 10:
        pytest.importorskip("tomli")
    lora = tmp_path / "noir.safetensors"
    lora.write_bytes(kohya(DENOISERS["sd1", "diffusers"]))
    code = (
        "import importlib.util, sys\n"
        f"sys.path.insert(0, {str(site)!r})\n"
        "assert not [n for n in ('django', 'numpy', 'torch') if importlib.util.find_spec(n)]\n"
        "import importlib, pkgutil, lorary\n"
        "for one in pkgutil.walk_packages(lorary.__path__, 'lorary.', onerror=print):\n"
        f"    if not one.name.startswith({WITH_EXTRAS}):\n"
        "        importlib.import_module(one.name)\n"
        "from lorary.cli import main\n"
        f"sys.exit(main(['inspect', {str(lora)!r}, '--json']) or main(['cache', 'ls']))"
    )
    done = subprocess.run(
        [python, "-E", "-S", "-c", code], check=False, capture_output=True, text=True, timeout=120
    )  # without the packages of the interpreter
    assert done.returncode == 0, done.stderr
    assert '"family":"sd1"' in done.stdout.splitlines()[0]


def test_the_client_says_its_version_to_hubs(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lorary, "__version__", "9.9+abc")
    from lorary.cli import main  # noqa: PLC0415 - after the version is set
    from lorary.client.http.session import Session  # noqa: PLC0415 - the same

    assert main(["--version"]) == 0
    assert capfd.readouterr().out == "lorary 9.9+abc\n"
    assert Session("http://127.0.0.1:9")._agent == "lorary/9.9+abc"


def examples() -> list[str]:
    """The Python examples of both READMEs, and those of each section of the guide."""
    readmes = [code for place in READMES for code in snippets(place, "python")]
    guide = ["".join(snippets(GUIDE, "python", section)) for section in sections(GUIDE)]
    untyped = ("import fsspec", "from diffusers")
    return [code for code in (*readmes, *guide) if not any(name in code for name in untyped)]


def test_the_examples_pass_a_strict_type_checker(tmp_path: Path) -> None:
    found = examples()
    assert len(found) >= 2
    places = []
    for number, code in enumerate(found):
        places.append(tmp_path / f"example{number}.py")
        places[-1].write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent",
         f"--cache-dir={ROOT / '.mypy_cache'}", *map(str, places)],
        capture_output=True, text=True, check=False, cwd=SDK, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
