"""Products with weights, which few tokens read in blocks, against NumPy."""

import numpy as np
import pytest
from keras import ops

from helpers import BACKEND
from helpers import input_gradients
from helpers import to_numpy
from keras_attention.backend import projection
from keras_attention.ops import project
from keras_attention.ops import project_to_table

IN_BLOCKS = BACKEND != "torch"


def close(found, expected):
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5, atol=1e-5)


def draw(rng, *shape):
    return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype("float32")


@pytest.mark.parametrize(
    ("leading", "rows", "columns", "in_blocks"),
    [
        ((1, 1), 512, 520, IN_BLOCKS),
        ((1,), 512, 520, IN_BLOCKS),
        ((1, 1), 520, 520, False),  # no whole blocks
        ((1, 1), 64, 80, False),  # few weights
        ((1, 2), 512, 520, False),
    ],
)
def test_a_projection_is_a_product(rng, monkeypatch, leading, rows, columns, in_blocks):
    calls = []
    blocks = projection._project_token
    monkeypatch.setattr(
        projection, "_project_token", lambda *x: calls.append(1) or blocks(*x)
    )
    x, kernel = draw(rng, *leading, rows), draw(rng, rows, columns)
    bias = draw(rng, columns)
    close(project(*map(ops.convert_to_tensor, (x, kernel, bias))), x @ kernel + bias)
    assert len(calls) == in_blocks
    close(project(*map(ops.convert_to_tensor, (x, kernel))), x @ kernel)
    by_x, by_kernel, by_bias = input_gradients(project, x, kernel, bias)
    close(by_x, np.broadcast_to(kernel.sum(axis=1), x.shape))
    total = x.reshape(-1, rows).sum(axis=0)
    close(by_kernel, np.repeat(total[:, None], columns, axis=1))
    close(by_bias, np.full(columns, np.prod(leading), "float32"))


@pytest.mark.parametrize(
    ("leading", "size", "in_blocks"),
    [
        ((2, 1), 602, IN_BLOCKS),
        ((4, 4), 603, IN_BLOCKS),
        ((3,), 29 * 31, IN_BLOCKS),
        ((2, 1), 601, False),  # a prime number
        ((1, 1), 602, False),
        ((1, 17), 602, False),
    ],
)
def test_a_table_is_read_in_reverse(rng, monkeypatch, leading, size, in_blocks):
    calls = []
    is_taken = projection._takes_blocks
    monkeypatch.setattr(
        projection, "_takes_blocks", lambda *x: calls.append(is_taken(*x)) or calls[-1]
    )
    x, table = draw(rng, *leading, 448), draw(rng, size, 448)
    close(project_to_table(*map(ops.convert_to_tensor, (x, table))), x @ table.T)
    assert any(calls) == in_blocks
    by_x, by_table = input_gradients(project_to_table, x, table)
    close(by_x, np.broadcast_to(table.sum(axis=0), x.shape))
    total = x.reshape(-1, 448).sum(axis=0)
    close(by_table, np.repeat(total[None], size, axis=0))
