"""Biases read from a table of distances, and queries that follow other keys."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers import BACKEND
from helpers import input_gradients
from helpers import to_numpy
from keras_attention.ops import attend
from keras_attention.ops import chunked
from keras_attention.ops import fused
from keras_attention.ops import relative
from keras_attention.ops import relative_shift
from keras_attention.ops import RelativeBias
from ops.cases import N
from ops.cases import random_bias
from ops.cases import reference
from ops.cases import S
from ops.cases import tensors

IMPLEMENTATIONS = ["explicit", "chunked"] + ["fused"] * (BACKEND == "torch")
# T queries, and the offset of the first.
OFFSETS = {"the last ones": (5, 2), "one": (1, 4), "some beyond": (9, 3)}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles of three queries and four keys; of a grid, of whole rows."""
    monkeypatch.setattr(chunked, "tile_size", lambda lengths, window: (3, 4))


def by_loops(table, query_length, key_length):
    """The bias `(N, T, S)`, number by number."""
    width = (table.shape[2] + 1) // 2
    bias = np.zeros((table.shape[0], query_length, key_length))
    for t in range(query_length):
        for s in range(key_length):
            row = s // width - t // width + query_length // width - 1
            bias[:, t, s] = table[:, row, s % width - t % width + width - 1]
    return bias


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("options", [{}, {"window": (2, 1)}], ids=str)
@pytest.mark.parametrize("place", OFFSETS)
def test_queries_that_follow_other_keys(place, options, implementation, rng):
    """They read as the last of a longer sequence of queries."""
    query_length, offset = OFFSETS[place]
    inputs = tensors(rng, query_length, num_key_heads=2)
    before = np.zeros((inputs[0].shape[0], offset, *inputs[0].shape[2:]))
    query = np.concatenate([before, inputs[0]], axis=1)
    for is_causal in (True, False):
        expected, _ = reference(query, *inputs[1:], is_causal=is_causal, **options)
        given = {"is_causal": is_causal, "offset": offset, **options}
        output = attend(*inputs, **given, implementation=implementation)
        np.testing.assert_allclose(to_numpy(output), expected[:, offset:], atol=1e-5)


def test_an_offset_may_be_known_at_run_time_only(rng):
    inputs = tensors(rng, 5, num_key_heads=2)
    options = {"is_causal": True, "window": (3, 0)}
    expected = attend(*inputs, **options, offset=2)
    for implementation in ("explicit", "chunked"):
        output = attend(
            *inputs,
            **options,
            offset=ops.convert_to_tensor(2, "int32"),
            implementation=implementation,
        )
        np.testing.assert_allclose(to_numpy(output), to_numpy(expected), atol=1e-5)


TABLES = {
    "more keys": (5, 7, (N, 11, 1)),
    "more queries": (9, 7, (N, 15, 1)),
    "one query": (1, 7, (N, 7, 1)),
    "all heads alike": (5, 7, (1, 11, 1)),
    "a grid": (6, 6, (N, 3, 5)),
    "a grid of other rows": (6, 10, (N, 7, 3)),
    "a grid of one row": (4, 4, (1, 1, 7)),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_gives_what_its_bias_gives(case, rng):
    """In each implementation, forward and for the gradients; and so do its parts."""
    query_length, key_length, shape = TABLES[case]
    table = rng.normal(size=shape).astype("float32")
    query, key, value = tensors(rng, query_length, num_key_heads=2)
    key, value = (rng.normal(size=(8, key_length, *x.shape[2:])) for x in (key, value))
    inputs = [query, key.astype("float32"), value.astype("float32")]
    bias = by_loops(table, query_length, key_length)
    found = to_numpy(RelativeBias(table).whole(query_length, key_length))
    np.testing.assert_array_equal(found[0], bias.astype("float32"))
    expected, _ = reference(*inputs, bias=bias)
    output_gradient = ops.convert_to_tensor(rng.normal(size=expected.shape), "float32")

    def call(*tensors, implementation):
        *tensors, table = tensors
        bias = RelativeBias(table)
        output = attend(*tensors, bias=bias, implementation=implementation)
        return output * output_gradient

    gradients = {}
    for implementation in ("explicit", "chunked"):

        def run(*tensors, implementation=implementation):
            return call(*tensors, implementation=implementation)

        output = to_numpy(run(*inputs, table)) / to_numpy(output_gradient)
        np.testing.assert_allclose(output, expected, atol=1e-4)
        gradients[implementation] = input_gradients(run, *inputs, table)
    for one, other in zip(*gradients.values(), strict=True):
        assert one.any() or key_length == 1
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize(
    "options",
    [{"is_causal": True}, {"window": (2, 1)}, {"dropout": 0.3, "seed": 1}],
    ids=str,
)
def test_a_table_goes_with_other_options_and_another_bias(options, rng):
    inputs = tensors(rng, 5, num_key_heads=2)
    table = rng.normal(size=(N, 5 + S - 1, 1)).astype("float32")
    rest = random_bias(rng, "BNTS", 5)

    def call(*tensors, implementation):
        *tensors, table, rest = tensors
        bias = relative.add_biases(rest, RelativeBias(table))
        return attend(*tensors, bias=bias, **options, implementation=implementation)

    results = [
        input_gradients(
            lambda *x, way=way: call(*x, implementation=way), *inputs, table, rest
        )
        for way in ("explicit", "chunked")
    ]
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_table_that_is_not_learned_has_no_gradient(monkeypatch, rng):
    monkeypatch.setattr(chunked.Tiles, "of_table", None)
    inputs = tensors(rng, 5, num_key_heads=2)
    table = rng.normal(size=(N, 5 + S - 1, 1)).astype("float32")

    def call(*tensors):
        bias = RelativeBias(table, is_learned=False)
        return attend(*tensors, bias=bias, implementation="chunked")

    assert all(np.isfinite(x).all() for x in input_gradients(call, *inputs))


def test_a_long_table_is_read_tile_by_tile(monkeypatch, rng):
    """No implementation is asked for; a tensor of T x S would be an error."""
    monkeypatch.setattr(relative, "MOST_OF_WHOLE", 10)
    monkeypatch.setattr(relative.RelativeBias, "whole", None)
    inputs = tensors(rng, 5, num_key_heads=2)
    table = rng.normal(size=(N, 5 + S - 1, 1)).astype("float32")
    expected, _ = reference(*inputs, bias=by_loops(table, 5, S))
    output = attend(*inputs, bias=RelativeBias(table))
    np.testing.assert_allclose(to_numpy(output), expected, atol=1e-5)


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch's kernel takes some rows")
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("shape", [(N, 15, 1), (1, 7, 3)])
def test_a_kernel_reads_a_long_table_for_some_queries_at_a_time(
    shape, is_causal, monkeypatch, rng
):
    monkeypatch.setattr(relative, "MOST_OF_WHOLE", 10)
    monkeypatch.setattr(fused, "BIAS_OF_ROWS", 8 * N * 8 * 3)
    query, key, value = (rng.normal(size=(8, 8, N, 4)).astype("float32"),) * 3
    table = rng.normal(size=shape).astype("float32")
    rest = rng.normal(size=(8, 8)).astype("float32")
    mask = rng.random((8, 8, 8)) < 0.7
    options = {"is_causal": is_causal, "mask": mask}

    def call(way, *tensors):
        *tensors, table, rest = tensors
        bias = RelativeBias(table, rest)
        return attend(*tensors, bias=bias, **options, implementation=way) ** 2

    inputs = (query, key, value, table, rest)
    outputs = [to_numpy(call(way, *inputs)) for way in ("explicit", None)]
    np.testing.assert_allclose(*outputs, atol=1e-5)
    gradients = [
        input_gradients(lambda *x, way=way: call(way, *x), *inputs)
        for way in ("explicit", None)
    ]
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize("shape", [(N, 12, 1), (N, 11), (2, 11, 1), (N, 11, 2)])
def test_a_table_of_another_shape(shape, rng):
    inputs = tensors(rng, 5, num_key_heads=2)
    with pytest.raises(ValueError, match=r"T \+ S - 1.*Received: table.shape=\("):
        attend(*inputs, bias=RelativeBias(np.zeros(shape, "float32")))


def test_a_shift_reads_distances_in_the_order_of_keys(rng):
    x = rng.normal(size=(2, 3, 4, 4 + 6 - 1)).astype("float32")
    shifted = to_numpy(relative_shift(x, 6))
    for t in range(4):
        np.testing.assert_array_equal(shifted[..., t, :], x[..., t, 3 - t : 9 - t])
    one = relative_shift(x[..., :1, :], 9)
    np.testing.assert_array_equal(to_numpy(one), x[..., :1, :])
    assert keras.ops.is_tensor(one)


@pytest.mark.parametrize("length, key_length", [(7, 9), (6, 4), (2, 5), (0, 3)])
def test_some_queries_at_a_time_give_what_all_do(rng, monkeypatch, length, key_length):
    query = rng.normal(size=(2, length, 3, 4)).astype("float32")
    distances = rng.normal(size=(length + key_length - 1, 3, 4)).astype("float32")
    expected = relative.distance_products(query, distances, key_length)
    for t in range(length):
        for s in range(key_length):
            product = np.einsum(
                "bnh,nh->bn", query[:, t], distances[s - t + length - 1]
            )
            np.testing.assert_allclose(
                to_numpy(expected)[:, :, t, s], product, atol=1e-5
            )
    monkeypatch.setattr(relative, "QUERIES_AT_A_TIME", 3)
    found = relative.distance_products(query, distances, key_length)
    np.testing.assert_allclose(to_numpy(found), to_numpy(expected), atol=1e-5)
