"""Trigger words and common tags."""

from __future__ import annotations

import json

import pytest

from lorary.anatomy.triggers import TriggerWord, common_tags, tag_shares, trigger_words


def _words(metadata: dict[str, str]) -> list[tuple[str, str, str]]:
    found = trigger_words(metadata, tag_shares(metadata))
    return [(word.text, word.source, word.confidence) for word in found]


def _tags(frequency: object, images: dict[str, object] | None = None) -> dict[str, str]:
    metadata = {"ss_tag_frequency": json.dumps(frequency)}
    if images is not None:
        metadata["ss_dataset_dirs"] = json.dumps(
            {name: {"n_repeats": 2, "img_count": count} for name, count in images.items()}
        )
    return metadata


@pytest.mark.parametrize(
    "key",
    ["modelspec.trigger_phrase", "trigger_word", "ss_trained_words", "modelspec.trigger_words"],
)
def test_what_the_author_wrote_is_taken_whole(key: str) -> None:
    assert _words({key: "sks style, by nobody"}) == [("sks style, by nobody", key, "high")]


def test_a_json_list_gives_one_word_each_and_repeats_are_dropped() -> None:
    listed = json.dumps(["sks", "SKS", 4, "dog"])
    assert [text for text, _, _ in _words({"ss_trained_words": listed})] == ["sks", "dog"]
    assert [text for text, _, _ in _words({"ss_trained_words": "[not json"})] == ["[not json"]


def test_the_single_tag_of_a_single_directory_is_a_trigger() -> None:
    assert _words(_tags({"1_trigger": {"trgr": 1}}))[0] == ("trgr", "ss_tag_frequency", "high")


def test_class_tokens_are_triggers_and_regularisation_is_not() -> None:
    datasets = [
        {"subsets": [{"class_tokens": "sks dog"}, {"class_tokens": "dog", "is_reg": True}]},
        {"subsets": [{"class_tokens": None}, {"class_tokens": "img"}, 7]},
        {"subsets": None},
        3,
    ]
    assert _words({"ss_datasets": json.dumps(datasets)}) == [("sks dog", "ss_datasets", "high")]


def test_directories_named_with_repeats_hold_the_token() -> None:
    metadata = _tags({"6_trina girl": {"red": 3, "blue": 9}, "10_dataset": {"red": 9, "blue": 3}})
    assert ("trina girl", "ss_tag_frequency", "medium") in _words(metadata)
    assert "dataset" not in {text for text, _, _ in _words(metadata)}


def test_a_tag_on_nearly_every_picture_is_a_candidate_unless_it_is_generic() -> None:
    metadata = _tags({"img": {"pepper": 99, "1girl": 100, " witch hat": "40"}}, {"img": 100})
    assert _words(metadata) == [("pepper", "ss_tag_frequency", "medium")]
    shown = common_tags(tag_shares(metadata), trigger_words(metadata, tag_shares(metadata)))
    assert [(tag.text, tag.share) for tag in shown] == [("1girl", 1.0), ("witch hat", 0.4)]
    assert shown[0].to_dict() == {"text": "1girl", "share": 1.0}


def test_shares_are_weighted_over_all_directories() -> None:
    metadata = _tags({"a": {"cat": 10}, "b": {"dog": 30}}, {"a": 10, "b": 30})
    assert dict(tag_shares(metadata).shares) == {"dog": 0.75, "cat": 0.25}


def test_without_picture_counts_statistics_are_weak() -> None:
    metadata = _tags({"img": {"pepper": 20, "hat": 3}})
    assert _words(metadata) == [("pepper", "ss_tag_frequency", "low")]
    partly = _tags({"a": {"x": 3, "y": 1}, "b": {"x": 3}}, {"a": 3})
    assert not tag_shares(partly).is_counted


def test_only_a_few_statistical_candidates_are_kept() -> None:
    metadata = _tags({"img": {f"trait {number}": 10 for number in range(9)}}, {"img": 10})
    assert len(_words(metadata)) == 3


def test_invisible_characters_and_lengths_are_taken_off() -> None:
    words = _words({"trigger_word": "ab\u202e\u200bcd\n ef" + "x" * 500})
    assert words[0][0].startswith("abcd ef")
    assert len(words[0][0]) <= 200
    many = json.dumps([f"w{number}" for number in range(50)])
    assert len(_words({"trigger_words": many})) == 10


@pytest.mark.parametrize(
    "value", ["", " ", "None", "not json", "[1]", "[[", '{"a": 4}', '{"a": {"": 1}}']
)
def test_broken_statistics_give_nothing(value: str) -> None:
    metadata = {"ss_tag_frequency": value, "ss_datasets": value, "ss_dataset_dirs": value}
    assert _words(metadata) == []


def test_counts_that_are_no_numbers_are_left_out() -> None:
    metadata = _tags({"img": {"a": "many", "b": 0, "c": -1, "d": True, "e": 2}}, {"img": 2})
    assert dict(tag_shares(metadata).shares) == {"e": 1.0}
    assert not tag_shares(_tags({"img": {"a": 2, "b": 1}}, {"img": "none"})).is_counted


def test_a_word_is_plain_json() -> None:
    word = TriggerWord("sks", "trigger_word", "high")
    assert word.to_dict() == {"text": "sks", "source": "trigger_word", "confidence": "high"}


def test_guesses_are_left_out_when_somebody_wrote_the_word_down() -> None:
    metadata = _tags({"img": {"pepper": 10, "hat": 3}}, {"img": 10}) | {"trigger_word": "sks"}
    assert [text for text, _, _ in _words(metadata)] == ["sks"]


def test_directories_count_without_tags_and_not_beside_a_lone_one() -> None:
    metadata = {"ss_dataset_dirs": json.dumps({"10_sks dog": {"img_count": 4}})}
    assert _words(metadata) == [("sks dog", "ss_dataset_dirs", "medium")]
    assert [text for text, _, _ in _words(_tags({"1_noir": {"nrstl": 400}}))] == ["nrstl"]
