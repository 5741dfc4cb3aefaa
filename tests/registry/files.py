"""Files that the catalogue's tests send."""

from __future__ import annotations

from tests.builders.adapters import DENOISERS, Target, kohya

SD1 = DENOISERS["sd1", "diffusers"]

LORA = kohya(SD1)
OTHER = kohya(SD1, rank=8)


def with_nan(data: bytes) -> bytes:
    """Return the file with its last F16 number replaced by NaN."""
    return data[:-2] + b"\x00\x7e"


#: An adapter whose modules no table knows.
UNKNOWN = kohya([Target("mystery_blocks.0.attn.to_q", (48, 48))])

#: FLUX.1 or Chroma by its tensors, FLUX.1 by its word.
UNDECIDED = kohya(
    [Target("double_blocks.0.img_attn.qkv", (9216, 3072))],
    metadata={"ss_base_model_version": "flux1"},
)
