"""Public names of the SDK's packages, also after all of its modules were imported."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

PACKAGES = (
    "lorary",
    "lorary.algebra",
    "lorary.client",
    "lorary.exports",
    "lorary.library",
    "lorary.safetensors",
)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_can_be_imported(package: str) -> None:
    # In a process of its own: here other tests have imported some of them.
    code = (
        f"import {package} as package; shown = dir(package); "
        "assert set(package.__all__) <= set(shown), shown; "
        "missing = [name for name in package.__all__ if not hasattr(package, name)]; "
        "assert not missing, missing"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    exec(f"from {package} import *", {})


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_takes_the_place_of_a_public_name(package: str) -> None:
    module = importlib.import_module(package)
    modules = {one.name for one in pkgutil.iter_modules(module.__path__)}
    functions = {name for name in module.__all__ if not inspect.ismodule(getattr(module, name))}
    assert not functions & modules
