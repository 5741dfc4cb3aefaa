"""Small adapters with bytes of their own: two files are nowhere alike, so a mix-up shows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.builders.adapters import DENOISERS
from tests.builders.streams import write_safetensors

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

SD1 = DENOISERS["sd1", "diffusers"]
#: Bytes of a file for each rank: two of each sum of widths.
BYTES_PER_RANK = 2 * sum(target.shape[0] + target.shape[1] for target in SD1)


@dataclass(frozen=True)
class Payload:
    """A file to send."""

    path: str
    data: bytes
    sha256: str


def payload(folder: Path, random: Random, path: str, size_bytes: int) -> Payload:
    """Return an adapter of about that many bytes.

    Args:
        folder: For a moment, the file is there.
        random: Decides on the bytes.
        path: Its name at the hub.
        size_bytes: How large, roughly; 30 kB and more.
    """
    rank = max(1, size_bytes // BYTES_PER_RANK)
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for target in SD1:
        name = f"lora_unet_{target.path.replace('.', '_')}"
        out, wide, *kernel = target.shape
        tensors[f"{name}.alpha"] = ("F16", ())
        tensors[f"{name}.lora_down.weight"] = ("F16", (rank, wide, *kernel))
        tensors[f"{name}.lora_up.weight"] = ("F16", (out, rank, *(1 for _ in kernel)))
    number = random.randrange(2**32)
    file = folder / f"{number:08x}.safetensors"
    write_safetensors(file, tensors, {"made_for": path}, scalar=float(rank), seed=number)
    data = file.read_bytes()
    file.unlink()
    return Payload(path, data, hashlib.sha256(data).hexdigest())
