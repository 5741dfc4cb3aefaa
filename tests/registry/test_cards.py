from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from registry.adapters import manifests
from registry.cards import fields as card_fields
from registry.cards import front_matter
from registry.cards import services as cards
from registry.commits.services import Inline
from registry.errors import Invalid
from registry.models import Event
from registry.versions import contents
from registry.versions.details import Details
from tests import catalogue
from tests.registry.files import LORA
from tests.registry.pushing import push

if TYPE_CHECKING:
    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db(transaction=True)

README = """---
license: other
license_name: flux-1-dev-non-commercial-license
base_model: black-forest-labs/FLUX.1-dev
instance_prompt: a photo of TOK dog
tags:
- text-to-image
- lora
- template:sd-lora
- Film Noir
- 2024
widget:
- text: TOK in the rain
  output:
    url: image_0.png
---
# Noir

Rain and neon.
"""


def test_what_trainers_write_is_understood() -> None:
    card = card_fields.read(README)
    assert (card.family, card.lineage) == ("flux1", "FLUX.1 dev")
    assert card.trigger_words == ("a photo of TOK dog",)
    assert card.tags == ("film noir", "2024")
    assert card.licence == "flux-1-dev-non-commercial-license"
    assert card.text == "# Noir\n\nRain and neon.\n"
    assert card.warnings == ()


def test_the_whole_front_matter_is_there_for_clients() -> None:
    found = card_fields.front_matter(README)
    assert found["widget"] == [{"text": "TOK in the rain", "output": {"url": "image_0.png"}}]
    assert found["tags"][-1] == 2024
    json.dumps(found, allow_nan=False)


TEXTS = [
    ("# Noir", "# Noir"),
    ("", ""),
    ("---\nno end of it", "---\nno end of it"),
    ("---\n---\n# Noir", "# Noir"),
    ("\ufeff---\r\nlicense: mit\r\n---\r\n\r\n# Noir", "# Noir"),
    ("Text first\n---\nlicense: [\n---\n", "Text first\n---\nlicense: [\n---\n"),
    ("----\nlicense: [\n----\n", "----\nlicense: [\n----\n"),
]


def test_a_readme_may_have_no_front_matter(subtests: pytest.Subtests) -> None:
    for text, body in TEXTS:
        with subtests.test(text=text, body=body):
            assert card_fields.read(text).text == body


def test_windows_line_ends_are_no_difference() -> None:
    card = card_fields.read(README.replace("\n", "\r\n"))
    assert (card.family, card.tags) == ("flux1", ("film noir", "2024"))


def test_values_become_json_whatever_they_look_like() -> None:
    text = "---\nwhen: 2024-01-01\nbad: 2024-99-99\nn: .nan\n2: two\nnull: x\nyes: no\n---\n"
    assert card_fields.front_matter(text) == {
        "when": "2024-01-01",
        "bad": "2024-99-99",
        "n": None,
        "2": "two",
        "None": "x",
        "True": False,
    }


LAUGHS = "a: &a [x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}, *{before}, *{before}]\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
)


RAWS = [
    ("license: [mit", "line "),
    ("license: a: b", "line 2"),
    ("tags:\n- a\n\tb: c", "line 4"),
    ("- a list", "names with values"),
    ("just text", "names with values"),
    (LAUGHS, "anchor"),
    ("x: *nothing", "alias"),
    ("x: !!python/object/apply:os.system ['true']", "tag"),
    ("x: !!timestamp abc", "tag"),
    ("x: !!int abc", "tag"),
    ("x: !local y", "tag"),
    ("n: " + "9" * 5000, "number"),
    ("n: 0x_", "number"),
    ("n: " + "1:" * 20_000 + "1", "number"),
    ("n: " + "1:" * 3000 + "1.5", "number"),
    ("1" * 30 + ": x", "number"),
    ("x: " + "[" * 5000, "nested"),
    ("x: " + "{a: " * 100, "nested"),
    ("x: [" + "1, " * 20_000 + "]", "values"),
    ("x: " + "y" * 70_000, "bytes"),
    ("? [a]\n: b", "line"),
    ("x: =", "line"),
    ("<<: 3", "line"),
    ("x: \x00", "characters"),
    ("a: 1\n...\nb: 2", "line"),
]


def test_hostile_and_broken_front_matter_is_refused_at_once(subtests: pytest.Subtests) -> None:
    for raw, said in RAWS:
        with subtests.test(raw=raw, said=said):
            begun = time.monotonic()
            with pytest.raises(Invalid) as refusal:
                card_fields.read(f"---\n{raw}\n---\n# Noir")
            assert said in str(refusal.value)
            assert time.monotonic() - begun < 5


def test_a_front_matter_at_the_limit_is_read() -> None:
    raw = "x: [" + "1, " * (front_matter.MAX_NODES - 10) + "]"
    assert len(front_matter.parse(raw)["x"]) == front_matter.MAX_NODES - 10


RAWS_TOLD = [
    ("tags: {a: b}", ["tags"]),
    ("tags: ['<script>', noir]", ["tags"]),
    (f"tags: [{', '.join(f't{n}' for n in range(40))}]", ["tags"]),
    (f"instance_prompt: {'x' * 300}", ["instance_prompt"]),
    ("instance_prompt: {a: b}", ["instance_prompt"]),
    (f"license: {'x' * 300}", ["license"]),
    ("license: true", ["license"]),
    (f"base_model: {'x' * 300}", ["base_model"]),
    ("license: null\ntags:\nbase_model: []\ninstance_prompt: ''", []),
]


def test_odd_values_are_left_out_and_told(subtests: pytest.Subtests) -> None:
    for raw, fields in RAWS_TOLD:
        with subtests.test(raw=raw, fields=fields):
            card = card_fields.read(f"---\n{raw}\n---\n")
            assert len(card.warnings) == len(fields)
            assert all(
                f"“{field}”" in warning
                for field, warning in zip(fields, card.warnings, strict=True)
            )


def test_a_readme_that_is_no_text_is_refused() -> None:
    with pytest.raises(Invalid):
        card_fields.decoded(b"# Noir \xff\xfe")
    assert card_fields.decoded("é".encode() * card_fields.MAX_READ)[:2] == "éé"


def test_a_base_that_nobody_knows_is_a_lineage() -> None:
    card = card_fields.read("---\nbase_model: [someone/merge-of-all, other/one]\n---\n")
    assert (card.family, card.lineage) == (None, "someone/merge-of-all")


def test_a_pushed_card_is_what_the_page_shows(ada: User, noir: Adapter) -> None:
    version = catalogue.release(noir, LORA)
    text = README.replace("black-forest-labs/FLUX.1-dev", "runwayml/stable-diffusion-v1-5")
    cards.apply(actor=ada, adapter=noir, card=card_fields.read(text))
    noir.refresh_from_db()
    version.refresh_from_db()
    assert noir.licence == "flux-1-dev-non-commercial-license"
    assert sorted(tag.name for tag in noir.tags.all()) == ["2024", "film noir"]
    assert noir.card == "# Noir\n\nRain and neon.\n"
    assert (version.declared_family, version.lineage) == ("sd1", "Stable Diffusion 1.5")
    assert version.trigger_words == ["a photo of TOK dog"]
    assert (noir.family, noir.lineage) == ("sd1", "Stable Diffusion 1.5")
    before = Event.objects.count()
    cards.apply(actor=ada, adapter=noir, card=card_fields.read(text))
    assert Event.objects.count() == before


def test_optional_words_are_in_the_readme_and_read_from_it(ada: User, noir: Adapter) -> None:
    version = catalogue.release(noir, LORA, Details(trigger_words=("noir",)))
    details = replace(Details.of(version), optional_trigger_words=("low sun", "rain"))
    cards.edit_version(actor=ada, version=version, details=details)
    readme = contents.readme_on(manifests.main_of(noir))
    assert readme is not None
    card = card_fields.read_blob(readme.blob)
    assert card.trigger_words == ("noir",)
    assert card.optional_trigger_words == ("low sun", "rain")
    pushed = "---\noptional_trigger_words: fog\n---\n# Noir\n"
    cards.apply(actor=ada, adapter=noir, card=card_fields.read(pushed))
    version.refresh_from_db()
    assert (version.trigger_words, version.optional_trigger_words) == (["noir"], ["fog"])


def test_what_a_card_does_not_say_stays(ada: User, noir: Adapter) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, licence="mit", maturity="mature")
    version = catalogue.release(noir, LORA, card_fields.Card(trigger_words=("noir",)).details())
    cards.apply(actor=ada, adapter=noir, card=card_fields.read("# Noir"))
    noir.refresh_from_db()
    version.refresh_from_db()
    assert (noir.licence, noir.maturity, noir.tags.count()) == ("mit", "mature", 2)
    assert version.trigger_words == ["noir"]


def test_what_is_not_for_all_is_rated_so(ada: User, noir: Adapter) -> None:
    cards.apply(
        actor=ada, adapter=noir, card=card_fields.read("---\ntags: [not-for-all-audiences]\n---\n")
    )
    noir.refresh_from_db()
    assert (noir.maturity, noir.tags.count()) == ("mature", 0)


def test_a_card_made_here_is_recorded_as_a_pushed_one(ada: User, noir: Adapter) -> None:
    made = [push(noir, Inline("README.md", b"# Noir")).revision]
    assert cards._replace_readme(ada, noir, made[0], "# Rain")
    made.append(manifests.main_of(noir))
    told = Event.objects.filter(verb="revision_committed").order_by("pk")
    assert [(event.actor, event.adapter, event.subject) for event in told] == [
        (ada, noir, revision.commit[:12]) for revision in made
    ]
    assert [event.facts for event in told] == [
        {"ref": "main", "revision": revision.commit, "version": None} for revision in made
    ]


def test_characters_that_nobody_sees_do_not_reach_the_page() -> None:
    assert card_fields.read("# No\x00ir\x1b").text == "# Noir"
