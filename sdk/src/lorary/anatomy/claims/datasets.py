"""What the lists of training sets tell: pictures, repeats, batches and sizes."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from lorary.anatomy.claims.metadata import count, number, parsed, present, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["dataset_facts", "entries"]

_MOST_SIDE = 65_536
_MOST_DATASETS = 1_000
_MOST_SHOWN = 8
_DIGITS = re.compile(r"[0-9]{1,6}")


def dataset_facts(metadata: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    """Facts of the training sets; absent ones are None.

    sd-scripts lists directories with `img_count` and `n_repeats`, and datasets with their subsets;
    musubi-tuner lists datasets only. Pictures used for regularisation are not counted.
    """
    datasets = entries(parsed(metadata, "ss_datasets"))
    subsets = [
        subset
        for dataset in datasets
        for subset in entries(dataset.get("subsets"))
        if subset.get("is_reg") is not True
    ]
    directories = entries(parsed(metadata, "ss_dataset_dirs"))
    images = _counted(directories, "img_count") or _counted(subsets, "img_count")
    yield "images", sum(images) or None
    repeats = _counted(directories, "n_repeats") or _counted(subsets, "num_repeats")
    yield "repeats", _several(repeats or _counted(datasets, "num_repeats") or _given(metadata))
    yield (
        "batch_size",
        _several(_counted(datasets, "batch_size_per_device") or _counted(datasets, "batch_size")),
    )
    yield from _handling(subsets)
    sizes = Counter(size for dataset in datasets if (size := _size(dataset.get("resolution"))))
    told = _size(present(metadata, "ss_resolution", most=40))
    if told is None and sizes:
        told = max(sizes, key=lambda size: sizes[size])
        if len(sizes) > 1:
            shown = [f"{width}x{height}" for width, height in list(sizes)[:_MOST_SHOWN]]
            yield "resolutions", ", ".join(shown)
    # musubi-tuner fills this in with a guess, so it comes last.
    told = told or _size(present(metadata, "modelspec.resolution", most=40))
    yield "resolution", None if told is None else list(told)


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


def _handling(subsets: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, object]]:
    """How captions and pictures were varied, where any subset says so."""
    for name, key in _FLAGS.items():
        yield name, any(subset.get(key) is True for subset in subsets) or None
    for name, key in _NUMBERS.items():
        values = [found for subset in subsets if (found := number(subset.get(key)))]
        yield name, whole(values[0]) if values else None


def _given(metadata: Mapping[str, str]) -> list[int]:
    found = count(metadata.get("ss_num_repeats"))
    return [] if found is None else [found]


def entries(value: object) -> list[Mapping[str, object]]:
    """The objects in a list, or the values of an object that are objects; at most a thousand."""
    listed = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(listed, list):
        return []
    return [entry for entry in listed[:_MOST_DATASETS] if isinstance(entry, dict)]


def _counted(listed: Sequence[Mapping[str, object]], key: str) -> list[int]:
    return [found for facts in listed if (found := count(facts.get(key))) is not None]


def _several(values: Sequence[int]) -> object:
    unlike = list(dict.fromkeys(values))
    if len(unlike) > 1:
        return ", ".join(map(str, unlike[:_MOST_SHOWN]))
    return unlike[0] if unlike else None


def _size(value: object) -> tuple[int, int] | None:
    """`(width, height)`, from any of the spellings `(1024, 1024)`, `1024x1024`, `1024`, `[…]`."""
    if isinstance(value, str):
        sides = [int(digits) for digits in _DIGITS.findall(value[:60])][:2]
    else:
        listed = value if isinstance(value, list) else [value]
        sides = [side for part in listed[:2] if (side := count(part)) is not None]
    if not sides or not all(0 < side <= _MOST_SIDE for side in sides):
        return None
    return sides[0], sides[-1]
