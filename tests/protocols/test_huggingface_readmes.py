"""README.md and what is said here: two sides of one thing, whoever says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from hub.protocols.huggingface.repos import shapes
from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.aliases import selectors as alias_selectors
from registry.blobs import promote
from registry.cards import base_models, fields, front_matter
from registry.cards import services as cards
from registry.commits import services as commits
from registry.errors import StorageAway
from registry.publication import services as publication
from registry.versions import contents, revisions, withdraw
from registry.versions import selectors as version_selectors
from registry.versions import services as versions
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from registry.models import Adapter, Revision, User, Version

pytestmark = pytest.mark.django_db(transaction=True)

PUSHED = """---
# written by hand
license: mit
base_model: stable-diffusion-v1-5/stable-diffusion-v1-5
instance_prompt: noir
tags: [lora, template:sd-lora, film]
widget:
- text: noir, rain
---
# Noir

Rain and neon.
"""


@pytest.fixture
def owner(ada: User) -> User:
    return ada


def published(
    owner: User, adapter: Adapter, rank: int = 2, readme: str = "", details: Details | None = None
) -> Version:
    uploads = [catalogue.accept(owner, kohya(DENOISERS["sd1", "diffusers"], rank=rank))]
    if readme:
        uploads.append(catalogue.accept(owner, readme.encode(), "README.md"))
    return publication.release(actor=owner, adapter=adapter, uploads=uploads, details=details)


def new(owner: User, **said: Any) -> Adapter:
    return adapters.create(actor=owner, name="noir", **said)


def main(adapter: Adapter) -> Revision:
    return manifests.main_of(adapter)


def readme(adapter: Adapter) -> str:
    line = contents.readme_of(manifests.entries_of(main(adapter)))
    return fields.text_of(line.blob) if line else ""


def matter(adapter: Adapter) -> dict[str, Any]:
    return fields.front_matter(readme(adapter))


def push(owner: User, adapter: Adapter, text: str = PUSHED) -> None:
    inline = commits.Inline("README.md", text.encode())
    commits.commit(actor=owner, adapter=adapter, inlines=[inline])


def test_what_is_published_on_the_web_gets_a_card(owner: User) -> None:
    adapter = new(owner, title="Film noir", summary="Rain.", licence="MIT", tags=["film"])
    said = Details(trigger_words=("noir", "a `b"), strength=0.8, strength_min=0.5, strength_max=1)
    version = published(owner, adapter, details=said)
    assert matter(adapter) == {
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["lora", "diffusers", "film"],
        "base_model": "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "license": "mit",
        "instance_prompt": ["noir", "a `b"],
    }
    text = front_matter.split(readme(adapter))[1]
    assert text == (
        "# Film noir\n\nRain.\n\n- Base model: Stable Diffusion 1.x\n"
        "- Trigger words: `noir`, ``a `b``\n- Strength: 0.8 (0.5 … 1)\n"
    )
    assert main(adapter) == version.revision


def test_edits_on_the_web_follow_and_the_rest_stays(owner: User) -> None:
    adapter = new(owner)
    version = published(owner, adapter)
    push(owner, adapter)
    adapter.refresh_from_db()
    cards.edit_adapter(
        actor=owner, adapter=adapter, tags=["film", "rain"], card="# Noir\n\nNeon.\n"
    )
    found = matter(adapter)
    assert found["tags"] == ["lora", "template:sd-lora", "film", "rain"]
    assert found["widget"] == [{"text": "noir, rain"}]
    assert (found["license"], found["instance_prompt"]) == ("mit", "noir")
    assert readme(adapter).endswith("---\n# Noir\n\nNeon.\n")
    version.refresh_from_db()
    cards.edit_version(
        actor=owner, version=version, details=Details(trigger_words=[], declared_family="sd1")
    )
    assert "instance_prompt" not in matter(adapter)
    cards.edit_adapter(actor=owner, adapter=adapter, licence="")
    assert "license" not in matter(adapter)


def test_tags_of_programs_stay_and_are_not_doubled(owner: User) -> None:
    adapter = new(owner)
    published(owner, adapter)
    push(owner, adapter)
    adapter.refresh_from_db()
    cards.edit_adapter(actor=owner, adapter=adapter, tags=["lora", "rain"])
    assert matter(adapter)["tags"] == ["lora", "template:sd-lora", "rain"]
    before = main(adapter)
    cards.edit_adapter(actor=owner, adapter=adapter, title="Noir")
    assert main(adapter) == before


def test_what_is_not_for_everybody_says_so_on_both_sides(owner: User) -> None:
    adapter = new(owner)
    published(owner, adapter)
    push(owner, adapter)
    adapter.refresh_from_db()
    for maturity in ("mature", "explicit"):
        cards.edit_adapter(actor=owner, adapter=adapter, maturity=maturity)
        assert fields.NOT_FOR_ALL in matter(adapter)["tags"]
        assert fields.NOT_FOR_ALL in shapes.tags(adapter)
    cards.edit_adapter(actor=owner, adapter=adapter, maturity="suggestive")
    assert fields.NOT_FOR_ALL in matter(adapter)["tags"]
    cards.edit_adapter(actor=owner, adapter=adapter, maturity="general")
    assert fields.NOT_FOR_ALL not in matter(adapter)["tags"]


def test_a_card_too_long_to_be_read_is_left_alone(owner: User) -> None:
    adapter = new(owner)
    long = PUSHED + "x" * fields.MAX_READ
    published(owner, adapter, readme=long)
    before = main(adapter)
    cards.edit_adapter(actor=owner, adapter=adapter, licence="apache-2.0")
    assert main(adapter) == before


def test_a_text_alone_leaves_the_front_matter_as_it_was_written(owner: User) -> None:
    adapter = new(owner)
    published(owner, adapter)
    push(owner, adapter)
    adapter.refresh_from_db()
    cards.edit_adapter(actor=owner, adapter=adapter, card="Other words.")
    assert readme(adapter) == PUSHED.replace("# Noir\n\nRain and neon.\n", "Other words.")


@pytest.mark.parametrize("said", [{"title": "Noir"}, {"visibility": "private"}, {"tags": ["film"]}])
def test_what_the_card_says_already_makes_no_revision(owner: User, said: dict[str, Any]) -> None:
    adapter = new(owner)
    published(owner, adapter)
    push(owner, adapter)
    adapter.refresh_from_db()
    before = main(adapter)
    cards.edit_adapter(actor=owner, adapter=adapter, **said)
    assert main(adapter) == before
    assert readme(adapter) == PUSHED


def test_a_push_of_a_card_is_not_answered_with_another(owner: User) -> None:
    adapter = new(owner)
    published(owner, adapter)
    before = adapter.revisions.count()
    push(owner, adapter)
    assert adapter.revisions.count() == before + 1
    assert readme(adapter) == PUSHED


def test_a_push_of_weights_gets_no_card_from_here(owner: User) -> None:
    """Whoever pushes in steps expects the branch where the last step left it."""
    adapter = new(owner)
    weights = catalogue.accept(owner, kohya(DENOISERS["sd1", "diffusers"], rank=2)).blob
    assert weights is not None
    put = commits.Put("noir.safetensors", weights.sha256)
    made = commits.commit(actor=owner, adapter=adapter, puts=[put])
    assert main(adapter) == made.revision
    assert made.version is not None


def test_the_same_files_again_are_the_same_version_whatever_the_card(owner: User) -> None:
    adapter = new(owner)
    first = published(owner, adapter)
    push(owner, adapter)
    assert published(owner, adapter) == first
    second = published(owner, adapter, rank=4)
    assert published(owner, adapter) == first
    assert [file.path for file in second.files] == ["noir.safetensors", "README.md"]
    assert matter(adapter)["widget"] == [{"text": "noir, rain"}]
    assert main(adapter) == second.revision


def test_weights_pushed_with_a_card_are_found_again_without_it(owner: User) -> None:
    adapter = new(owner)
    weights = catalogue.accept(owner, kohya(DENOISERS["sd1", "diffusers"], rank=2)).blob
    assert weights is not None
    made = commits.commit(
        actor=owner,
        adapter=adapter,
        puts=[commits.Put("noir.safetensors", weights.sha256)],
        inlines=[commits.Inline("README.md", PUSHED.encode())],
    )
    assert published(owner, adapter) == made.version


def test_a_card_among_the_files_of_a_version_stays_in_it(owner: User) -> None:
    adapter = new(owner)
    version = published(owner, adapter, readme=PUSHED)
    assert [file.path for file in version.files] == ["noir.safetensors", "README.md"]
    assert main(adapter) == version.revision
    assert published(owner, adapter, readme=PUSHED) == version
    assert published(owner, adapter) == version
    assert published(owner, adapter, readme="Other.") != version


def test_a_card_among_the_files_says_what_nobody_said_otherwise(owner: User) -> None:
    adapter = new(owner, licence="apache-2.0")
    details = Details(trigger_words=("rain",))
    version = published(owner, adapter, readme=PUSHED, details=details)
    adapter.refresh_from_db()
    version.refresh_from_db()
    assert (adapter.licence, adapter.card) == ("apache-2.0", "# Noir\n\nRain and neon.\n")
    assert [tag.name for tag in adapter.tags.all()] == ["film"]
    assert (version.trigger_words, version.declared_family) == (["rain"], "sd1")
    assert matter(adapter)["license"] == "apache-2.0"
    assert matter(adapter)["instance_prompt"] == "rain"
    assert matter(adapter)["widget"] == [{"text": "noir, rain"}]


def test_what_a_kept_card_said_before_is_not_taken_up_again(owner: User) -> None:
    adapter = new(owner)
    published(owner, adapter)
    push(owner, adapter)
    second = published(owner, adapter, rank=4, details=Details(trigger_words=[]))
    second.refresh_from_db()
    assert second.trigger_words == []
    assert "instance_prompt" not in matter(adapter)


def test_a_card_that_cannot_be_read_is_left_alone(owner: User) -> None:
    adapter = new(owner)
    published(owner, adapter, readme="---\n[\n---\nText.")
    before = main(adapter)
    cards.edit_adapter(actor=owner, adapter=adapter, licence="mit")
    assert main(adapter) == before


def test_a_store_that_is_away_undoes_no_edit(
    owner: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = new(owner)
    published(owner, adapter)

    def away(*_args: object) -> None:
        raise StorageAway

    with monkeypatch.context() as patched:
        patched.setattr(promote, "put", away)
        cards.edit_adapter(actor=owner, adapter=adapter, licence="mit")
    assert "is not updated yet" in caplog.text
    adapter.refresh_from_db()
    assert adapter.licence == "mit"
    cards.edit_adapter(actor=owner, adapter=adapter, summary="Rain.")
    assert matter(adapter)["license"] == "mit"


def test_main_names_the_version_behind_which_the_card_lies(owner: User) -> None:
    adapter = new(owner)
    published(owner, adapter)
    second = published(owner, adapter, rank=4)
    (pointer,) = alias_selectors.pointers(alias_selectors.listing(adapter))
    assert (pointer.alias.name, pointer.version) == ("main", second)
    assert alias_selectors.by_version(adapter) == {second.pk: ["main"]}
    assert version_selectors.get(None, adapter, "main") == second


def test_a_card_behind_a_version_that_is_not_offered_is_not_read_by_default(owner: User) -> None:
    adapter = new(owner)
    first = published(owner, adapter)
    behind = main(adapter)
    second = published(owner, adapter, rank=4)
    cards.edit_adapter(actor=owner, adapter=adapter, licence="mit")
    versions.yank(actor=owner, version=second, reason="Too dark.")
    adapter.refresh_from_db()
    assert revisions.at(None, adapter).revision == behind
    assert adapter.latest_version == first
    versions.restore(actor=owner, version=second)
    adapter.refresh_from_db()
    assert revisions.at(None, adapter).revision == main(adapter)


def test_a_card_tells_of_the_weights_beside_it_while_they_are_yanked(owner: User) -> None:
    adapter = new(owner)
    first = published(owner, adapter, details=Details(trigger_words=("rain",)))
    second = published(owner, adapter, rank=4, details=Details(trigger_words=("neon",)))
    versions.yank(actor=owner, version=second, reason="Too dark.")
    cards.edit_adapter(actor=owner, adapter=adapter, licence="mit")
    cards.edit_version(actor=owner, version=first, details=Details(trigger_words=("snow",)))
    assert (matter(adapter)["license"], matter(adapter)["instance_prompt"]) == ("mit", "neon")
    adapter.refresh_from_db()
    assert adapter.latest_version == first
    cards.edit_version(actor=owner, version=second, details=Details(trigger_words=("fog",)))
    assert matter(adapter)["instance_prompt"] == "fog"
    versions.yank(actor=owner, version=first, reason="Too dark as well.")
    cards.edit_version(actor=owner, version=second, details=Details(trigger_words=("haze",)))
    assert matter(adapter)["instance_prompt"] == "haze"


def test_what_follows_a_withdrawn_version_is_built_on_the_one_before(owner: User) -> None:
    adapter = new(owner)
    first = published(owner, adapter)
    second = published(owner, adapter, rank=4)
    withdraw.withdraw(actor=owner, version=second, reason="Too dark.")
    adapter.refresh_from_db()
    assert readme(adapter) != ""
    cards.edit_adapter(actor=owner, adapter=adapter, licence="mit")
    adapter.refresh_from_db()
    assert matter(adapter)["license"] == "mit"
    found = revisions.at(None, adapter).revision
    assert found == main(adapter)
    weights = found.files.get(is_primary=True)
    assert weights.blob_id == first.files.get(is_primary=True).blob_id
    push(owner, adapter)
    assert [file.path for file in main(adapter).files.all()] == ["README.md", "noir.safetensors"]


def test_drafts_get_no_card(owner: User) -> None:
    adapter = new(owner)
    uploads = [catalogue.accept(owner, kohya(DENOISERS["sd1", "diffusers"], rank=2))]
    draft = publication.create_draft(actor=owner, adapter=adapter, uploads=uploads)
    cards.edit_adapter(actor=owner, adapter=adapter, licence="mit")
    assert readme(adapter) == ""
    publication.publish(actor=owner, version=draft)
    assert matter(adapter)["license"] == "mit"


def test_pushed_back_it_says_what_it_said(owner: User) -> None:
    adapter = new(owner, title="Noir", licence="CC-BY-4.0", tags=["film"], card="Rain.\n")
    version = published(owner, adapter, details=Details(trigger_words=("noir", "rain")))
    push(owner, adapter, readme(adapter) + "More.\n")
    adapter.refresh_from_db()
    version.refresh_from_db()
    assert (adapter.licence, adapter.card) == ("CC-BY-4.0", "Rain.\nMore.\n")
    assert (version.family, version.trigger_words) == ("sd1", ["noir", "rain"])
    before = main(adapter)
    cards.update_readme_on_commit(actor=owner, adapter=adapter)
    assert main(adapter) == before


def test_the_repo_of_a_family_is_read_as_that_family(subtests: pytest.Subtests) -> None:
    for family in sorted(base_models.BY_FAMILY):
        with subtests.test(family=family):
            said = fields.read(f"---\nbase_model: {base_models.base_model(family)}\n---\n")
            assert said.family in {None, family}


def test_values_of_yaml_come_back_as_they_were(owner: User) -> None:
    """A text that looks like a number, a truth value or a date stays a text."""
    adapter = new(owner, licence="mit")
    published(owner, adapter)
    odd = {"a": "yes", "b": "1e3", "c": "2024-01-01", "d": True, "e": 7, "f": "x: y", "g": "雨"}
    said = {"base_model": base_models.base_model("sd1"), "license": "mit"}
    push(owner, adapter, f"---\n{yaml.safe_dump(odd | said, allow_unicode=True)}---\n")
    adapter.refresh_from_db()
    cards.edit_adapter(actor=owner, adapter=adapter, licence="other words")
    assert matter(adapter) == odd | said | {"license": "other words"}
