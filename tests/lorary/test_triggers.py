"""Trigger words and common tags."""

from __future__ import annotations

import json
import time

import pytest

from lorary.anatomy.claims.tag_statistics import is_generic
from lorary.anatomy.claims.triggers import (
    CommonTag,
    TriggerWord,
    common_tags,
    tag_shares,
    trigger_words,
)


def _words(metadata: dict[str, str]) -> list[tuple[str, str, str]]:
    return [(word.text, word.source, word.confidence) for word in trigger_words(metadata)]


def _texts(metadata: dict[str, str]) -> list[str]:
    return [text for text, _, _ in _words(metadata)]


def _common(metadata: dict[str, str]) -> dict[str, float]:
    tags = tag_shares(metadata)
    found = common_tags(tags, trigger_words(metadata, tags))
    return {tag.text: tag.share for tag in found}


def _tags(frequency: object, images: dict[str, object] | None = None) -> dict[str, str]:
    metadata = {"ss_tag_frequency": json.dumps(frequency)}
    if images is not None:
        metadata["ss_dataset_dirs"] = json.dumps(
            {name: {"n_repeats": 2, "img_count": count} for name, count in images.items()}
        )
    return metadata


@pytest.mark.parametrize(
    "key",
    [
        "modelspec.trigger_phrase", "modelspec.trigger_word", "trigger_word", "trigger_phrase",
        "trigger_words", "ss_trained_words", "modelspec.trigger_words",
    ],
)  # fmt: skip
def test_what_the_author_wrote_is_taken_whole(key: str) -> None:
    assert _words({key: "sks style, by nobody"}) == [("sks style, by nobody", key, "high")]
    assert _words({key: "None"}) == []


def test_a_json_list_gives_one_word_each_and_repeats_are_dropped() -> None:
    listed = json.dumps(["sks", "SKS", 4, "dog"])
    assert _texts({"ss_trained_words": listed}) == ["sks", "dog"]
    assert _texts({"ss_trained_words": "[not json"}) == ["[not json"]


def test_sources_stand_in_the_order_of_trust() -> None:
    counts = {"rex": 10, "sks dog": 3, "a photo of ohwx dog": 2}
    metadata = _tags({"4_sks dog": counts}, {"4_sks dog": 10})
    metadata["ss_datasets"] = json.dumps([{"subsets": [{"class_tokens": "ohwx dog"}]}])
    assert _words(metadata) == [
        ("ohwx dog", "ss_datasets", "medium"),
        ("sks dog", "ss_dataset_dirs", "medium"),
        ("rex", "ss_tag_frequency", "medium"),
    ]
    assert _texts(metadata | {"trigger_word": "told"}) == ["told", "ohwx dog", "sks dog"]


def test_the_single_tag_of_a_single_directory_is_a_trigger() -> None:
    high = ("trgr", "ss_tag_frequency", "high")
    assert _words(_tags({"1_trigger": {"trgr": 1}})) == [high]
    assert _words(_tags({"1_trgr": {"trgr": 9}}) | {"software": '{"name": "ai-toolkit"}'}) == [high]
    assert _words(_tags({"1": {"trgr": 12}})) == [("trgr", "ss_tag_frequency", "medium")]
    assert _words(_tags({"1": {"1girl": 12}})) == []
    assert _texts(_tags({"1_noir": {"nrstl": 400}})) == ["nrstl"]
    assert _words(_tags({"1_a": {"trgr": 1}, "1_b": {"trgr": 1}})) == []


def test_class_tokens_are_triggers_and_regularisation_is_not() -> None:
    datasets = [
        {"subsets": [{"class_tokens": "sks dog"}, {"class_tokens": "cat", "is_reg": True}]},
        {
            "subsets": [
                {"class_tokens": None},
                {"class_tokens": "img"},
                {"class_tokens": "Woman"},
                7,
            ]
        },
        {"subsets": None},
        3,
    ]
    assert _words({"ss_datasets": json.dumps(datasets)}) == [("sks dog", "ss_datasets", "medium")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("6_trina girl", ["trina girl"]),
        ("12_C:\\Users\\me\\set\\10_sks dog", ["sks dog"]),
        ("/home/me/set/10_sks dog/", ["sks dog"]),
        (" 4_sks", ["sks"]),
        ("10_dataset", []),
        ("8_anime", []),
        ("2_1girl", []),
        ("1_", []),
        ("sks dog", []),
        ("x_sks", []),
    ],
)
def test_directories_named_with_repeats_hold_the_token(name: str, words: list[str]) -> None:
    frequency = {name: {"red": 3, "blue": 9}, "other": {"red": 9, "blue": 3}}
    assert _texts(_tags(frequency)) == []  # the captions have it nowhere
    frequency["other"] |= {f"a drawing of {word.title()}": 2 for word in words}
    assert _texts(_tags(frequency)) == words
    listed = {"ss_dataset_dirs": json.dumps({name: {"img_count": 4}})}
    assert _words(listed) == [(word, "ss_dataset_dirs", "medium") for word in words]


@pytest.mark.parametrize("caption", ["sks doghouse", "asks dog", "sks", "sks the dog"])
def test_a_folder_counts_only_by_whole_words_of_the_captions(caption: str) -> None:
    assert _texts(_tags({"4_sks dog": {caption: 3, "red": 5, "blue": 4}}, {"4_sks dog": 12})) == []


def test_a_folder_and_captions_may_write_spaces_otherwise() -> None:
    counted = _tags({"4_sks_dog": {"sks dog": 3, "red": 5, "blue": 4}}, {"4_sks_dog": 12})
    assert _words(counted) == [("sks dog", "ss_dataset_dirs", "medium")]
    kept = _tags({"4_sks_dog": {"sks_dog": 3, "red": 5, "blue": 4}}, {"4_sks_dog": 12})
    assert _texts(kept) == ["sks_dog"]


def test_class_tokens_count_only_where_captions_have_them() -> None:
    datasets = json.dumps([{"subsets": [{"class_tokens": "ohwx, dog"}]}])
    counted = _tags({"set": {"red": 9, "dog": 5}}, {"set": 20}) | {"ss_datasets": datasets}
    assert _texts(counted) == []
    counted |= _tags({"set": {"red": 9, "dog": 5, "ohwx": 2}}, {"set": 20})
    assert _words(counted) == [("ohwx, dog", "ss_datasets", "medium")]


KEEPS = {"ss_keep_tokens": "1"}
KEEPS_INSIDE = {"ss_datasets": '[{"subsets": [{"keep_tokens": 2}]}]'}


@pytest.mark.parametrize("keeps", [KEEPS, KEEPS_INSIDE])
@pytest.mark.parametrize(
    ("folder", "name"),
    [("img", "Pepper__Carrot"), ("img", "pepper-carrot_v2-000010"), ("/x/pepper_carrot", "a")],
)
def test_a_frequent_tag_that_is_a_name_is_a_trigger_where_first_tags_are_kept(
    keeps: dict[str, str], folder: str, name: str
) -> None:
    metadata = _tags({folder: {"1girl": 99, "pepper carrot": 80, "hat": 80}}, {folder: 100})
    named = metadata | {"ss_output_name": name}
    assert _words(named | keeps) == [("pepper carrot", "ss_tag_frequency", "medium")]
    assert _words(named) == []
    assert _words(named | {"ss_keep_tokens": "0"}) == []
    seldom = _tags({folder: {"1girl": 99, "pepper carrot": 40}}, {folder: 100})
    assert _words(named | keeps | seldom) == []


@pytest.mark.parametrize("key", ["ss_training_comment", "modelspec.usage_hint"])
@pytest.mark.parametrize(
    ("comment", "words"),
    [
        ("resized; Identifier: cp-ede Class: anime Learning Rate: 1.0, Batch Size: 1", ["cp-ede"]),
        ("Trigger: sks dog", ["sks dog"]),
        ("trigger word = 'sks dog'. Use 0.8.", ["sks dog"]),
        ("A style.\nTrigger words: sks, ohwx\nBy Ada", ["sks", "ohwx"]),
        ("Instance prompt: a photo of sks dog", ["a photo of sks dog"]),
        ("activation tag: rkgk | strength: 0.8", ["rkgk"]),
        ("**Trigger**: `sks`", ["sks"]),
        ("TriggerWord(s): sks, ohwx,", ["sks", "ohwx"]),
        ("Trigger words: sks, Recommended strength: 0.8", ["sks"]),
        ("no trigger needed", []),
        ("Trigger: none", []),
        ("Trigger words: N/A", []),
        ("Trigger word: not needed.", []),
        ("Trigger: -", []),
        ("No trigger word: describe what you want", []),
        ("Trigger words: see https://example.com/sks", []),
        ("Trigger: nonna", ["nonna"]),
        ("misidentifier: x", []),
        ("Trigger:", []),
        ("Trigger: " + "x" * 5_000, ["x" * 199 + "…"]),
    ],
)
def test_a_comment_that_names_a_trigger_is_believed(
    key: str, comment: str, words: list[str]
) -> None:
    assert _words({key: comment}) == [(word, key, "high") for word in words]


def test_hostile_comments_take_linear_time() -> None:
    began = time.process_time()
    for text in ("Trigger:" * 100_000, "trigger words" + " " * 500_000, "Trigger: A " * 50_000):
        _words({"ss_training_comment": text})
    folders = {f"{n}_a": {"a" * 79 + str(n): 1} for n in range(900)}
    _words(_tags(folders))
    assert time.process_time() - began < 2


def test_a_tag_on_nearly_every_picture_is_a_candidate_unless_it_is_generic() -> None:
    often = {"pepper": 99, "1girl": 100, "silver hair": 100, " witch hat": "40", "cat": 94}
    metadata = _tags({"img": often}, {"img": 100})
    assert _words(metadata) == [("pepper", "ss_tag_frequency", "medium")]
    shown = {"1girl": 1.0, "silver hair": 1.0, "cat": 0.94, "witch hat": 0.4}
    assert _common(metadata) == shown


@pytest.mark.parametrize(
    ("tag", "generic"),
    [
        ("1girl", True), ("Looking at Viewer", True), ("score_9", True), ("long blonde hair", True),
        ("yellow hair ornament", True), ("hair", True), ("pepper", False), ("ohwx man", False),
        ("hairy", False), ("anime style", False), ("trina", False),
    ],
)  # fmt: skip
def test_generic_tags_are_quality_poses_and_what_somebody_wears(tag: str, generic: bool) -> None:
    assert is_generic(tag) == generic


def test_shares_are_weighted_over_all_directories() -> None:
    metadata = _tags({"a": {"cat": 10}, "b": {"dog": 30}}, {"a": 10, "b": "30"})
    tags = tag_shares(metadata)
    assert (dict(tags.shares), tags.is_counted, tags.pictures) == (
        {"dog": 0.75, "cat": 0.25},
        True,
        40,
    )


def test_the_first_directory_alone_makes_no_trigger() -> None:
    frequency = {"a": {"first": 10, "all": 10}, "b": {"all": 30, "most": 29}}
    assert _texts(_tags(frequency, {"a": 10, "b": 30})) == ["all"]


def test_without_picture_counts_statistics_are_weak() -> None:
    metadata = _tags({"img": {"pepper": 20, "hat": 3}})
    assert _words(metadata) == [("pepper", "ss_tag_frequency", "low")]
    partly = tag_shares(_tags({"a": {"x": 3, "y": 1}, "b": {"x": 4}}, {"a": 6}))
    assert (partly.is_counted, partly.pictures, partly.shares["x"]) == (False, 10, 0.7)


def test_of_a_few_pictures_nothing_is_concluded() -> None:
    assert _words(_tags({"img": {"pepper": 3, "hat": 3}}, {"img": 3})) == []


def test_sentences_are_no_tags() -> None:
    sentence = "a photo of ohwx man standing in a wide field of yellow flowers"
    captions = {f"{sentence} number {number}": 1 for number in range(20)}
    metadata = _tags({"img": captions | {"ohwx man": 20}}, {"img": 20})
    assert _words(metadata) == [("ohwx man", "ss_tag_frequency", "low")]
    assert _common(metadata) == {}
    assert tag_shares(metadata).are_sentences


def test_tags_inside_the_datasets_count_where_there_are_no_others() -> None:
    dataset = {"tag_frequency": {"img": {"pepper": 8, "hat": 2}}}
    metadata = {"ss_datasets": json.dumps([dataset])}
    assert _texts(metadata) == ["pepper"]
    assert _texts(metadata | _tags({"img": {"salt": 8, "hat": 2}})) == ["salt"]


def test_pictures_are_counted_by_the_datasets_where_no_directories_are_listed() -> None:
    subsets = [
        {"image_dir": "set", "class_tokens": None, "img_count": 20},
        {"image_dir": "/data/pictures", "metadata_file": "meta.json", "img_count": "30"},
    ]
    metadata = {
        "ss_datasets": json.dumps([{"subsets": subsets}, {"subsets": subsets}]),
        "ss_tag_frequency": json.dumps({"set": {"tree": 10}, "meta.json": {"house": 5}}),
    }
    tags = tag_shares(metadata)
    assert (dict(tags.shares), tags.is_counted) == ({"tree": 0.2, "house": 0.1}, True)


def test_tags_of_regularisation_are_those_of_others() -> None:
    frequency = {"8_ohwx dog": {"ohwx dog": 10, "park": 4}, "1_beagle": {"beagle": 90}}
    metadata = _tags(frequency, {"8_ohwx dog": 10})
    for told in (
        {"ss_reg_dataset_dirs": '{"1_beagle": {"n_repeats": 1, "img_count": 90}}'},
        {"ss_datasets": '[{"subsets": [{"image_dir": "/x/1_beagle", "is_reg": true}]}]'},
    ):
        assert _texts(metadata | told) == ["ohwx dog"]
        assert _common(metadata | told) == {"park": 0.4}
    assert "beagle" in _texts(metadata)


def test_a_phrase_on_every_picture_is_a_trigger() -> None:
    metadata = _tags({"1_img": {"in the style of rkgk": 30, "a tree": 3}}, {"1_img": 30})
    assert _texts(metadata) == ["in the style of rkgk"]


def test_only_a_few_statistical_candidates_are_kept() -> None:
    metadata = _tags({"img": {f"trait {number}": 10 for number in range(9)}}, {"img": 10})
    assert len(_words(metadata)) == 5


def test_the_name_of_the_file_is_no_trigger() -> None:
    names = {"ss_output_name": "noir", "name": "noir", "modelspec.title": "noir"}
    assert _words(names) == []


def test_invisible_characters_and_lengths_are_taken_off() -> None:
    words = _words({"trigger_word": "ab\u202e\u200bcd\n ef" + "x" * 500})
    assert words[0][0].startswith("abcd ef")
    assert len(words[0][0]) <= 200
    many = json.dumps([f"w{number}" for number in range(50)])
    assert len(_words({"trigger_words": many})) == 10


def test_secrets_are_not_repeated() -> None:
    token = "hf_" + "x" * 34
    metadata = _tags({f"1_{token}": {f"me {token}": 9, "b": 1}}, {f"1_{token}": 9})
    metadata["trigger_word"] = f"use {token}"
    assert token not in repr((_words(metadata), _common(metadata)))


@pytest.mark.parametrize(
    "value",
    ["", " ", "None", "not json", "[1]", "[[", '{"a": 4}', '{"a": {"": 1}}', '{"a": {"b": "x"}}'],
)
def test_broken_statistics_give_nothing(value: str) -> None:
    metadata = {"ss_tag_frequency": value, "ss_datasets": value, "ss_dataset_dirs": value}
    assert _words(metadata) == []


def test_counts_that_are_no_numbers_are_left_out() -> None:
    counts = {"a": "many", "b": 0, "c": -1, "d": True, "e": 2, "f": 1e300}
    assert dict(tag_shares(_tags({"img": counts}, {"img": 2})).shares) == {"e": 1.0}
    assert not tag_shares(_tags({"img": {"a": 2, "b": 1}}, {"img": "none"})).is_counted


def test_large_values_take_linear_time() -> None:
    many = {f"img {place}": {f"tag {place} {n}": 1 for n in range(30)} for place in range(1_500)}
    metadata = _tags(many, dict.fromkeys(many, 5)) | {"trigger_words": "[" * 1_000_000}
    began = time.perf_counter()
    assert len(_words(metadata)) == 1
    assert time.perf_counter() - began < 2


def test_words_and_tags_are_plain_json() -> None:
    assert CommonTag("hat", 0.5).to_dict() == {"text": "hat", "share": 0.5}
    word = TriggerWord("sks", "trigger_word", "high")
    assert word.to_dict() == {"text": "sks", "source": "trigger_word", "confidence": "high"}
