"""The one pass over a file: each hash against another way to it, and every kind of bad number."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3

from lorary.safetensors import parse_header
from registry.scan import file_scan, hashes
from tests.builders.adapters import kohya
from tests.builders.streams import write_safetensors
from tests.builders.weights import file_of, safetensors
from tests.registry.files import LORA, SD1

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lorary.anatomy import Finding

ROOT = Path(__file__).resolve().parents[2]

#: Kinds of hashes that are not cut short.
WHOLE = ["sha256", "data_sha256", "blake3", "tensors", "weights_f16", "weights_bf16"]

#: Name → number format, shape, bytes.
Tensors = dict[str, tuple[str, tuple[int, ...], bytes]]


def written(
    tensors: Tensors, metadata: Mapping[str, str] | None = None, *, align: bool = True
) -> bytes:
    """Return a file of these tensors in their order."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(raw)]}
        end += len(raw)
    return file_of(header, b"".join(raw for _, _, raw in tensors.values()), align=align)


def read(data: bytes, **arguments: Any) -> file_scan.FileScan:
    return file_scan.scan_file(io.BytesIO(data), len(data), parse_header(data), **arguments)


def plain(data: bytes) -> dict[str, str]:
    """Return the hashes of bytes that are no weights."""
    return file_scan.scan_file(io.BytesIO(data), len(data), None).hashes


def noise(size: int, seed: int = 1) -> bytes:
    """Return bytes whose F16 and F32 numbers are all finite and not zero."""
    half = random.Random(seed).randbytes(size // 2 + 1)
    return bytes(byte for low in half for byte in (low, 0x31))[:size]


def long_file(size: int, **arguments: Any) -> bytes:
    """Return a file of two matrices and an alpha between them that moves the second one."""
    return written(
        {
            "a.lora_down.weight": ("F16", (size // 4,), noise(size // 4 * 2)),
            "a.alpha": ("BF16", (), b"\x80\x3f"),
            "a.lora_up.weight": ("F32", (size // 8,), noise(size // 8 * 4, seed=2)),
        },
        **arguments,
    )


@pytest.mark.parametrize(
    "size", [4096, file_scan.BLOCK, 3 * file_scan.BLOCK, 6 * file_scan.BLOCK + 777]
)
@pytest.mark.parametrize("align", [True, False])
def test_each_hash_is_what_another_way_to_it_gives(size: int, align: bool) -> None:
    data = long_file(size, align=align)
    body = data[8 + int.from_bytes(data[:8], "little") :]
    sha256, data_sha256 = hashlib.sha256(data).hexdigest(), hashlib.sha256(body).hexdigest()
    window = data[0x100000:0x110000]
    found = read(data).hashes
    assert found == {
        "sha256": sha256,
        "autov2": sha256[:10],
        "data_sha256": data_sha256,
        "autov3": data_sha256[:12],
        "crc32": f"{zlib.crc32(data):08x}",
        "blake3": blake3(data).hexdigest(),
        **{kind: found[kind] for kind in ("tensors", "weights_f16", "weights_bf16")},
        **({"autov1": hashlib.sha256(window).hexdigest()[:8]} if window else {}),
    }


@pytest.mark.parametrize("size", [0x100000, 0x100001, 0x10FFFF, 0x110000, 0x110001])
def test_autov1_takes_what_there_is_of_its_window(size: int) -> None:
    data = noise(size)
    wanted = hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8]
    assert plain(data).get("autov1") == (wanted if size > 0x100000 else None)


def test_known_values() -> None:
    found = plain(b"hello world")
    assert found["crc32"] == "0d4a1185"
    assert hashes.swapped(found["crc32"]) == "85114a0d"  # as Civitai's scanner writes it
    assert found["blake3"] == "d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24"
    assert set(found) == {"sha256", "autov2", "crc32", "blake3"}


def test_the_tensors_keep_their_digest_without_order_names_and_metadata() -> None:
    one = ("F16", (2, 3), noise(12))
    two = ("F16", (3, 2), noise(12, seed=2))
    found = read(written({"a": one, "b": two}))
    again = read(written({"y": two, "x": one}, {"title": "other"}))
    assert found.hashes["tensors"] == again.hashes["tensors"]
    assert found.hashes["data_sha256"] != again.hashes["data_sha256"]


@pytest.mark.parametrize(
    "other",
    [
        ("BF16", (2, 3), noise(12)),
        ("F16", (6,), noise(12)),
        ("F16", (2, 3), noise(12, seed=9)),
    ],
)
def test_other_tensors_have_another_digest(other: tuple[str, tuple[int, ...], bytes]) -> None:
    one = ("F16", (2, 3), noise(12))
    assert (
        read(written({"a": one})).hashes["tensors"] != read(written({"a": other})).hashes["tensors"]
    )


def test_the_digest_of_tensors_is_as_documented() -> None:
    one, two = noise(12), noise(4, seed=3)
    parts = [blake3(b"F16 [2, 3] " + one).digest(), blake3(b"F32 [] " + two).digest()]
    wanted = blake3(b"".join(sorted(parts))).hexdigest()
    found = read(written({"a": ("F16", (2, 3), one), "b": ("F32", (), two)}))
    assert found.hashes["tensors"] == wanted


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("AB" * 4, ["autov1", "crc32"]),
        ("0x01020304", ["autov1", "crc32", "crc32"]),
        ("ABCDEF0123", ["autov2"]),
        ("abcdef012345", ["autov3"]),
        ("BLAKE3:" + "a1" * 32, WHOLE),
        (" sha256:" + "a1" * 32 + " ", WHOLE),
        ("abc", []),
        ("g" * 64, []),
        ("", []),
        ("a" * 63, []),
        ("٣" * 8, []),
    ],
)
def test_the_forms_of_a_hash_are_known_by_their_length(text: str, kinds: list[str]) -> None:
    assert [form.kind for form in hashes.forms_of(text)] == kinds


def found(dtype: str, *numbers: bytes, name: str = "m.lora_up.weight") -> list[Finding]:
    raw = b"".join(numbers)
    size = len(numbers)
    return list(
        read(
            written({"m.alpha": ("F32", (), b"\0\0\x80\x3f"), name: (dtype, (size,), raw)})
        ).findings
    )


BAD = {
    "F16": [b"\x00\x7c", b"\x00\xfc", b"\x01\x7c", b"\x00\x7e", b"\xff\xff"],
    "BF16": [b"\x80\x7f", b"\x80\xff", b"\xc0\x7f", b"\x81\x7f"],
    "F32": [struct.pack("<f", value) for value in (float("inf"), float("-inf"), float("nan"))],
    "F64": [struct.pack("<d", value) for value in (float("inf"), float("-inf"), float("nan"))],
    "F8_E5M2": [b"\x7c", b"\xfc", b"\x7f", b"\xfe"],
    "F8_E4M3": [b"\x7f", b"\xff"],
    "F8_E4M3FNUZ": [b"\x80"],
    "F8_E5M2FNUZ": [b"\x80"],
}
GOOD = {
    "F16": [b"\xff\x7b", b"\xff\xfb", b"\x01\x00"],
    "BF16": [b"\x7f\x7f", b"\x7f\xff", b"\x01\x00"],
    "F32": [struct.pack("<f", 3.4e38), struct.pack("<f", -3.4e38)],
    "F64": [struct.pack("<d", 1.7e308), struct.pack("<d", 5e-324)],
    "F8_E5M2": [b"\x7b", b"\xfb"],
    "F8_E4M3": [b"\x7e", b"\xfe"],
    "F8_E4M3FNUZ": [b"\x7f", b"\xff"],
    "F8_E5M2FNUZ": [b"\x7f", b"\xff"],
}


@pytest.mark.parametrize(("dtype", "number"), [(t, n) for t, all_ in BAD.items() for n in all_])
def test_what_is_not_finite_is_named(dtype: str, number: bytes) -> None:
    (finding,) = found(dtype, GOOD[dtype][0], number)
    assert (finding.code, finding.severity) == ("numbers_not_finite", "error")
    assert finding.evidence == {"count": 1, "tensors": ["m.lora_up.weight"]}


@pytest.mark.parametrize("dtype", GOOD)
def test_the_largest_and_smallest_numbers_are_finite(dtype: str) -> None:
    assert found(dtype, *GOOD[dtype]) == []


def test_one_bad_number_among_blocks_is_found_wherever_it_lies() -> None:
    for size in (3 * file_scan.BLOCK, 3 * file_scan.BLOCK + 4):
        data = bytearray(long_file(size))
        data[-2:] = b"\x80\x7f"
        (finding,) = read(bytes(data)).findings
        assert finding.evidence["tensors"] == ["a.lora_up.weight"]


def test_the_names_of_bad_tensors_are_a_bounded_list() -> None:
    tensors: Tensors = {f"{n}.lora_up.weight": ("F16", (1,), b"\x00\x7c") for n in range(50)}
    (finding,) = read(written(tensors)).findings
    assert finding.evidence["count"] == 50
    assert len(json.dumps(finding.evidence["tensors"])) < 1000


@pytest.mark.parametrize(
    "name",
    ["lora_up.weight", "lora_down.weight", "lora_A.weight", "lora_B.default.weight", "hada_w1_a",
     "hada_w2_b", "lokr_w1", "lokr_w2_a", "diff"],
)  # fmt: skip
@pytest.mark.parametrize("zero", [b"\0\0", b"\x00\x80"])
def test_a_module_with_a_factor_of_zeros_is_silent(name: str, zero: bytes) -> None:
    some: Tensors = {f"b.lora_{half}.weight": ("F16", (2,), noise(4)) for half in ("up", "down")}
    (finding,) = read(written({f"a.{name}": ("F16", (2,), zero * 2), **some})).findings
    assert (finding.code, finding.severity) == ("modules_silent", "warning")
    assert (finding.evidence["count"], finding.evidence["tensors"]) == (1, [f"a.{name}"])


def test_both_halves_of_zeros_are_one_silent_module() -> None:
    zeros: Tensors = {f"a.lora_{half}.weight": ("F16", (2,), bytes(4)) for half in ("up", "down")}
    zeros["b.diff"] = ("F16", (2,), noise(4))
    (finding,) = read(written(zeros)).findings
    assert finding.evidence["count"] == 1
    assert "changes nothing" in finding.message


@pytest.mark.parametrize("name", ["a.alpha", "a.dora_scale", "something", "emb_params"])
def test_zeros_elsewhere_are_no_silence(name: str) -> None:
    assert read(written({name: ("F16", (2,), bytes(4))})).findings == ()


def test_a_header_without_tensors_is_read_like_any_file() -> None:
    data = safetensors({})
    assert read(data).hashes["sha256"] == hashlib.sha256(data).hexdigest()
    assert read(data).hashes["data_sha256"] == hashlib.sha256().hexdigest()


def test_progress_is_told_in_bytes_of_the_file_and_can_end_the_reading() -> None:
    told: list[tuple[int, int]] = []
    data = long_file(9 * file_scan.BLOCK)
    read(data, progress=lambda *both: told.append(both))
    assert told[-1] == (len(data), len(data))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert 2 <= len(told) <= 4

    def stop(_done: int, _total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        read(data, progress=stop)


class Trickle(io.RawIOBase):
    """A stream that hands over a few bytes at a time, and ends early."""

    def __init__(self, data: bytes) -> None:
        self.rest = io.BytesIO(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self.rest.seek(offset, whence)

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any, /) -> int:
        return self.rest.readinto(memoryview(room)[:1000])


def test_a_stream_may_give_less_than_was_asked_for() -> None:
    data = long_file(file_scan.BLOCK)
    handle: Any = Trickle(data)
    assert file_scan.scan_file(handle, len(data), parse_header(data)) == read(data)


def test_a_file_that_ends_early_has_another_digest() -> None:
    data = long_file(2 * file_scan.BLOCK)
    cut = file_scan.scan_file(io.BytesIO(data[:-3]), len(data), parse_header(data))
    assert cut.hashes["sha256"] != hashlib.sha256(data).hexdigest()


MEMORY = """
import resource, sys
import django
django.setup()
from registry.scan import checks
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
def check(place):
    with open(place, "rb") as handle:
        size = handle.seek(0, 2)
        subject = checks.Subject("a.safetensors", size, handle)
        findings = checks.run_deep(subject)
        assert not checks.is_refused(findings), findings
check(sys.argv[1])
idle = peak()
check(sys.argv[2])
print(peak() - idle)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(LORA)
    wide = 75 * (1 << 20) // 16
    shapes = {"down": ("F16", (8, wide)), "up": ("F16", (wide, 8))}
    size = write_safetensors(
        large,
        {f"lora_unet_{n}.lora_{half}.weight": shapes[half] for n in range(2) for half in shapes},
    )
    assert size > 300 * (1 << 20)
    environ = {
        "DJANGO_SETTINGS_MODULE": "hub.settings.test",
        "PYTHONPATH": f"{ROOT}:{ROOT}/sdk/src",
        "LORARY_DATA": str(tmp_path / "hub"),
    }
    command = [sys.executable, "-c", MEMORY, str(small), str(large)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 32  # MiB; four buffers of one, and the threads


def test_kohya_files_of_the_builders_are_sound() -> None:
    assert read(kohya(SD1)).findings == ()
