"""Rules of the house that a test can hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from hub.config import Config, Env, load
from hub.setting_checks import CHECKS
from registry import errors

ROOT = Path(__file__).resolve().parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
MAX_LINES = 600
#: Errors whose first argument people read.
ERRORS = {name for name, is_a in vars(errors).items() if isinstance(is_a, type)} | {
    "ValidationError"
}
#: Settings that are right or refused when read (``Env.flag``), so that no check is left to do.
STRICT_WHEN_READ = {
    "DATABASE_REPLICA_URL", "DATABASE_URL", "LANGUAGE", "LOG_FORMAT", "LOG_LEVEL", "SEARCH_ENGINES",
    "SIGNUP", "STAFF_TOTP", "TIME_ZONE",
}  # fmt: skip


def tracked(*patterns: str) -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", *patterns]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file()]


def setting_names(tmp_path: Path) -> set[str]:
    env = Env({"LORARY_DATA": str(tmp_path)})
    load(env, ROOT)
    return {name for name in env.known if not name.endswith("_FILE")}


PIN = re.compile(
    r"([a-z0-9][a-z0-9-]*)==([A-Za-z0-9.!]+)(?: ; [^;@]+?)?(?: --hash=sha256:[0-9a-f]{64})+"
)


def pins(lock: Path) -> dict[str, str]:
    """Return name and version of each package of a lock, which has a hash of each file."""
    found = {}
    for line in lock.read_text(encoding="utf-8").replace(" \\\n    ", " ").splitlines():
        pin = PIN.fullmatch(line)
        assert pin, line
        found[pin[1]] = pin[2]
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_lock_pins_everything_and_names_no_cuda_and_no_host(lock: Path) -> None:
    assert pins(lock)
    assert not [name for name in pins(lock) if re.match(r"torch|triton|nvidia|cuda", name)]


def test_every_lock_agrees_with_the_others_on_a_version() -> None:
    seen: dict[str, str] = {}
    for lock in LOCKS:
        for name, version in pins(lock).items():
            assert seen.setdefault(name, version) == version, name


def test_every_setting_is_documented(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `LORARY_([A-Z_]+)`", text, re.MULTILINE))
    assert documented == setting_names(tmp_path)


def test_every_setting_has_a_check_with_an_id_of_its_own(tmp_path: Path) -> None:
    assert set(CHECKS) == setting_names(tmp_path) - STRICT_WHEN_READ
    ids = [number for number, _look in CHECKS.values()]
    assert len({number[1:] for number in ids}) == len(ids)


def test_every_field_of_the_configuration_is_a_setting(tmp_path: Path) -> None:
    assert len(fields(Config)) - 2 == len(setting_names(tmp_path))  # not `unknown` and `known`


def _bare_texts(tree: ast.AST) -> list[ast.expr]:
    """Return the texts for people in a module that do not go through gettext."""
    found: list[ast.expr] = []
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        dotted = ast.unparse(call.func)
        if dotted.startswith("messages."):
            found += call.args[1:2]
        elif dotted.rpartition(".")[2] in ERRORS:
            found += call.args[:1]
        if dotted.startswith("forms."):
            found += [word.value for word in call.keywords if word.arg in {"label", "help_text"}]
    return [
        text
        for text in found
        if isinstance(text, ast.Constant | ast.JoinedStr)
        and any(
            isinstance(part, ast.Constant) and re.search(r"[A-Za-z]{2,} ", str(part.value))
            for part in ast.walk(text)
        )
    ]


def test_texts_for_people_go_through_gettext() -> None:
    assert len(_bare_texts(ast.parse('messages.info(request, "It is bare")'))) == 1
    assert len(_bare_texts(ast.parse('forms.CharField(label=f"The {name}")'))) == 1
    bare = [
        f"{path.relative_to(ROOT)}:{text.lineno}"
        for path in tracked("hub/*.py", "previews/*.py", "registry/*.py")
        for text in _bare_texts(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not bare


def _unfilled(tree: ast.AST) -> list[int]:
    """Return lines where a ``%`` fills a text from a dict that lacks one of its names."""
    assigned: dict[str, list[ast.Assign]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assigned.setdefault(node.targets[0].id, []).append(node)

    def value_of(node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name):
            before = [row for row in assigned.get(node.id, []) if row.lineno < node.lineno]
            node = max(before, key=lambda row: row.lineno).value if before else node
        return node.args[0] if isinstance(node, ast.Call) and len(node.args) == 1 else node

    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mod):
            continue
        text, facts = value_of(node.left), value_of(node.right)
        if isinstance(text, ast.Constant) and isinstance(facts, ast.Dict) and all(facts.keys):
            names = {key.value for key in facts.keys if isinstance(key, ast.Constant)}
            if set(re.findall(r"%\((\w+)\)", str(text.value))) - names:
                found.append(node.lineno)
    return found


def test_texts_get_every_value_that_they_name() -> None:
    assert _unfilled(ast.parse('_("%(a)s of %(b)s") % {"a": 1}')) == [1]
    assert _unfilled(ast.parse('t = _("%(a)s")\nf = {"b": 1}\nraise Gone(t % f)')) == [3]
    unfilled = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in tracked("hub/*.py", "previews/*.py", "registry/*.py", "sdk/*.py")
        for line in _unfilled(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not unfilled


def test_no_file_is_longer_than_the_cap() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in tracked("*.py")
        if "migrations" not in path.parts
        and (count := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not long


def test_no_tracked_file_names_a_machine_or_a_package_host() -> None:
    forbidden = [
        "/" + "work/main",
        "/" + "work/shared",
        "/opt/" + "wheels",
        "pypi" + ".org",
        "python" + "hosted",
        "download." + "pytorch",
        "registry." + "npmjs",
    ]
    found = []
    for path in tracked():
        if path.suffix in {".png", ".jpg", ".webp", ".safetensors", ".woff2", ".ico"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {word}" for word in forbidden if word in text]
    assert not found


def test_every_target_of_the_makefile_is_in_its_help() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert phony is not None
    described = set(re.findall(r"^([a-z0-9-]+):.*## ", text, re.MULTILINE))
    assert set(phony[1].split()) == described


def _is_defined(dotted: str) -> bool:
    """Whether a dotted name of the documentation is a function, method or class of the code."""
    parts = dotted.split(".")
    for count in range(len(parts) - 1, 0, -1):
        place = "/".join(parts[:count])
        for base in (ROOT, ROOT / "sdk" / "src"):
            if (file := base / f"{place}.py").is_file():
                body: list[ast.stmt] = ast.parse(file.read_text(encoding="utf-8")).body
                for name in parts[count:]:
                    found = [one for one in body if getattr(one, "name", "") == name]
                    if not found:
                        return False
                    body = getattr(found[0], "body", [])
                return True
    return False


def test_the_routes_of_the_architecture_name_code_that_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    routes = text.partition("\n## Routes\n")[2].partition("\n## ")[0]
    names = re.findall(r"`((?:hub|lorary|previews|registry)(?:\.\w+)+)`", routes)
    assert len(names) > 40
    assert [name for name in names if not _is_defined(name)] == []
    for section in routes.split("\n### ")[1:]:
        assert len(re.findall(r"^[0-9]+\. ", section, re.MULTILINE)) <= 12


def test_the_files_to_open_for_a_change_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("\n### To change X, open Y\n")[2].partition("\n## ")[0]
    places = re.findall(r"`([a-z]\w*/[\w/.]+)`", table)
    assert len(places) > 30
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_the_limits_of_the_architecture_are_constants_of_the_files_beside_them() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("\n### To change a limit or a default\n")[2].partition("\n## ")[0]
    checked = 0
    for cell in re.split(r"[|;]", table):
        names, files = (
            re.findall(r"`([A-Z_]+|max_attempts)`", cell),
            re.findall(r"`([\w/]+\.py)`", cell),
        )
        for file in files:
            code = (ROOT / file).read_text(encoding="utf-8")
            for name in names:
                assert re.search(rf"^ *([A-Z_]+, )*{name}\b.*=", code, re.MULTILINE), (file, name)
                checked += 1
    assert checked > 20


def test_links_between_documents_lead_to_files() -> None:
    link = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in tracked("*.md")
        for target in link.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken


def test_every_command_that_the_readme_shows_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = ROOT / "hub" / "management" / "commands"
    djangos = {"migrate", "check", "changepassword"}
    for name in re.findall(r"manage\.py ([a-z]+)", text):
        assert (commands / f"{name}.py").exists() or name in djangos, name
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in re.findall(r"`?make ([a-z-]+)", text):
        assert f"\n{name}:" in makefile or name == "are", name


@pytest.mark.slow
def test_the_web_process_never_imports_torch_or_decoders_of_video(tmp_path: Path) -> None:
    code = (
        "import gc, sys, hub.wsgi\n"
        "from django.urls import get_resolver\n"
        "from django.test import Client\n"
        "def walk(patterns):\n"
        "    for p in patterns: walk(getattr(p, 'url_patterns', ()))\n"
        "walk(get_resolver().url_patterns)\n"
        "print(sorted({'torch', 'diffusers', 'transformers', 'peft', 'av'} & set(sys.modules)))\n"
        "assert gc.isenabled()\n"
    )
    environ = {"PATH": "/usr/bin:/bin", "LORARY_DATA": str(tmp_path)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.stdout.strip(), result.returncode) == ("[]", 0), result.stderr
