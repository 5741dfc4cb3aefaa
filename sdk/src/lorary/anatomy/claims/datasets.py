"""Facts about training sets: images, repeats, batch sizes and resolutions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from lorary.anatomy.claims.metadata import (
    first_text,
    int_if_whole,
    number,
    parsed_json,
    whole_number,
)

_MOST_SIDE = 65_536
_MOST_DATASETS = 1_000
_MOST_SHOWN = 8
_DIGITS = re.compile(r"[0-9]{1,6}")


def dataset_facts(metadata: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    """Yield facts about the training sets; absent ones are None.

    sd-scripts lists directories with `img_count` and `n_repeats`, and datasets with subsets;
    musubi-tuner lists only datasets. Regularisation images are not counted.
    """
    datasets = entries(parsed_json(metadata, "ss_datasets"))
    subsets = [
        subset
        for dataset in datasets
        for subset in entries(dataset.get("subsets"))
        if subset.get("is_reg") is not True
    ]
    directories = entries(parsed_json(metadata, "ss_dataset_dirs"))
    images = _values(directories, "img_count") or _values(subsets, "img_count")
    yield "images", sum(images) or None
    repeats = _values(directories, "n_repeats") or _values(subsets, "num_repeats")
    repeats = repeats or _values(datasets, "num_repeats")
    yield "repeats", _one_or_list(repeats or _declared_repeats(metadata))
    yield (
        "batch_size",
        _one_or_list(_values(datasets, "batch_size_per_device") or _values(datasets, "batch_size")),
    )
    yield from _augmentation(subsets)
    sizes = Counter(filter(None, (_size(dataset.get("resolution")) for dataset in datasets)))
    size = _size(first_text(metadata, "ss_resolution", most=40))
    if size is None and sizes:
        size = max(sizes, key=sizes.__getitem__)
        if len(sizes) > 1:
            shown = [f"{width}x{height}" for width, height in list(sizes)[:_MOST_SHOWN]]
            yield "resolutions", ", ".join(shown)
    # Last, because musubi-tuner writes a guess here.
    size = size or _size(first_text(metadata, "modelspec.resolution", most=40))
    yield "resolution", None if size is None else list(size)


_FLAGS = {
    "shuffle_caption": "shuffle_caption",
    "flip_augmentation": "flip_aug",
    "color_augmentation": "color_aug",
    "random_crop": "random_crop",
}
_NUMBERS = {
    "keep_tokens": "keep_tokens",
    "caption_dropout": "caption_dropout_rate",
    "caption_tag_dropout": "caption_tag_dropout_rate",
}


def _augmentation(subsets: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, object]]:
    """Yield how captions and images were varied, if a subset says so."""
    for name, key in _FLAGS.items():
        yield name, any(subset.get(key) is True for subset in subsets) or None
    for name, key in _NUMBERS.items():
        values = [found for subset in subsets if (found := number(subset.get(key)))]
        yield name, int_if_whole(values[0]) if values else None


def _declared_repeats(metadata: Mapping[str, str]) -> list[int]:
    found = whole_number(metadata.get("ss_num_repeats"))
    return [] if found is None else [found]


def entries(value: object) -> list[Mapping[str, object]]:
    """Return the objects in a list or in the values of an object; at most a thousand."""
    listed = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(listed, list):
        return []
    return [entry for entry in listed[:_MOST_DATASETS] if isinstance(entry, dict)]


def _values(listed: Sequence[Mapping[str, object]], key: str) -> list[int]:
    return [found for facts in listed if (found := whole_number(facts.get(key))) is not None]


def _one_or_list(values: Sequence[int]) -> object:
    different = list(dict.fromkeys(values))
    if len(different) > 1:
        return ", ".join(map(str, different[:_MOST_SHOWN]))
    return different[0] if different else None


def _size(value: object) -> tuple[int, int] | None:
    """Return `(width, height)` from `(1024, 1024)`, `1024x1024`, `1024` or `[…]`."""
    if isinstance(value, str):
        sides = [int(digits) for digits in _DIGITS.findall(value[:60])][:2]
    else:
        listed = value if isinstance(value, list) else [value]
        sides = [side for part in listed[:2] if (side := whole_number(part)) is not None]
    if not sides or not all(0 < side <= _MOST_SIDE for side in sides):
        return None
    return sides[0], sides[-1]
