"""Products of few rows that are shared among threads are the products."""

import numpy as np
import pytest

from helpers import BACKEND

if BACKEND != "torch":
    pytest.skip("the steps of PyTorch", allow_module_level=True)

import torch

from keras_attention.backend import torch_steps

D, C = 6, 11  # three parts of three columns, and two columns left over


@pytest.fixture
def few_columns(monkeypatch):
    monkeypatch.setattr(torch_steps, "MANY_WEIGHTS", 1)
    monkeypatch.setattr(torch_steps, "FEWEST_COLUMNS", 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    if not torch.backends.mkl.is_available():
        pytest.skip("PyTorch without MKL")


def trace(product, rows, *weights):
    """A traced step that multiplies, and the names of what it calls."""
    weights = [torch.nn.Parameter(weight) for weight in weights]

    def step(number, x):
        return product(x, *weights)

    with torch.no_grad():
        traced = torch_steps.TracedStep(lambda x: x.sum() < 1e9, step, (0, rows))
    called = {
        getattr(node.target, "__name__", "") for node in traced._module.graph.nodes
    }
    return traced, weights, called


@pytest.mark.parametrize("num_rows", [1, 2, 8, 32, 33])
@pytest.mark.parametrize("across", [False, True], ids=["along", "across"])
@pytest.mark.parametrize("with_bias", [False, True], ids=["", "bias"])
def test_a_product_in_parts_is_the_product(
    rng, few_columns, num_rows, across, with_bias
):
    x = torch.from_numpy(rng.normal(size=(num_rows, D)).astype("float32"))
    kernel = torch.from_numpy(rng.normal(size=(D, C)).astype("float32"))
    bias = torch.from_numpy(rng.normal(size=(C,)).astype("float32"))

    def product(x, kernel, bias):
        kernel = kernel.t() if across else kernel
        return torch.addmm(bias, x, kernel) if with_bias else torch.mm(x, kernel)

    stored = kernel.t().contiguous() if across else kernel
    traced, weights, called = trace(product, x, stored, bias)
    expected = x.numpy() @ kernel.numpy() + with_bias * bias.numpy()
    for factor in (1.0, 2.0):  # views of the weights: they follow when these change
        _, found = traced(torch.tensor(0), x)
        assert found.is_contiguous()
        np.testing.assert_allclose(found.detach().numpy(), factor * expected, atol=1e-5)
        with torch.no_grad():
            for weight in weights:
                weight.mul_(2.0)
    if num_rows > torch_steps.FEW_ROWS:
        assert not called & {"_multiply_in_parts", "_multiply_across"}
    elif across and num_rows in torch_steps.ROWS_ACROSS:
        assert "_multiply_across" in called
    else:
        assert "_multiply_in_parts" in called


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_other_dtypes_are_left_as_they_are(rng, few_columns, dtype):
    dtype = getattr(torch, dtype)
    x, kernel = torch.ones((1, D), dtype=dtype), torch.ones((D, C), dtype=dtype)
    traced, _, called = trace(torch.mm, x, kernel)
    assert not called & {"_multiply_in_parts", "_multiply_across"}
    assert traced(torch.tensor(0), x)[1].dtype == dtype
