"""The web process never imports torch."""

from __future__ import annotations

from tests.previews.fresh import run_fresh


def test_the_application_and_the_renderers_package_come_without_torch() -> None:
    code = (
        "import django, sys; django.setup();"
        "import previews.tasks, previews.operator_actions, previews.covers.services;"
        "import previews.render, previews.render.defaults, previews.render.output.images;"
        "found = {'torch', 'diffusers', 'transformers', 'peft'} & set(sys.modules);"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    done = run_fresh(code)
    assert done.returncode == 0, done.stderr
