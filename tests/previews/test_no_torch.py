"""The web process never imports torch."""

from __future__ import annotations

import subprocess
import sys


def test_the_application_and_the_renderers_package_come_without_torch() -> None:
    code = (
        "import django, sys; django.setup();"
        "import previews.tasks, previews.services, previews.selectors, previews.cover;"
        "import previews.render, previews.render.defaults, previews.render.images;"
        "found = {'torch', 'diffusers', 'transformers', 'peft'} & set(sys.modules);"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"DJANGO_SETTINGS_MODULE": "hub.settings.test", "PYTHONPATH": ".:sdk/src"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
