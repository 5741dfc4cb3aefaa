"""The state of the mixer, without a database: its URL, its buttons, and what is rendered."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from hub.pages.pictures.mix import BUDGET, Mix, MixInvalid, parse, within_budget, written

THREE = {
    "layer": ["a/a@v1", "b/b@v1", "c/c@v1"],
    "strength": ["0.4", "-0,3", "0.2"],
    "mute": ["c/c@v1"],
    "prompt": ["a red boat"],
}


def changed(**do: str) -> list[str]:
    return parse(THREE).changed_by({name: [value] for name, value in do.items()}).names


def test_the_url_has_the_whole_state() -> None:
    sent = {
        **THREE, "mode": ["ab"], "b": ["", "1", "0"], "mute_b": ["a/a@v1"], "seed": ["5"],
        "template": ["noir, {prompt}"], "q": ["ink"], "nonsense": ["x"],
    }  # fmt: skip
    mix = parse(sent)
    assert parse(parse_qs(mix.query, keep_blank_values=True)) == mix
    assert "nonsense" not in mix.query
    grid = parse({**THREE, "mode": ["xy"], "x": ["b/b@v1"], "y": ["-"], "xs": ["0 1"]})
    assert parse(parse_qs(grid.query, keep_blank_values=True)) == grid
    assert "mode" not in parse({"mode": ["abc"]}).query


def test_an_address_is_without_texts_that_are_too_long_for_one() -> None:
    mix = parse({**THREE, "prompt": ["猫" * 300], "negative": ["blur"], "seed": ["5"]})
    assert mix.is_long
    assert len(mix.address) < 200
    assert parse(parse_qs(mix.address)).fields["seed"] == "5"
    assert parse(parse_qs(mix.query, keep_blank_values=True)) == mix
    assert not parse(THREE).is_long
    assert parse(THREE).address == parse(THREE).query


def test_hostile_states_are_cut_short() -> None:
    mix = parse({"layer": ["x" * 5000, "\0", "", *map(str, range(99))], "strength": ["1"] * 999})
    assert len(mix.rows) < 6
    assert max(map(len, mix.names)) == 200
    assert parse({}) == parse({"layer": [], "q": []})
    assert len(parse({"layer": ["a/a"] * 3}).rows) == 1


@pytest.mark.parametrize(
    ("do", "after"),
    [
        ({"drop": "0"}, "bc"),
        ({"up": "1"}, "bac"),
        ({"up": "0"}, "abc"),
        ({"down": "0"}, "bac"),
        ({"down": "2"}, "abc"),
        ({"drop": "7"}, "abc"),
        ({"drop": "x"}, "abc"),
        ({"drop": "0", "up": "2", "down": "2"}, "bc"),
        ({"drop": "1" * 5000}, "abc"),
        ({"add": "d/d@v1"}, "abcd"),
        ({"add": "a/a@v1"}, "abc"),
    ],
)
def test_buttons_change_the_rows(do: dict[str, str], after: str) -> None:
    assert "".join(name[0] for name in changed(**do)) == after


def test_a_stack_starts_within_the_strength_budget() -> None:
    assert within_budget([1.5]) == [1.5]
    assert within_budget([0.5, 0.6]) == [0.5, 0.6]
    assert within_budget([1, 1, 1]) == [0.4, 0.4, 0.4]
    assert within_budget([0.9, -0.9]) == [0.6, -0.6]
    assert sum(within_budget([0.7, 0.8, 1.1, 2])) <= BUDGET


def test_default_strengths_follow_the_stack_and_chosen_ones_stay() -> None:
    dials = {"a/a@v1": 1.0, "b/b@v1": 1.0, "c/c@v1": 1.0}
    one = parse({"layer": ["a/a@v1"]}).balanced(dials)
    assert [row.strength for row in one.rows] == ["1"]
    two = one.changed_by({"add": ["b/b@v1"]}).balanced(dials, one.names)
    assert [row.strength for row in two.rows] == ["0.6", "0.6"]
    chosen = parse({"layer": two.names, "strength": ["0.6", "0.9"]})
    three = chosen.changed_by({"add": ["c/c@v1"]}).balanced(dials, two.names)
    assert [row.strength for row in three.rows] == ["0.4", "0.9", "0.4"]
    back = two.changed_by({"drop": ["1"]}).balanced(dials, two.names)
    assert [row.strength for row in back.rows] == ["1"]


def test_a_mix_is_one_stack_without_what_is_muted() -> None:
    assert parse(THREE).stacks() == [[("a/a@v1", 0.4), ("b/b@v1", -0.3)]]
    assert parse(THREE).without_muted().names == ["a/a@v1", "b/b@v1"]


def test_two_mixes_are_two_stacks() -> None:
    sent = {**THREE, "mode": ["ab"], "b": ["0.1", "", "0.7"], "mute_b": ["a/a@v1"]}
    assert parse(sent).stacks()[1] == [("b/b@v1", -0.3), ("c/c@v1", 0.7)]
    assert len(parse(sent).without_muted().rows) == 3
    with pytest.raises(MixInvalid, match="same"):
        parse({**THREE, "mode": ["ab"], "mute_b": ["c/c@v1"]}).stacks()
    with pytest.raises(MixInvalid, match="empty"):
        parse({**THREE, "mode": ["ab"], "mute_b": THREE["layer"]}).stacks()


def test_a_grid_has_a_stack_for_each_cell() -> None:
    cells = parse({**THREE, "mode": ["xy"], "xs": ["0.1; 0.5"], "ys": ["0 1, 2"]}).stacks()
    assert len(cells) == 6
    assert cells[0] == [("a/a@v1", 0.1), ("b/b@v1", 0.0)]
    assert cells[-1] == [("a/a@v1", 0.5), ("b/b@v1", 2.0)]
    muted = parse({**THREE, "mode": ["xy"], "x": ["c/c@v1"], "y": ["-"]})
    assert muted.axes == ("c/c@v1",)
    assert [dict(cell)["c/c@v1"] for cell in muted.stacks()] == [0.1, 0.2, 0.3]
    assert muted.without_muted().names == THREE["layer"]
    assert parse({"layer": ["a"], "strength": ["0"], "mode": ["xy"]}).axis(0) == [0, 0.5, 1]
    assert parse({"layer": ["a"], "strength": ["2"], "mode": ["xy"]}).axis(0) == [1, 2]
    assert parse({**THREE, "x": ["b/b@v1"], "y": ["b/b@v1"]}).axes == ("b/b@v1", "a/a@v1")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"strength": ["loud", "1"]}, "strength"),
        ({"strength": ["nan", "1"]}, "strength"),
        ({"mute": THREE["layer"]}, "empty"),
        ({"mode": ["xy"], "xs": ["0 0"]}, "axis"),
        ({"mode": ["xy"], "xs": ["0 1 2 3"]}, "axis"),
        ({"mode": ["xy"], "ys": ["x"]}, "axis"),
        ({"mode": ["xy"], "layer": []}, "empty"),
        ({"layer": []}, "empty"),
    ],
)
def test_what_cannot_be_rendered_is_refused(said: dict[str, list[str]], code: str) -> None:
    with pytest.raises(MixInvalid, match=f"^{code}$"):
        parse({**THREE, **said}).stacks()


def test_strengths_are_written_as_they_are_typed() -> None:
    assert [written(one) for one in (1.0, 0.8125, -0.5, -0.00001, 10)] == [
        "1",
        "0.8125",
        "-0.5",
        "0",
        "10",
    ]
    assert Mix().query == ""
