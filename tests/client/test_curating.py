"""Aliases, yanks and withdrawals: the client and its commands."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from lorary.client import Details, Reference, errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lorary.client import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NAME = "studio/noir"


@pytest.fixture(autouse=True)
def two(fake: FakeHub) -> None:
    fake.publish(NAME, {"a.safetensors": b"1"})
    fake.publish(NAME, {"a.safetensors": b"2"})


def test_an_alias_of_a_newer_card_is_listed_at_the_version_with_its_weights(
    run: Run, fake: FakeHub
) -> None:
    """A commit of README.md alone is a revision, but not a version; `main` points at it."""
    fake.aliases[NAME, "stable"] = ["v1"]
    main = {
        "name": "main", "version": "v2", "state": "published", "revision": "a" * 40,
        "moved_at": None, "moved_by": None,
    }  # fmt: skip
    stable = {**main, "name": "stable", "version": "v1"}
    stable["revision"] = fake.versions[NAME][0]["revision"]
    body = json.dumps({"results": [main, stable], "next": None}).encode()
    fake.answers += [("/aliases", 200, {"Content-Type": "application/json"}, body)] * 2
    done = run("versions", NAME)
    one, two = done.out.splitlines()[1:]
    assert (one.split()[5], two.split()[5]) == ("stable", "main")
    assert done.err == (
        "lorary: main points to revision aaaaaaaaaaaa, which has the weights of v2, but other "
        "files differ\n"
    )
    rows = run("versions", NAME, "--json").documents
    assert {row["version"]: row["aliases"] for row in rows} == {"v1": ["stable"], "v2": ["main"]}


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def test_an_alias_is_moved_from_where_it_was_seen(hub: Hub) -> None:
    made = hub.set_alias(NAME, "stable", "v1", expected=None)
    assert (made.name, made.version, made.state, made.moved_by) == (
        "stable", "v1", "published", "ada",
    )  # fmt: skip
    with pytest.raises(errors.Conflict) as refusal:
        hub.set_alias(NAME, "stable", "v2", expected="v2")
    assert refusal.value.facts["current"] == "v1"
    assert hub.set_alias(NAME, "stable", "v2", expected="v1").version == "v2"
    assert hub.set_alias(NAME, "stable", "v1").version == "v1"
    assert [one.name for one in hub.aliases(NAME)] == ["stable"]
    hub.remove_alias(NAME, "stable")
    assert hub.aliases(NAME) == ()
    moves = hub.alias_history(NAME, "stable")
    assert [(move.before, move.after) for move in moves] == [
        ("v1", ""), ("v2", "v1"), ("v1", "v2"), ("", "v1"),
    ]  # fmt: skip


def test_a_name_is_quoted_in_the_address(hub: Hub, fake: FakeHub) -> None:
    hub.set_alias(NAME, "a/../b?c", "v1")
    assert fake.seen[-1].path.endswith(f"/{NAME}/aliases/a%2F..%2Fb%3Fc")


def test_a_version_is_yanked_restored_and_withdrawn(hub: Hub) -> None:
    assert hub.yank(f"{NAME}@v1", "too strong").reason == "too strong"
    for reason in ("", "   "):
        with pytest.raises(errors.Invalid, match="Enter a reason"):
            hub.yank(f"{NAME}@v1", reason)
        with pytest.raises(errors.Invalid, match="Enter a reason"):
            hub.yank_pack("studio/dusk@v1", reason)
    assert hub.version(f"{NAME}@v1").state == "yanked"
    assert hub.restore(f"{NAME}@v1").state == "published"
    assert hub.withdraw(f"{NAME}@v1", "copied").state == "withdrawn"
    with pytest.raises(errors.Gone, match="was withdrawn: copied"):
        hub.pull(f"{NAME}@v1")
    assert hub.withdraw_adapter(NAME, "copied").full_name == NAME


def test_the_alias_command_shows_moves_and_removes(run: Run) -> None:
    assert run("alias", NAME).err == "lorary: no aliases\n"
    absent = run("alias", NAME, "stable", "--json")
    assert (absent.code, absent.document["error"]["code"]) == (3, "not_found")
    assert "has no alias “stable”" in absent.err
    moved = run("alias", NAME, "stable", "v1", "--expect", "none", "--json")
    assert moved.code == 0
    assert moved.document["alias"] == "stable"
    assert list(moved.document)[:3] == ["adapter", "alias", "version"]
    late = run("alias", NAME, "stable", "v2", "--expect", "v2", "--json")
    assert (late.code, late.document["error"]["code"]) == (1, "conflict")
    assert run("alias", NAME, "stable", "v2", "--expect", "v1").code == 0
    assert "stable  v2" in run("alias", NAME, "stable").out
    listed = run("versions", NAME).out.splitlines()
    assert [line.split()[5] for line in listed] == ["ALIASES", "-", "stable"]
    assert run("alias", NAME, "stable", "--remove", "--json").document == {
        "adapter": NAME, "alias": "stable", "removed": True,
    }  # fmt: skip
    told = run("alias", NAME, "stable", "--history", "--json").documents
    assert [(move["before"], move["after"]) for move in told] == [
        ("v2", None), ("v1", "v2"), (None, "v1"),
    ]  # fmt: skip
    assert "FROM" in run("alias", NAME, "stable", "--history").out
    assert run("alias", NAME, "never", "--remove").code == 3


@pytest.mark.parametrize(
    "words",
    [
        ["alias"], ["alias", "noir"], ["alias", f"{NAME}@v1", "stable"],
        ["alias", NAME, "--remove"], ["alias", NAME, "--history"],
        ["alias", NAME, "a", "v1", "--remove"], ["alias", NAME, "a", "--expect", "v1"],
        ["alias", NAME, "a", "--remove", "--expect", "none"],
        ["alias", NAME, "a", "--remove", "--history"], ["yank", NAME, "--reason", "x"],
        ["yank", f"{NAME}@v1"], ["yank", f"{NAME}@v1", "--reason", " "],
        ["yank", f"{NAME}@v1", "--reason", "x", "--undo"], ["withdraw", f"{NAME}@v1"],
        ["withdraw", NAME, "--reason", "x", "--yes"],
        ["withdraw", f"{NAME}@v1", "--all", "--reason", "x", "--yes"],
        ["withdraw", f"{NAME}@v1", "--reason", "x"],
    ],
)  # fmt: skip
def test_words_that_do_not_go_together_exit_with_2(
    run: Run, fake: FakeHub, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    ran = run(*words, "--json")
    assert (ran.code, ran.document["error"]["code"] in {"usage", "reference_invalid"}) == (2, True)
    assert fake.seen == []


def test_the_yank_command(run: Run) -> None:
    told = run("yank", f"{NAME}@v2", "--reason", "too strong", "--json").document
    assert told == {
        "adapter": NAME, "version": "v2", "state": "yanked", "reason": "too strong",
    }  # fmt: skip
    assert "too strong" in run("versions", NAME).out
    assert "was restored" in run("yank", f"{NAME}@v2", "--undo").out
    assert "v2 is not yanked" in run("yank", f"{NAME}@v2", "--undo").out
    assert run("yank", f"{NAME}@v9", "--undo").code == 3


def test_commands_that_take_a_version_down_need_its_number(run: Run) -> None:
    for words in (["yank"], ["withdraw", "--yes"]):
        ran = run(words[0], f"{NAME}@latest", *words[1:], "--reason", "copied", "--json")
        assert (ran.code, ran.document["error"]["code"]) == (1, "validation_failed")
        assert "Use v2 here." in ran.err


def test_the_withdraw_command_asks_before_it_acts(
    run: Run, fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("withdraw", f"{NAME}@v1", "--reason", "copied")
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    ran = run(*words)
    assert (ran.code, "nothing was changed" in ran.err, fake.seen) == (1, True, [])
    monkeypatch.setattr("sys.stdin", Terminal(f"{NAME}@v1\n"))
    assert run(*words, "--json").document == {
        "adapter": NAME, "version": "v1", "state": "withdrawn", "reason": "copied",
    }  # fmt: skip
    told = run("pull", f"{NAME}@v1", "--json")
    assert (told.code, told.document["error"]["code"]) == (3, "gone")
    assert "was withdrawn: copied" in told.err
    everything = run("withdraw", NAME, "--all", "--reason", "copied", "--yes", "--json")
    assert (everything.code, everything.document["version"]) == (0, None)


def test_a_hub_s_own_words_about_what_is_gone_are_told(run: Run, fake: FakeHub) -> None:
    body = b'{"status": 410, "code": "gone", "detail": "v2 was withdrawn: Rights."}'
    fake.answers.append(("/versions/v2", 410, {"Content-Type": "application/json"}, body))
    ran = run("info", f"{NAME}@v2")
    assert (ran.code, ran.err) == (3, "lorary: v2 was withdrawn: Rights.\n")


def test_fields_of_an_adapter_are_edited_and_others_stay(
    hub: Hub, run: Run, fake: FakeHub, tmp_path: Path
) -> None:
    edited = hub.edit(NAME, title="Noir", tags=("film",), rating="mature")
    assert (edited.title, edited.tags, edited.maturity) == ("Noir", ("film",), "mature")
    readme = tmp_path / "README.md"
    readme.write_text("---\nlicense: mit\n---\n\n# Noir\nHard light.\n")
    ran = run("edit", NAME, "--card", readme, "--summary", "Light.", "--tag", "a", "--tag", "b")
    assert (ran.code, ran.out) == (0, f"{fake.url}/{NAME}\n")
    assert "front matter" in ran.err
    sent = json.loads(fake.seen[-1].body)
    assert sent == {"card": "# Noir\nHard light.\n", "summary": "Light.", "tags": ["a", "b"]}
    document = run("edit", NAME, "--tag", "", "--licence", "mit", "--json").document
    assert (document["adapter"], document["tags"], document["licence"]) == (NAME, [], "mit")
    assert (document["title"], document["summary"]) == ("Noir", "Light.")
    run("edit", NAME, "--rename", "dusk")
    assert json.loads(fake.seen[-1].body) == {"name": "dusk"}
    hub.edit(NAME, tags="film")
    assert json.loads(fake.seen[-1].body) == {"tags": ["film"]}
    hub.edit(NAME, tags="")
    assert json.loads(fake.seen[-1].body) == {"tags": []}


def test_a_text_is_one_tag_and_one_word(hub: Hub, fake: FakeHub, lora: Path) -> None:
    details = Details(tags="film", trigger_words="noir style", optional_trigger_words="rain")
    assert details.faults() == {}
    hub.push(lora, "ada/grey", details=details)
    sent = [
        json.loads(one.body) for one in fake.seen if one.path.endswith(("adapters", "versions"))
    ]
    both = {key: value for one in sent for key, value in one.items()}
    assert both["tags"] == ["film"]
    assert (both["trigger_words"], both["optional_trigger_words"]) == (["noir style"], ["rain"])
    fake.answers = [("tokens$", 201, {}, b'{"id":3,"name":"ci","scopes":["read"],"token":"x"}')]
    hub.create_token("ci", "read")
    assert json.loads(fake.seen[-1].body)["scopes"] == ["read"]


def test_what_is_for_all_versions_takes_none(hub: Hub, fake: FakeHub, lora: Path) -> None:
    fake.seen.clear()
    one = f"{NAME}@v1"
    for call in (
        lambda: hub.edit(one, title="x"),
        lambda: hub.edit(Reference("ada", "noir", "v1"), title="x"),
        lambda: hub.withdraw_adapter(one, "copied"),
        lambda: hub.set_alias(one, "stable", "v1"),
        lambda: hub.set_alias(f"pack:{one}", "stable", "v1"),
        lambda: hub.push(lora, one),
        lambda: hub.create_pack(one),
        lambda: hub.edit_pack(one, title="x"),
        lambda: hub.withdraw_pack(one, "copied"),
    ):
        with pytest.raises(errors.ReferenceInvalid, match="is a version"):
            call()
    with pytest.raises(errors.ReferenceInvalid, match=r"Hub\.edit_pack"):
        hub.edit("pack:ada/dusk", title="x")
    assert fake.seen == []


@pytest.mark.parametrize("words", [("edit", NAME), ("pack", "edit", "ada/dusk")])
def test_a_card_is_utf_8_without_its_byte_order_mark(
    run: Run, fake: FakeHub, tmp_path: Path, words: tuple[str, ...]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("---\ntags: [a]\n---\n# Café\n", "utf-8-sig")
    assert "front matter" in run(*words, "--card", readme).err
    assert json.loads(fake.seen[-1].body) == {"card": "# Café\n"}
    fake.seen.clear()
    readme.write_text("# Café\n", "latin-1")
    refused = run(*words, "--card", readme, "--json")
    assert (refused.code, refused.document["error"]["code"]) == (1, "file_unreadable")
    assert "is not UTF-8" in refused.err
    assert fake.seen == []


def test_details_of_a_version_are_edited_and_others_stay(hub: Hub, run: Run, fake: FakeHub) -> None:
    one = f"{NAME}@v1"
    edited = hub.edit_version(one, trigger_words="film noir", family="sdxl", notes="New.")
    assert (edited.trigger_words, edited.family) == (("film noir",), "sdxl")
    assert json.loads(fake.seen[-1].body) == {
        "trigger_words": ["film noir"], "family": "sdxl", "notes": "New."}  # fmt: skip
    words = ("--trigger", "a", "--trigger", "b, c", "--optional-trigger", "", "--strength", "0.7")
    document = run("edit", one, *words, "--family", "Stable Diffusion 1.x", "--json").document
    assert (document["version"], document["trigger_words"]) == ("v1", ["a", "b, c"])
    assert json.loads(fake.seen[-1].body) == {
        "trigger_words": ["a", "b, c"], "optional_trigger_words": [], "strength": 0.7,
        "family": "sd1"}  # fmt: skip
    ran = run("edit", one, "--label", "final")
    assert (ran.code, ran.out) == (0, f"{edited.url}\n")
    with pytest.raises(errors.ReferenceInvalid, match=f"such as {NAME}@v1"):
        hub.edit_version(NAME, label="x")
    with pytest.raises(errors.Invalid, match="Enter a strength from -10 to 10"):
        hub.edit_version(one, strength=float("nan"))
    refused = b'{"code":"validation_failed","detail":"No.","fields":{"family":["Unknown."]}}'
    for family, said in (("sdlx", "Did you mean sdxl"), ("sdxl", "No.")):
        fake.answers = [("versions/v1", 400, {}, refused)]
        with pytest.raises(errors.Invalid, match=said):
            hub.edit_version(one, family=family)


def test_an_edit_without_a_field_or_of_another_object_is_wrong_usage(
    run: Run, fake: FakeHub
) -> None:
    fake.seen.clear()
    for words in (
        [NAME], [f"{NAME}@v1"], [f"{NAME}@v1", "--title", "x"], [NAME, "--trigger", "x"],
        [NAME, "--rating", "odd"], ["pack:a/b", "--title", "x"],
    ):  # fmt: skip
        assert run("edit", *words).code == 2, words
    assert "change: --title, --summary" in run("edit", NAME).err
    assert "change: --trigger, --optional-trigger" in run("edit", f"{NAME}@v1").err
    assert run("edit", NAME, "--card", "none.md").code == 3
    assert fake.seen == []


def test_a_rating_that_does_not_exist_is_called_rating(hub: Hub, lora: Path) -> None:
    details = Details(rating="odd")
    for call in (
        lambda: hub.edit(NAME, rating="odd"),
        lambda: hub.push(lora, NAME, details=details),
    ):
        with pytest.raises(errors.Invalid, match="Choose one: general") as caught:
            call()
        fields = caught.value.facts["fields"]
        assert isinstance(fields, dict)
        assert [*fields] == ["rating"]
    with pytest.raises(errors.Invalid, match="Choose one: general") as caught:
        hub.search("noir", max_rating="odd")
    assert caught.value.facts["fields"].keys() == {"max_rating"}  # type: ignore[attr-defined]


def test_a_draft_is_discarded(run: Run, fake: FakeHub) -> None:
    fake.versions[NAME][1]["state"] = "draft"
    done = run("discard", f"{NAME}@v2", "--json")
    assert done.documents == [{"adapter": NAME, "version": "v2", "discarded": True}]
    assert [one["version"] for one in fake.versions[NAME]] == ["v1"]
    refused = run("discard", f"{NAME}@v1")
    assert (refused.code, "v1 is published." in refused.err) == (1, True)
    assert "OWNER/NAME@v3" in run("discard", NAME).err


def test_main_of_a_yanked_version_is_explained(run: Run, fake: FakeHub) -> None:
    fake.aliases[NAME, "main"] = ["v2"]
    run("yank", f"{NAME}@v2", "--reason", "Too dark.")
    sentence = "v2 was yanked: @main stands for the latest version"
    shown = run("alias", NAME)
    assert "v2 (yanked)" in shown.out
    assert sentence in shown.err
    assert sentence in run("versions", NAME).err
