"""Sizes of base modules, from the shapes of every algorithm's tensors."""

from __future__ import annotations

import pytest

from lorary.anatomy.keys.tensor_names import SUFFIXES
from lorary.anatomy.modules.shapes import RULES, Dims, measure
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
        ({"oft_blocks": (40, 16, 16)}, Dims(640, None, 16)),
        ({"oft_diag": (40, 16, 16)}, Dims(640, None, 16)),
        ({"oft_blocks": (7, 4, 160, 160)}, Dims(640, None, None)),
        ({"oft_blocks": (4,)}, Dims(None, None, None)),
        ({"glora_b1": (640, 16), "glora_b2": (16, 320)}, Dims(640, 320, 16)),
        ({"glora_b1": (640, 16, 1, 1), "glora_b2": (16, 320, 3, 3)}, Dims(640, 2880, 16, True)),
        ({"glora_b2": ()}, Dims(None, None, None)),
        ({"down": (4, 320), "part_up": (900, 4)}, Dims(None, 320, 4)),
        ({"down": (4, 320), "part_up": (900, 8)}, Dims(None, 320, 4, False, True)),
        ({"part_down": (4, 320), "up": (640, 4)}, Dims(640, None, 4)),
        ({"down": (12, 320), "up": (640, 12), "singular": (12, 1)}, Dims(640, 320, None)),
    ],
)
def test_sizes_are_worked_out(shapes: dict[str, tuple[int, ...]], dims: Dims) -> None:
    assert measure(_roles(**shapes)) == dims


@pytest.mark.parametrize(
    ("shapes", "dims"),
    [
        ({"oft_r": (8, 28)}, Dims(None, 64, None)),
        ({"oft_r": (8, 29)}, Dims(None, None, None)),  # no triangle
        ({"oft_r": (1, 28)}, Dims(None, None, None)),  # shared by all blocks
        ({"oft_r": (8, 8, 8)}, Dims(None, None, None)),  # of older versions, padded
        ({"oft_r": (8, 0)}, Dims(None, None, None)),
        ({"boft_r": (2, 16, 4, 4), "boft_s": (96, 1)}, Dims(96, 64, None)),
        ({"boft_r": (2, 16, 4, 4), "boft_s": (1, 96)}, Dims(96, 64, None)),
        ({"boft_s": (96, 1)}, Dims(96, None, None)),
        ({"ia3_l": (640, 1)}, Dims(640, None, None)),
        ({"ia3_l": (1, 320)}, Dims(None, 320, None)),
        ({"ia3_l": (1, 320, 1, 1)}, Dims(None, None, None)),
        ({"glora_A.Xd": (96, 8), "glora_A.Xu": (8, 64)}, Dims(96, 64, 8)),
        ({"gralora_A": (2, 32, 8), "gralora_B": (2, 8, 48)}, Dims(96, 64, 8)),
        ({"gralora_A": (2, 32, 8), "gralora_B": (2, 4, 48)}, Dims(96, 64, 8, False, True)),
        ({"gralora_A": (2, 32)}, Dims(None, None, None)),
        ({"poly_lora_A": (2, 3, 32, 4), "poly_lora_B": (2, 3, 4, 48)}, Dims(96, 64, 4)),
        ({"poly_lora_A": (2, 3, 32, 4)}, Dims(None, 64, 4)),
        ({"poly_lora_A": (2,)}, Dims(None, None, None)),
        ({"vera_lambda_b": (96,), "vera_lambda_d": (8,)}, Dims(96, None, 8)),
        ({"pvera_lambda_b": (96,), "pvera_lambda_d": (16,)}, Dims(96, None, 8)),
        ({"hra_u": (64, 8)}, Dims(None, 64, 8)),
        ({"tlora_q": (4, 32), "tlora_p": (64, 4), "tlora_s": (1, 4)}, Dims(64, 32, 4)),
        ({"tlora_q": (4, 32, 1, 1), "tlora_p": (64, 4, 1, 1)}, Dims(64, None, 4)),
        ({"hra_u": (64,)}, Dims(None, None, None)),
        ({"miss_block": (8, 96)}, Dims(None, None, 8)),
        ({"miss_block": (12, 8, 8)}, Dims(96, None, 8)),
        ({"bone_block": (8, 96)}, Dims(None, None, 8)),
        ({"miss_block": (8,)}, Dims(None, None, None)),
        ({"randlora_lambda": (4, 16), "randlora_gamma": (16, 64)}, Dims(None, None, 4)),
        ({"randlora_lambda": (4,)}, Dims(None, None, None)),
        ({"vblora_logits_A": (4, 4, 16)}, Dims(None, None, 4)),
        ({"vblora_logits_A_topk_indices": (4, 4, 2)}, Dims(None, None, 4)),
        ({"vblora_logits_A": (4,)}, Dims(None, None, None)),
        ({"psoft_R.vector_a": (8,), "psoft_R": (28,)}, Dims(None, None, 8)),
        ({"psoft_R": (28,)}, Dims(None, None, 8)),
        ({"psoft_R": (8, 8)}, Dims(None, None, 8)),
        ({"psoft_R": ()}, Dims(None, None, None)),
        ({"c3a_kernel": (6, 4, 16)}, Dims(96, 64, None)),
        ({"c3a_kernel": (6, 4)}, Dims(None, None, None)),
        ({"osf_svd_params.U_low": (96, 8), "osf_svd_params.V_low": (8, 64)}, Dims(96, 64, None)),
        ({"hira_A": (8, 64), "hira_B": (96, 8)}, Dims(96, 64, 8)),
        ({"delora_A": (8, 64), "delora_B": (96, 8)}, Dims(96, 64, 8)),
        ({"deft_P": (96, 8), "deft_R": (8, 64)}, Dims(96, 64, 8)),
        ({"deft_P": (96, 8)}, Dims(96, None, 8)),
        ({"shira_weight": (512,), "shira_indices": (2, 512)}, Dims(None, None, None)),
        ({"fourierft_spectrum": (1000,)}, Dims(None, None, None)),
        ({"w_norm": (640,)}, Dims(None, None, None)),
        ({"prompt": (4, 64)}, Dims(None, None, None)),
    ],
)
def test_sizes_of_peft_methods_are_worked_out(
    shapes: dict[str, tuple[int, ...]], dims: Dims
) -> None:
    assert measure(_roles(**shapes)) == dims


@pytest.mark.parametrize("shape", [(), (0,), (0, 0), (3,), (2, 2, 2), (1, 2, 3, 4, 5), (1,) * 8])
def test_no_shape_is_too_odd(shape: tuple[int, ...]) -> None:
    names = {role.name for role in SUFFIXES.values()} | set(RULES)
    for name in names:
        measure(_roles(**{name: shape}))
        measure(_roles(**dict.fromkeys(names, shape)) | _roles(**{name: (4, 4)}))
