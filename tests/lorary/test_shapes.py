"""Sizes of base modules, from the shapes of every algorithm's tensors."""

from __future__ import annotations

import pytest

from lorary.anatomy.shapes import Dims, measure
from lorary.safetensors import TensorInfo


def _roles(**shapes: tuple[int, ...]) -> dict[str, TensorInfo]:
    return {role: TensorInfo("F16", shape, 0, 0) for role, shape in shapes.items()}


@pytest.mark.parametrize(
    ("shapes", "dims"),
    [
        ({"down": (4, 320), "up": (640, 4)}, Dims(640, 320, 4)),
        ({"down": (4, 320), "up": (640, 8)}, Dims(640, 320, 4, False, True)),
        ({"down": (4, 320, 3, 3), "up": (640, 4, 1, 1)}, Dims(640, 2880, 4, True)),
        ({"down": (4, 320, 1, 1), "up": (640, 4, 1, 1)}, Dims(640, 320, 4)),
        (
            {"down": (4, 320, 1, 1), "mid": (4, 4, 3, 3), "up": (640, 4, 1, 1)},
            Dims(640, 2880, 4, True),
        ),
        ({"mid": (4, 4, 3, 3), "up": (640, 4, 1, 1)}, Dims(640, None, 4, True)),
        ({"down": (4, 320)}, Dims(None, 320, 4)),
        ({"up": (640, 4)}, Dims(640, None, 4)),
        ({"down": (), "up": ()}, Dims(None, None, None)),
        ({"embedding_down": (4, 1000), "embedding_up": (64, 4)}, Dims(1000, 64, 4)),
        ({"embedding_down": (4, 1000), "embedding_up": (64, 5)}, Dims(1000, 64, 4, False, True)),
        ({"embedding_down": (4, 1000)}, Dims(1000, None, 4)),
        ({"embedding_down": (4,)}, Dims(None, None, None)),
        ({"hada_w1_a": (640, 4), "hada_w1_b": (4, 320)}, Dims(640, 320, 4)),
        (
            {"hada_w1_a": (4, 640), "hada_w1_b": (4, 320), "hada_t1": (4, 4, 3, 3)},
            Dims(640, 2880, 4, True),
        ),
        ({"hada_w1_a": (640, 4)}, Dims(None, None, None)),
        ({"lokr_w1": (8, 8), "lokr_w2": (80, 40)}, Dims(640, 320, None)),
        ({"lokr_w1": (8, 8), "lokr_w2": (80, 40, 3, 3)}, Dims(640, 2880, None, True)),
        ({"lokr_w1": (8, 8), "lokr_w2_a": (80, 4), "lokr_w2_b": (4, 40)}, Dims(640, 320, 4)),
        (
            {"lokr_w1_a": (8, 2), "lokr_w1_b": (2, 8), "lokr_w2": (80, 40)},
            Dims(640, 320, 2),
        ),
        (
            {
                "lokr_w1": (8, 8),
                "lokr_t2": (4, 4, 3, 3),
                "lokr_w2_a": (4, 80),
                "lokr_w2_b": (4, 40),
            },
            Dims(640, 2880, 4, True),
        ),
        (
            {"lokr_w1": (8, 8), "lokr_w2_a": (80, 4), "lokr_w2_b": (5, 40)},
            Dims(640, 320, 5, False, True),
        ),
        ({"lokr_w1": (8, 8)}, Dims(None, None, None)),
        ({"lokr_w1": (8,), "lokr_w2": (8, 8)}, Dims(None, None, None)),
        ({"lokr_w1_a": (8, 2), "lokr_w2": (8, 8)}, Dims(None, None, None)),
        ({"lokr_w1": (8, 8), "lokr_w2_a": (8,), "lokr_w2_b": (8,)}, Dims(None, None, None)),
        ({"diff": (640, 320)}, Dims(640, 320, None)),
        ({"diff": (640, 320, 3, 3)}, Dims(640, 2880, None, True)),
        ({"diff": (640,)}, Dims(None, None, None)),
        ({"oft_blocks": (4, 160, 160)}, Dims(640, None, None)),
        ({"oft_blocks": (7, 4, 160, 160)}, Dims(640, None, None)),
        ({"oft_blocks": (4,)}, Dims(None, None, None)),
        ({"glora_a2": (16, 320), "glora_b1": (640, 16)}, Dims(640, None, 16)),
        ({"glora_a2": ()}, Dims(None, None, None)),
        ({"ia3_l": (640, 1)}, Dims(None, None, None)),
    ],
)
def test_sizes_are_worked_out(shapes: dict[str, tuple[int, ...]], dims: Dims) -> None:
    assert measure(_roles(**shapes)) == dims
