"""The header reader: what it reads, and what it refuses by name of the attack."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorary.safetensors import (
    BytesSource,
    FileSource,
    HeaderError,
    Limits,
    TensorInfo,
    fast,
    open_source,
    parse_header,
    read_header,
)
from lorary.safetensors import header as header_module
from lorary.safetensors.errors import HEADER_CODES
from lorary.safetensors.rules import count_texts
from lorary.safetensors.signatures import SNIFF_BYTES, sniff
from lorary.safetensors.tensors import DTYPE_BITS, Tensors
from tests.builders.malformed import ATTACKS
from tests.builders.weights import file_of, safetensors
from tests.whole import crossed

if TYPE_CHECKING:
    from pathlib import Path


def _zip_entry(name: bytes) -> bytes:
    return b"PK\x03\x04" + bytes(22) + len(name).to_bytes(2, "little") + bytes(2) + name


TWO = {"a": ("F16", (2, 3)), "b": ("F32", ())}


PARSERS = ["orjson", "json", "careful"]


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All ways to read the JSON, which have to agree on every file."""
    if request.param == "json":
        monkeypatch.setattr(fast, "orjson_loads", None)
    elif request.param == "careful":
        monkeypatch.setattr(header_module, "read_fast", lambda *_: None)
    elif request.param == "orjson":
        pytest.importorskip("orjson")
    return str(request.param)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("attack", ATTACKS)
def test_refuses(attack: str) -> None:
    data, code = ATTACKS[attack]
    with pytest.raises(HeaderError) as refused:
        parse_header(data)
    assert refused.value.code == code
    assert refused.value.detail == str(refused.value)
    json.dumps(refused.value.facts)


@pytest.mark.parametrize(
    ("attack", "mark"),
    [
        ("half a byte", '"a"'),
        ("comment", "/*"),
        ("control character in a name", '"a\\u0007"'),
        ("cut in the middle", '"sha'),
        ("five levels", "[]]]"),
        ("infinity", "[-Infinity]"),
        ("invalid utf-8", "\xff"),
        ("key twice behind escaped quotes", '"k\\\\":"2"'),
        ("metadata holds a number", '"a": 1'),
        ("metadata twice", '"__metadata__":{}}'),
        ("no colon", "1}"),
        ("no comma", '"c"'),
        ("path as name", '"../../etc'),
        ("second value", "{}  "),
        ("tensor twice, once escaped", '"\\u0061"'),
        ("tensors overlap", '"b"'),
        ("three offsets", '"a"'),
        ("field twice", '"dtype":"F32","shape"'),
        ("zip after the tensors", "PK"),
        ("newline as padding", "\n"),
    ],
)
def test_names_the_byte_of_the_fault(attack: str, mark: str) -> None:
    data = ATTACKS[attack].data
    with pytest.raises(HeaderError) as refused:
        parse_header(data)
    assert refused.value.offset == data.index(mark.encode("latin-1"))


def test_every_code_is_raised_by_an_attack() -> None:
    assert {attack.code for attack in ATTACKS.values()} == set(HEADER_CODES)


@pytest.mark.usefixtures("parser")
def test_reads_tensors_metadata_and_sizes() -> None:
    data = safetensors(TWO, {"format": "pt", 'q"\\': '\\"'})
    header = parse_header(data)
    assert header.tensors == {"a": TensorInfo("F16", (2, 3), 0, 12), "b": ("F32", (), 12, 16)}
    assert header.metadata == {"format": "pt", 'q"\\': '\\"'}
    assert header.size_bytes == len(data)
    assert header.data_start + 16 == len(data)
    assert header.tensors["a"].elements == 6
    assert header.tensors["a"].size_bytes == 12


def test_refuses_data_that_no_reader_can_count() -> None:
    entry = {"dtype": "U8", "shape": [2**64 - 1], "data_offsets": [0, 2**64 - 1]}
    beyond = {"dtype": "U8", "shape": [1], "data_offsets": [2**64 - 1, 2**64]}
    raw = json.dumps({"a": entry, "b": beyond}, separators=(",", ":")).encode()

    with pytest.raises(HeaderError) as caught:
        parse_header(struct.pack("<Q", len(raw)) + raw, size=8 + len(raw) + 2**64)

    assert caught.value.code == "offsets_invalid"


def test_needs_only_the_first_bytes_when_the_size_is_declared() -> None:
    data = safetensors(TWO)
    whole = parse_header(data)
    assert parse_header(data[: whole.data_start], size=len(data)) == whole


def test_says_that_the_header_is_cut_when_too_few_bytes_are_at_hand() -> None:
    data = safetensors(TWO)
    with pytest.raises(HeaderError, match="only 12 of them are available") as refused:
        parse_header(data[:20], size=len(data))
    assert refused.value.code == "file_truncated"
    assert refused.value.offset == 20


def test_reads_paths_files_and_sources_alike(tmp_path: Path) -> None:
    data = safetensors(TWO)
    path = tmp_path / "two.safetensors"
    path.write_bytes(data)
    expected = parse_header(data)
    assert read_header(path) == expected
    assert read_header(str(path)) == expected
    assert read_header(io.BytesIO(data)) == expected
    assert read_header(BytesSource(data)) == expected
    with path.open("rb") as file:
        assert read_header(file) == expected
        assert not file.closed


def test_a_file_source_reads_anywhere_and_stops_at_the_end() -> None:
    source = FileSource(io.BytesIO(b"0123456789"))
    assert source.size_bytes == 10
    assert source.read_at(8, 5) == b"89"
    with open_source(source) as same:
        assert same is source


def test_accepts_what_the_format_allows() -> None:
    assert parse_header(file_of({})).tensors == {}
    assert parse_header(file_of({"__metadata__": {"a": ""}})).metadata == {"a": ""}
    assert parse_header(file_of(b"{}     ", align=False)).header_bytes == 7
    assert parse_header(safetensors({"é/ü": ("F16", (1,))})).tensors["é/ü"].shape == (1,)
    empty = parse_header(safetensors({"a": ("F16", (0, 5)), "b": ("F16", (1,))})).tensors["a"]
    assert empty.begin == empty.end


def test_accepts_tensors_that_are_listed_out_of_order() -> None:
    header = {
        "late": {"dtype": "U8", "shape": [2], "data_offsets": [3, 5]},
        "empty": {"dtype": "U8", "shape": [0], "data_offsets": [3, 3]},
        "early": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
    }
    assert list(parse_header(file_of(header, b"12345")).tensors) == ["late", "empty", "early"]


@pytest.mark.parametrize("dtype", DTYPE_BITS)
def test_knows_the_size_of_every_number_format(dtype: str) -> None:
    header = parse_header(safetensors({"a": (dtype, (4, 2))}))
    assert header.tensors["a"].size_bytes == DTYPE_BITS[dtype]
    assert header.tensors["a"].elements == 8


def test_names_hold_minus_zero_without_harm() -> None:
    assert "v-0" in parse_header(safetensors({"v-0": ("F16", (1,))}, {"a": "[-0"})).tensors


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(header_bytes=16), "header_too_large"),
        (Limits(tensors=1), "too_many_tensors"),
        (Limits(name_chars=0), "tensor_name_invalid"),
        (Limits(dimensions=1), "shape_invalid"),
        (Limits(metadata_bytes=3), "metadata_too_large"),
        (Limits(metadata_keys=0), "metadata_too_large"),
    ],
)
def test_limits_are_parameters(limits: Limits, code: str) -> None:
    data = safetensors(TWO, {"ab": "cd"})
    parse_header(data)
    with pytest.raises(HeaderError) as refused:
        parse_header(data, limits=limits)
    assert refused.value.code == code


def test_limits_are_the_largest_accepted_values() -> None:
    data = safetensors(TWO, {"ab": "cd"})
    length = int.from_bytes(data[:8], "little")
    exact = Limits(
        header_bytes=length,
        tensors=2,
        metadata_bytes=4,
        metadata_keys=1,
        name_chars=1,
        dimensions=2,
    )
    assert parse_header(data, limits=exact) == parse_header(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (safetensors(TWO) + b"xyz", "3 bytes follow the last tensor"),
        (safetensors(TWO)[:-5], "ends 5 bytes before its last tensor"),
        (ATTACKS["size and shape differ"].data, "needs 8 bytes .* but has 4"),
        (ATTACKS["half a byte"].data, r"needs 1\.5 bytes"),
        (ATTACKS["seven bytes"].data, "has 7 bytes"),
        (b"\x00" * 8, "does not begin"),
        (b"\x00" * 99, "begins with zeros"),
        (b"\x01" * 99, "isn.t a safetensors file"),
    ],
)
def test_messages_count_right(data: bytes, words: str) -> None:
    with pytest.raises(HeaderError, match=words):
        parse_header(data)


def test_brackets_in_texts_are_not_taken_for_structure() -> None:
    text = "[{," * 500_000
    assert parse_header(file_of({"__metadata__": {"a": text}})).metadata["a"] == text


def test_the_header_is_not_read_when_its_length_is_refused() -> None:
    class Counting(BytesSource):
        asked = 0

        def read_at(self, offset: int, size: int) -> bytes:
            self.asked = max(self.asked, size)
            return super().read_at(offset, size)

    source = Counting(ATTACKS["header over the limit"].data, 2**40)
    with pytest.raises(HeaderError):
        read_header(source)
    assert source.asked <= SNIFF_BYTES


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (_zip_entry(b"archive/data.pkl"), "PyTorch file"),
        (_zip_entry(b"weights.npy"), "NumPy archive"),
        (_zip_entry(b"metadata.json"), "Keras"),
        (_zip_entry(b"hello.txt"), "ZIP archive"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "old PyTorch file"),
        (b"\x80\x04\x95\x10\x00\x00\x00\x00", "Python's pickle"),
        (b"version https://git-lfs.github.com/spec/v1\nsize 1234567\n", "1,234,567 bytes"),
        (b'{"detail": "Not found"}', "error message"),
        (b'{\n "peft_type": "LORA"\n}', "adapter_model.safetensors"),
        (b'{"metadata": {"total_size": 1}}', "index of a model"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WebP"),
        (b"\x00\x00\x00\x1cftypisom", "video"),
        ("Ein Text über Züge".encode(), "text file"),
    ],
)
def test_says_what_a_foreign_file_is(head: bytes, words: str) -> None:
    with pytest.raises(HeaderError, match=words):
        parse_header(head)


def _repeated(begin: bytes, unit: bytes, end: bytes) -> bytes:
    return file_of(begin + unit * (BULK_BYTES // len(unit)) + end)


BULK_BYTES = 500_000
BULKS = {
    "lists": _repeated(b'{"a":[', b"[],", b"[]]}"),
    "objects in objects": _repeated(b'{"a":[', b'{"":{"":0}},', b"0]}"),
    "levels": _repeated(b'{"a":[', b"[[[]]],", b"0]}"),
    "open levels": _repeated(b'{"a":', b"[", b""),
    "numbers": _repeated(b'{"a":[', b"0.5,", b"0]}"),
    "texts": _repeated(b'{"a":[', b'"",', b'""]}'),
    "wide letters": _repeated(b'{"a":"\xf0\x9f\x98\x80', b"x", b'"}'),
    "escapes": _repeated(b'{"a":"', b'\\"', b'"}'),
    "digits": _repeated(b'{"a":[', b"9", b"]}"),
    "tensors": safetensors({f"a{n}": ("U8", (1,)) for n in range(8_000)}),
    "tensors to read carefully": safetensors({f"é{n}": ("U8", (1,)) for n in range(8_000)}),
}


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(("bulk", "parser"), crossed(list(BULKS), PARSERS), indirect=["parser"])
def test_memory_is_bounded_by_the_header(bulk: str) -> None:
    data = BULKS[bulk]
    _code(data)  # what is kept from the first time
    tracemalloc.start()
    try:
        _code(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 14 * len(data) + 20_000_000


def test_tensors_are_a_map_however_they_are_kept() -> None:
    rows = {"a": TensorInfo("F16", (2, 3), 0, 12), "b": TensorInfo("F32", (), 12, 16)}
    tensors = Tensors.of(rows)
    assert Tensors.of(tensors) is tensors
    assert tensors == rows == dict(tensors)
    assert (list(tensors), len(tensors), "a" in tensors, "c" in tensors) == (
        ["a", "b"],
        2,
        True,
        False,
    )
    assert (list(tensors.keys()), list(tensors.values())) == (list(rows), list(rows.values()))
    assert tensors.at([1, 0]) == [tensors["b"], tensors.row(0)]
    assert repr(tensors) == f"Tensors({rows!r})"
    assert Tensors.of({}) == {} == Tensors()
    assert Tensors().at([]) == []


def test_sniffing_is_silent_about_unknown_bytes() -> None:
    assert sniff(b"\x01\x02\x03") is None
    assert sniff(b"\x80") is None


_NAMES = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20)
_SHAPES = st.lists(st.integers(0, 5), max_size=4)
_DTYPES = st.sampled_from(sorted(name for name, bits in DTYPE_BITS.items() if bits >= 8))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(_NAMES, st.tuples(_DTYPES, _SHAPES), max_size=8),
    st.dictionaries(st.text(max_size=10), st.text(max_size=30), max_size=5),
)
def test_reads_back_whatever_was_written(
    tensors: dict[str, tuple[str, list[int]]], metadata: dict[str, str]
) -> None:
    header = parse_header(safetensors(tensors, metadata))
    assert {name: (t.dtype, list(t.shape)) for name, t in header.tensors.items()} == tensors
    assert header.metadata == metadata


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_or_refused(noise: bytes, framed: bool) -> None:
    assert _code(file_of(b"{" + noise) if framed else noise) in {None, *HEADER_CODES}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_byte_is_never_a_surprise(data: st.DataObject) -> None:
    whole = bytearray(safetensors(TWO, {"k": 'a"b\\'}))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert _code(bytes(whole)) in {None, *HEADER_CODES}


def _code(data: bytes) -> str | None:
    try:
        parse_header(data)
    except HeaderError as refused:
        return refused.code
    return None


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=6), st.booleans())
def test_counts_texts_exactly(texts: dict[str, str], ascii_only: bool) -> None:
    raw = json.dumps(texts, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert count_texts(raw) == 2 * len(texts)
