"""Random and hostile adapters through the reader, the writer and every conversion.

    python -m tools.fuzz.algebra --seconds 600 --seed 1 --report docs/reports

Adapters are put together from modules of several namings and algorithms, with factors that don't
fit, numbers that are not finite, empty tensors, ranks of thousands, two names for one role, and
changed bytes. What has to hold is in ``check``. A file that breaks a rule is written to ``--keep``
and ends the run; its seed and number make it again.
"""

from __future__ import annotations

import argparse
import struct
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import safe_open

from lorary.algebra.comparing import measure
from lorary.algebra.conversion.converting import convert
from lorary.algebra.errors import ALGEBRA_CODES, AlgebraError
from lorary.algebra.files import NUMPY_DTYPES, PlannedTensor, WeightFile, write_weights
from lorary.algebra.merging.merge import MergeSettings, merge
from lorary.algebra.naming.targets import TARGETS
from lorary.safetensors import HeaderError
from lorary.safetensors.errors import HEADER_CODES
from tools.fuzz import reports
from tools.fuzz.seeds import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: CPU time and memory of one file, which has a few kilobytes.
MOST_SECONDS, MOST_BYTES = 20.0, 600_000_000
#: One file in so many is measured.
MEASURED_EVERY = 50
#: Relative difference of two energies that is rounding: of the formats, and of Gram matrices.
ROUNDING = 1e-4

FLUX = "double_blocks.0.img_attn"
MODULES = (
    ("lora_unet_double_blocks_0_img_attn_qkv", 12, 4),
    ("lora_unet_double_blocks_0_img_attn_proj", 4, 4),
    (f"diffusion_model.{FLUX}.qkv", 12, 4),
    (f"diffusion_model.{FLUX}.proj", 4, 4),
    ("diffusion_model.single_blocks.0.linear1", 28, 4),
    ("transformer.transformer_blocks.0.attn.to_q", 4, 4),
    ("transformer.transformer_blocks.0.attn.to_k", 4, 4),
    ("transformer.transformer_blocks.0.attn.to_v", 4, 4),
    ("transformer.single_transformer_blocks.0.proj_mlp", 16, 4),
    ("base_model.model.transformer_blocks.0.attn.to_q", 4, 4),
    ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q", 6, 5),
    ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q", 6, 5),
    ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", 6, 5),
    ("lora_te_text_model_encoder_layers_0_self_attn_q_proj", 6, 6),
    ("lora_unet_unheard_of", 6, 5),
    ("", 3, 3),
)
#: Algorithm to the shapes of its tensors, by rank, rows and columns.
ALGORITHMS = {
    "lora": (("lora_down.weight", "rc"), ("lora_up.weight", "or")),
    "peft": (("lora_A.weight", "rc"), ("lora_B.weight", "or")),
    "locon": (("lora_down.weight", "rc33"), ("lora_up.weight", "or11")),
    "tucker": (
        ("lora_down.weight", "rc11"), ("lora_up.weight", "or11"), ("lora_mid.weight", "rr33"),
    ),
    "dora": (("lora_down.weight", "rc"), ("lora_up.weight", "or"), ("dora_scale", "o1")),
    "loha": (("hada_w1_a", "or"), ("hada_w1_b", "rc"), ("hada_w2_a", "or"), ("hada_w2_b", "rc")),
    "lokr": (("lokr_w1", "22"), ("lokr_w2_a", "or"), ("lokr_w2_b", "rc")),
    "diff": (("diff", "oc"), ("diff_b", "o")),
    "ia3": (("weight", "o"), ("on_input", "")),
}  # fmt: skip
EXTRA = ("alpha", "alpha", "alpha", "scalar", "lora_A.weight", "lora_down.weight", "diff", "bias",
         "dora_scale", "lora_mid.weight", "lora_B.bias", "w_norm")  # fmt: skip
FLOATS = ("F32", "F32", "F16", "BF16", "F64", "F8_E4M3")
NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 3.7, 1e-30, 1e30, 3e38, float("nan"), float("inf"))
FAMILIES = (None, None, "flux1", "sdxl", "sd1", "chroma", "wan_14b")

Arrays = dict[str, np.ndarray[Any, Any]]


def adapter(random: Random) -> tuple[Arrays, dict[str, str]]:
    """Return the tensors and the metadata of an adapter."""
    numbers = np.random.default_rng(random.randrange(2**32))
    algorithm = random.choice(("lora", "lora", "peft", *ALGORITHMS))
    arrays: Arrays = {}
    for name, rows, columns in random.sample(MODULES, random.choice((1, 1, 2, 3, 5))):
        kind = algorithm if random.random() < 0.9 else random.choice([*ALGORITHMS])
        rank = random.choice((1, 2, 2, 3, 4, 8, 0))
        if random.random() < 0.03 and kind != "tucker":
            rank = 5_000
        sizes = {"r": rank, "o": rows, "c": columns}
        dtype = random.choice(FLOATS) if random.random() < 0.95 else random.choice([*NUMPY_DTYPES])
        for role, shape in ALGORITHMS[kind]:
            sides = [sizes.get(one) if one in sizes else int(one) for one in shape]
            arrays[f"{name}.{role}"] = _array(numbers, dtype, [int(side or 0) for side in sides])
        if random.random() < 0.6:
            alpha = random.choice((rank, 1, rank / 2, *NUMBERS))
            with np.errstate(all="ignore"):
                arrays[f"{name}.alpha"] = np.asarray(alpha, "<f4").astype(NUMPY_DTYPES[dtype])
    for _ in range(random.choice((0, 0, 1, 2, 3))):
        _change(random, numbers, arrays)
    return arrays, metadata(random) if random.random() < 0.5 else {}


def _array(numbers: np.random.Generator, dtype: str, shape: Sequence[int]) -> np.ndarray[Any, Any]:
    with np.errstate(all="ignore"):
        found: np.ndarray[Any, Any] = numbers.standard_normal(shape).astype(NUMPY_DTYPES[dtype])
    return found


def _change(random: Random, numbers: np.random.Generator, arrays: Arrays) -> None:
    """Make an adapter wrong in one way."""
    if not arrays:
        return
    name = random.choice([*arrays])
    kind, array = random.randrange(6), arrays[name]
    if kind == 0:
        del arrays[name]
    elif kind == 1 and array.size and array.dtype.kind == "f":
        with np.errstate(all="ignore"):
            array.reshape(-1)[random.randrange(array.size)] = random.choice(NUMBERS)
    elif kind == 2:
        shape = [random.choice((0, 1, 2, 3, 4, 12)) for _ in range(random.randrange(5))]
        arrays[name] = _array(numbers, random.choice(FLOATS), shape)
    elif kind == 3:  # two tensors for one role, or more than the algorithm has
        module = name.rpartition(".")[0].removesuffix(".lora_down").removesuffix(".lora_up")
        arrays[f"{module}.{random.choice(EXTRA)}"] = array.copy()
    elif kind == 4:
        arrays[random.choice(("", ".", "a" * 300, "\u202e", f"{name}.", f".{name}"))] = array
    else:
        arrays[name] = array.reshape(array.shape[::-1])


def bytes_of(random: Random, path: Path) -> bytes:
    """Return a file of an adapter, with its bytes changed at times."""
    arrays, about = adapter(random)
    try:
        _write(path, arrays, about)
    except HeaderError:
        return b"\x00" * random.randrange(16)
    raw = bytearray(path.read_bytes())
    if random.random() < 0.15:
        (length,) = struct.unpack("<Q", raw[:8])
        for _ in range(random.choice((1, 2, 5))):
            end = len(raw) if random.random() < 0.5 else min(len(raw), length + 8)
            raw[random.randrange(end)] = random.randrange(256)
        if random.random() < 0.3:
            raw = raw[: random.randrange(len(raw))]
    return bytes(raw)


def _write(path: Path, arrays: Arrays, about: dict[str, str]) -> str:
    formats = {dtype: name for name, dtype in NUMPY_DTYPES.items()}
    plan = {
        name: PlannedTensor(formats[array.dtype], array.shape, partial(np.asarray, array))
        for name, array in arrays.items()
    }
    return write_weights(path, plan, about).sha256


def check(path: Path, folder: Path, random: Random) -> str:
    """Read a file, write it again, and convert it to every naming.

    Returns:
        `converted`, or the code of the first refusal.

    Raises:
        AssertionError: a result is wrong, or a refusal has no code.
    """
    try:
        arrays, about = _read(path)
    except HeaderError as refused:
        return _checked(refused)
    _check_writer(folder, arrays, about)
    answers, family = Counter[str](), random.choice(FAMILIES)
    for target in TARGETS:
        out = folder / f"{target}.safetensors"
        answers[_answer(partial(_check_conversion, path, out, target, family))] += 1
    _answer(partial(_check_approximation, path, folder / "merged.safetensors"))
    return "converted" if answers["done"] else next(iter(answers))


def _answer(work: Callable[[], None]) -> str:
    try:
        with np.errstate(all="ignore"):
            work()
    except (AlgebraError, HeaderError) as refused:
        return _checked(refused)
    return "done"


def _checked(refused: AlgebraError | HeaderError) -> str:
    """Return the code of a refusal, which must be documented."""
    codes = ALGEBRA_CODES if isinstance(refused, AlgebraError) else HEADER_CODES
    assert refused.code in codes, refused.code
    assert refused.detail.endswith("."), refused.detail
    return refused.code


def _read(path: Path) -> tuple[Arrays, dict[str, str]]:
    with WeightFile(path) as file:
        known = [name for name, one in file.tensors.items() if one.dtype in NUMPY_DTYPES]
        for name in file.tensors.names:
            assert len(file.raw(name)) == file.tensors[name].size_bytes
        return {name: file.array(name).copy() for name in known}, dict(file.metadata)


def _check_writer(folder: Path, arrays: Arrays, about: dict[str, str]) -> None:
    """What is written is read back, always in the same bytes, also by the official reader."""
    first, second = folder / "first.safetensors", folder / "second.safetensors"
    digests = {_write(first, arrays, about), _write(second, dict(reversed(arrays.items())), about)}
    assert len(digests) == 1, "the same tensors gave two files"
    found, found_about = _read(first)
    assert found_about == about
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
    with safe_open(first, framework="np") as official:
        assert set(official.keys()) == set(arrays)


def _check_conversion(path: Path, out: Path, target: str, family: str | None) -> None:
    out.unlink(missing_ok=True)
    try:
        done = convert(path, to=target, out=out, family=family)
    except (AlgebraError, HeaderError):
        assert not out.exists(), "a refused conversion left a file"
        raise
    assert done.certificate.max_relative_error <= 1e-6, done.certificate
    with WeightFile(out) as file:
        assert file.tensors.names
    try:
        before = measure(path).total
    except AlgebraError:  # no exact energy: its rank is too large
        return
    after = measure(out).total
    assert abs(before - after) <= ROUNDING * max(before, after, 1e-30), (before, after)


def _check_approximation(path: Path, out: Path) -> None:
    out.unlink(missing_ok=True)
    try:
        merge([path], out, strengths=(1,), settings=MergeSettings(max_rank=2))
    except (AlgebraError, HeaderError):
        assert not out.exists(), "a refused merge left a file"
        raise
    assert np.isfinite(measure(out).total)


class Broken(AssertionError):
    """A file broke a rule."""

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(message)
        self.data = data


@dataclass
class Run:
    """What a run has seen.

    Attributes:
        seed: Of all files.
        done: Files so far.
        answers: Answer to how often it was given.
        slowest_s: CPU time of the slowest file.
        most_bytes: Highest peak of memory of those that were measured.
    """

    seed: int
    done: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    most_bytes: int = 0

    def next(self, folder: Path) -> None:
        """Try the next file.

        Raises:
            Broken: it broke a rule.
        """
        random = Random(f"{self.seed}:{self.done}")
        path = folder / "adapter.safetensors"
        data = bytes_of(random, path)
        path.write_bytes(data)
        began, is_measured = time.process_time(), self.done % MEASURED_EVERY == 0
        if is_measured:
            tracemalloc.start()
        try:
            self.answers[check(path, folder, random)] += 1
            spent = time.process_time() - began
            assert spent < MOST_SECONDS, f"{spent:.1f} s"
            if is_measured:
                self.most_bytes = max(self.most_bytes, tracemalloc.get_traced_memory()[1])
                assert self.most_bytes < MOST_BYTES, f"{self.most_bytes:,} bytes"
        except Exception as error:
            msg = f"File {self.done} of seed {self.seed}: {type(error).__name__}: {error}"
            raise Broken(msg, data) from error
        finally:
            tracemalloc.stop()
        self.slowest_s = self.slowest_s if is_measured else max(self.slowest_s, spent)
        self.done += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; raises when a rule is broken."""
    options = _parser().parse_args(arguments)
    run, began, told = Run(options.seed, options.first), time.monotonic(), 0.0
    with tempfile.TemporaryDirectory(prefix="lorary-fuzz-") as folder:
        while (spent := time.monotonic() - began) < options.seconds:
            try:
                run.next(Path(folder))
            except Broken as broken:
                options.keep.mkdir(parents=True, exist_ok=True)
                path = options.keep / f"algebra-{run.seed}-{run.done}.safetensors"
                path.write_bytes(broken.data)
                reports.say(f"{broken}\nThe file is in {path}.")
                raise
            if spent - told >= 30:
                told = spent
                reports.say(f"{spent:.0f} s: {run.done:,} files, slowest {run.slowest_s:.2f} s")
    if options.report:
        reports.say(f"written: {_report(run, options.report, options.seconds)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz.algebra", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--report", type=Path, help="folder for a dated report")
    parser.add_argument("--keep", type=Path, default=Path("test-results"), help="for bad files")
    return parser


def _report(run: Run, folder: Path, seconds: float) -> Path:
    body = f"""\
{run.done:,} files (seed {run.seed}) in {seconds:,.0f} s. Each was read, written again, converted to
every naming and approximated by a LoRA; no rule was broken. The slowest took {run.slowest_s:.2f} s
of CPU time; the highest peak of memory of one file in {MEASURED_EVERY} was
{run.most_bytes / 1e6:.1f} MB.

{reports.table(run.answers, "files")}"""
    return reports.write(
        folder,
        name="fuzzing-algebra",
        title="Fuzzing of the algebra",
        module="tools.fuzz.algebra",
        body=body,
    )


if __name__ == "__main__":
    sys.exit(main())
