"""Hostile and broken files: an error that says why, at little cost, and never another exception."""

from __future__ import annotations

import io
import json
import struct
import time
import tracemalloc
import zlib
from contextlib import suppress
from random import Random

import pytest

from lorary.pictures import metadata, mp4, webm
from lorary.pictures.exif import texts_of
from lorary.pictures.metadata import Unreadable, read, read_bytes
from tests.pictures import containers
from tests.pictures.workflows import a1111, comfy_both
from tests.previews.sample_files import files

BOMB = zlib.compress(b"A" * (64 * 1024 * 1024), 9)
DEEP = "[" * 200_000
GRAPH = comfy_both(Random("hostile")).texts
PNG = containers.png(GRAPH)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (files.png(files.chunk(b"zTXt", b"prompt\0\0" + BOMB)), "metadata is too large"),
        (files.png(files.chunk(b"iTXt", b"prompt\0\1\0\0\0" + BOMB)), "metadata is too large"),
        (files.png(files.chunk(b"zTXt", b"prompt\0\0no zlib")), "damaged"),
        (PNG[: len(PNG) // 2], "incomplete"),
        (PNG.replace(b"prompt", b"promqt"), "damaged"),
        (containers.jpeg(GRAPH)[:100], "incomplete"),
        (containers.webp(GRAPH)[:-20], "incomplete"),
        (containers.mp4(GRAPH)[:-20], "incomplete"),
        (b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\1free" + b"\0" * 8, "damaged"),
        (containers.mp4(GRAPH) + b"garbage!", None),
        (b"\0\0\0\x08ftyp" * (mp4.MAX_BOXES + 1), "too many parts"),
        (b'{"nodes": [', "JSON is damaged"),
        (DEEP.encode(), "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"GIF89a\x01\0\x01\0", "GIF"),
        (b"PK\x03\x04" + b"\0" * 100, "ZIP archive"),
        (b"\x80\x81\x82 no text", "neither a picture nor a text"),
        (b"a\0b\0c", "neither a picture nor a text"),
        (b"<!doctype html><html>", "HTML page"),
        (b'\x40\0\0\0\0\0\0\0{"__metadata__":{}}', "safetensors"),
    ],
)
def test_the_reason_is_given(data: bytes, reason: str | None) -> None:
    if reason is None:
        assert read_bytes(data)
        return
    with pytest.raises(Unreadable, match=reason):
        read_bytes(data)


def test_files_that_are_too_large_are_not_read() -> None:
    class Endless(io.BytesIO):
        def seek(self, place: int, whence: int = 0) -> int:
            return 10**12 if whence == 2 else super().seek(place, whence)

        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert 0 <= size <= 1024
            return super().read(size)

    for start in (PNG[:1024], b"{" + b" " * 2000, b"a prompt"):
        with pytest.raises(Unreadable, match="MiB"):
            read(Endless(start))


@pytest.mark.parametrize("text", ["BMW at night", "MZ <script>", "#!x", "Rar!"])
def test_texts_that_begin_like_other_files_are_read(text: str) -> None:
    assert [one.name for one in read_bytes(f"{text} <lora:noir:1>".encode())] == ["noir"]


def test_workflows_may_contain_markup() -> None:
    graph = {"1": {"class_type": "LoraLoader", "inputs": {"lora_name": "<html>.pt"}}}
    assert [one.name for one in read_bytes(json.dumps(graph).encode())] == ["<html>.pt"]


@pytest.mark.parametrize(
    "data", [b"", b" ", b"{}", b"[]", b"null", b'"x"', b"1e999", b"\xef\xbb\xbf{}"]
)
def test_files_that_say_nothing_name_nothing(data: bytes) -> None:
    assert read_bytes(data) == []


@pytest.mark.parametrize(
    "document",
    [
        {"nodes": [None, {"inputs": 5, "widgets_values": 3}], "links": [[], None, {}]},
        {"nodes": {"1": {"inputs": {"lora": {"value": {"type": "lora"}}}}}},
        {"1": {"class_type": [], "inputs": {"lora_name": ["1", 0], "seed": 1}}},
        {"1": {"class_type": "LoraLoader", "inputs": {"lora_name": {"lora": 5, "on": []}}}},
        {"sui_image_params": {"loras": [1, None, {}], "loraweights": {"a": 1}}, "sui_models": 5},
        {"base_model": 1, "loras": [[], [1, 2], ["a", [], {}]]},
        {"resources": [1, {"type": [], "name": {}, "hash": 5}], "hashes": {"lora:": "x"}},
        {"prompt": [1, 2, {"3": {}}], "workflow": "{", "extra_data": {"extra_data": {}}},
        {"definitions": {"subgraphs": [{"id": "a", "nodes": [{"id": 1, "type": "a"}]}]},
         "nodes": [{"id": 1, "type": "a"}], "links": []},
    ],
)  # fmt: skip
def test_documents_of_another_shape_name_little(document: object) -> None:
    found = read_bytes(json.dumps(document).encode())
    assert len(found) <= 3
    for one in found:
        one.hashes_by_kind()
        one.strength_or_none()


def test_a_subgraph_that_contains_itself_ends() -> None:
    nodes = [{"id": number, "type": "a"} for number in range(30)]
    graph = {"nodes": nodes, "links": [],
             "definitions": {"subgraphs": [{"id": "a", "nodes": nodes, "links": []}]}}  # fmt: skip
    assert read_bytes(json.dumps(graph).encode()) == []


SAME = [{"id": 1, "type": "a"}] * 20
INPUTS = range(20_000)


@pytest.mark.parametrize(
    "document",
    [
        {"nodes": SAME, "definitions": {"subgraphs": [{"id": "a", "nodes": SAME}]}},
        {"nodes": [{"id": number, "type": "a"} for number in range(3000)],
         "definitions": {"subgraphs": [{"id": "a", "links": [[1, 2, 3, 4]] * 90_000}]}},
        {"1": {"class_type": "LoraLoader",
               "inputs": {f"x{number:05}_lora_name_1": "a.pt" for number in INPUTS}}},
        {"z": {"class_type": "LoraLoader", "inputs": {f"lora{n}": ["1", 0] for n in INPUTS}},
         **{str(n): {"class_type": "X", "inputs": {"a": [str(n + 1), 0]}} for n in range(3000)}},
        {"nodes": [{"data": {"inputs": {f"l{number}": {"value": 1} for number in INPUTS}}}]},
        {"base_model": "x", "loras": [["noir", 1, f"{number:010x}"] for number in range(100_000)]},
    ],
    ids=["subgraphs", "links", "inputs", "chain", "invokeai", "hashes"],
)  # fmt: skip
def test_the_work_grows_with_the_size_of_a_document(document: object) -> None:
    data = json.dumps(document).encode()
    before = time.process_time()
    assert len(read_bytes(data)) <= 1
    assert time.process_time() - before < 10  # they took minutes


EXIF = b"II*\0\x08\0\0\0\0\0".ljust(5000, b" ")


@pytest.mark.parametrize(
    "whole",
    [
        files.png(files.chunk(b"eXIf", EXIF)),
        b"RIFF" + struct.pack("<I", 5012) + b"WEBPEXIF" + struct.pack("<I", 5000) + EXIF,
    ],
)
def test_exif_larger_than_the_limit_for_texts_is_refused(whole: bytes) -> None:
    with pytest.raises(Unreadable, match="metadata is too large"):
        read(io.BytesIO(whole), max_text_bytes=4096)


def test_a_value_of_exif_that_is_not_read_takes_no_memory() -> None:
    values = [struct.pack("<HHII", tag, 1, 1_900_000, 9) for tag in range(100, 1000)]
    start = b"II*\0" + struct.pack("<IH", 8, len(values)) + b"".join(values)
    tracemalloc.start()
    assert texts_of(start.ljust(2_000_000, b" ")) == {}
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_thousands_of_names_are_cut() -> None:
    text = "".join(f"<lora:a{number}:1>" for number in range(5000))
    assert len(read_bytes(f"{text}\nSteps: 1, Seed: 1".encode())) == 500


@pytest.mark.parametrize("container", [containers.png, containers.webp, containers.jpeg])
def test_bytes_that_change_never_end_in_another_exception(container: object) -> None:
    assert callable(container)
    whole = bytearray(container(a1111(Random("hostile")).texts))
    random = Random(5)
    for _ in range(300):
        data = bytearray(whole)
        for _each in range(random.randint(1, 8)):
            data[random.randrange(len(data))] = random.randrange(256)
        with suppress(Unreadable):
            read_bytes(bytes(data[: random.randint(1, len(data))]))


@pytest.mark.parametrize("film", [containers.mp4(GRAPH), containers.webm(GRAPH)])
def test_films_that_change_never_end_in_another_exception(film: bytes) -> None:
    random = Random(6)
    for _ in range(300):
        data = bytearray(film)
        for _each in range(random.randint(1, 8)):
            data[random.randrange(len(data))] = random.randrange(256)
        with suppress(Unreadable):
            read_bytes(bytes(data[: random.randint(1, len(data))]))


def test_texts_of_films_are_limited() -> None:
    for module, data in ((mp4, containers.mp4(GRAPH)), (webm, containers.webm(GRAPH))):
        with pytest.raises(ValueError, match="texts"):
            module.texts_in(io.BytesIO(data), len(data), 100)


def test_exif_that_points_anywhere_is_empty() -> None:
    assert (
        texts_of(b"")
        == texts_of(b"II*\0\xff\xff\xff\xff")
        == texts_of(b"MM\0*" + b"\xff" * 50)
        == {}
    )
    entry = struct.pack("<HHII", 0x0110, 2, 2**31, 8)
    assert texts_of(b"II*\0\x08\0\0\0" + struct.pack("<H", 60_000) + entry) == {}


def test_limits_are_those_of_the_documentation() -> None:
    limits = (metadata.MAX_PICTURE_BYTES, metadata.MAX_TEXT_BYTES)
    assert [limit // metadata.MIB for limit in limits] == [256, 16]
