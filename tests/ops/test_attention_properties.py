"""Whatever options of attention meet: the equation, its gradient, and who reads whom.

Hypothesis draws the options, and lengths around the borders of tiles. Expected are
outputs and gradients in NumPy and float64, by the formulas of Dao et al. 2022,
arXiv:2205.14135, Appendix B.2; and that nothing depends on what may not be read.
"""

import dataclasses

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st

from helpers import BACKEND
from helpers import input_gradients
from helpers import to_numpy
from keras_attention.ops import attend
from keras_attention.ops import chunked
from keras_attention.ops import RelativeBias
from keras_attention.ops.dropout import draw_seed
from keras_attention.ops.dropout import keep_factors

B, H = 2, 4
TILE = (3, 4)  # queries and keys
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9)
TOLERANCE = {"float32": 2e-5, "bfloat16": 0.06, "float16": 0.01}
FEW = settings(
    max_examples=12 if BACKEND == "torch" else 5,  # each shape is compiled
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
MANY = settings(FEW, max_examples=300)


@pytest.fixture(autouse=True, scope="module")
def small_tiles():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunked, "tile_size", lambda lengths, window: TILE)
        patch.setattr(chunked, "size_of_rows", lambda *shapes_and_sides: None)
        yield


@dataclasses.dataclass
class Call:
    """One call of `attend`: arrays that have a gradient, and everything else."""

    learned: dict
    fixed: dict
    options: dict
    dtype: str

    @property
    def lengths(self):
        return self.learned["query"].shape[1], self.learned["key"].shape[1]

    @property
    def num_heads(self):
        return self.learned["query"].shape[2]

    def run(self, *learned, **changes):
        """The output in float32, for the arrays that have a gradient."""
        given = dict(zip(self.learned, learned, strict=True))
        for name in ("query", "key", "value"):
            given[name] = keras.ops.cast(given[name], self.dtype)
        given |= self.fixed | self.options | changes
        if "table" in given:
            given["bias"] = RelativeBias(given.pop("table"), given.get("bias"))
        return keras.ops.cast(attend(**given), "float32")

    def bias(self):
        """What is added to the scores, `(B, N, T, S)`."""
        query_length, key_length = self.lengths
        bias = np.zeros((B, self.num_heads, query_length, key_length))
        if "bias" in {**self.learned, **self.fixed}:
            bias = bias + {**self.learned, **self.fixed}["bias"]
        if "table" in self.learned:
            places = np.arange(key_length) - np.arange(query_length)[:, None]
            bias = bias + self.learned["table"][:, places + query_length - 1, 0]
        return bias

    def reads(self):
        """Which query may read which key, `(B, N, T, S)`."""
        query_length, key_length = self.lengths
        query = np.arange(query_length)[:, None] + self.options.get("offset", 0)
        key = np.arange(key_length)
        allowed = self.bias() > np.finfo("float32").min
        if "mask" in self.fixed:
            mask = self.fixed["mask"]
            missing = (1,) * (4 - mask.ndim)
            allowed &= mask.reshape(len(mask), *missing, *mask.shape[1:])
        if self.options.get("is_causal"):
            allowed &= key <= query
        window = self.options.get("window")
        if window is not None:
            left, right = (window - 1,) * 2 if isinstance(window, int) else window
            allowed &= (key >= query - left) & (key <= query + right)
        return allowed


@st.composite
def calls(draw, dtypes=("float32",)):
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    query_length, key_length = draw(st.tuples(*[st.sampled_from(LENGTHS)] * 2))
    num_heads, num_groups = draw(st.sampled_from([(1, 1), (2, 2), (2, 1), (4, 2)]))
    sizes = {"B": B, "N": num_heads, "T": query_length, "S": key_length, "1": 1}

    def shape(letters):
        return tuple(sizes[letter] for letter in letters)

    learned = {
        "query": rng.normal(size=(B, query_length, num_heads, H)),
        "key": rng.normal(size=(B, key_length, num_groups, H)),
        "value": rng.normal(size=(B, key_length, num_groups, H)),
    }
    fixed, options = {}, {}
    masks = (None, "BS", "1S", "BTS", "BNTS", "1NT1", "B1TS", "BN1S")
    axes = draw(st.sampled_from(masks))
    if axes:
        fixed["mask"] = rng.random(shape(axes)) < draw(st.sampled_from([0.2, 0.7]))
    kind = draw(st.sampled_from([None, "learned", "hides", "table", "table hides"]))
    if kind and "table" in kind:
        learned["table"] = rng.normal(
            size=(num_heads, query_length + key_length - 1, 1)
        )
    axes = draw(st.sampled_from(["TS", "NTS", "BNTS", "1N1S", "B1TS", "S"]))
    if kind == "learned":
        learned["bias"] = rng.normal(size=shape(axes))
    elif kind and "hides" in kind:
        least = draw(st.sampled_from([-np.inf, np.finfo("float32").min]))
        hidden = rng.random(shape(axes)) < 0.5
        fixed["bias"] = np.where(hidden, least, 0.0).astype("float32")
    options["is_causal"] = draw(st.booleans())
    options["window"] = draw(st.sampled_from([None, 1, 2, 5, (0, 2), (3, 1)]))
    options["offset"] = draw(st.sampled_from([0, 0, 1, 4]))
    options["scale"] = draw(st.sampled_from([None, 0.3]))
    options["softcap"] = draw(st.sampled_from([None, None, 1.5]))
    if draw(st.integers(0, 3)) == 0:
        learned["sinks"] = rng.normal(size=num_heads)
    if draw(st.integers(0, 3)) == 0:
        options |= {"dropout": 0.4, "seed": draw(st.integers(-5, 2**32))}
    implementations = [None, "explicit", "chunked"]
    plain = options["softcap"] is None and "sinks" not in learned
    if BACKEND != "tensorflow" and plain and "dropout" not in options:
        implementations.append("fused")
    options["implementation"] = draw(st.sampled_from(implementations))
    learned = {name: x.astype("float32") for name, x in learned.items()}
    return Call(learned, fixed, options, draw(st.sampled_from(dtypes)))


def reference(call, gradient):
    """The output, and the gradients of what is learned, in float64."""
    query, key, value = (
        call.learned[name].astype("float64") for name in ("query", "key", "value")
    )
    groups = call.num_heads // key.shape[2]
    keys, values = (np.repeat(x, groups, axis=2) for x in (key, value))
    scale = call.options["scale"] or H**-0.5
    scores = np.einsum("btnh,bsnh->bnts", query, keys) * scale
    slope, cap = 1.0, call.options["softcap"]
    if cap is not None:
        bounded = np.tanh(scores / cap)
        scores, slope = cap * bounded, 1 - bounded**2
    allowed = call.reads()
    exponentials = np.exp(np.where(allowed, scores + call.bias(), -np.inf))
    total = exponentials.sum(-1, keepdims=True)
    sinks = np.zeros((call.num_heads, 1, 1))
    if "sinks" in call.learned:
        sinks = np.exp(call.learned["sinks"].astype("float64"))[:, None, None]
        total = total + sinks
    total = np.where(total == 0, 1.0, total)
    weights = exponentials / total
    factors = factors_of(call, weights.shape)
    output = np.einsum("bnts,bsnh->btnh", weights * factors, values)
    of_weights = np.einsum("btnh,bsnh->bnts", gradient, values) * factors
    means = (weights * of_weights).sum(-1, keepdims=True)
    of_scores = weights * (of_weights - means)
    of_products = of_scores * slope * scale
    found = {
        "query": np.einsum("bnts,bsnh->btnh", of_products, keys),
        "key": in_groups(np.einsum("bnts,btnh->bsnh", of_products, query), key.shape),
        "value": in_groups(
            np.einsum("bnts,btnh->bsnh", weights * factors, gradient), value.shape
        ),
    }
    if "bias" in call.learned:
        found["bias"] = sum_to(of_scores, call.learned["bias"].shape)
    if "table" in call.learned:
        query_length, key_length = call.lengths
        found["table"] = np.stack(
            [
                np.trace(of_scores.sum(0), place, axis1=1, axis2=2)
                for place in range(1 - query_length, key_length)
            ],
            axis=1,
        )[:, :, None]
    if "sinks" in call.learned:
        found["sinks"] = -(sinks / total * means).sum((0, 2, 3))
    return output, [found[name] for name in call.learned]


def factors_of(call, shape):
    if "dropout" not in call.options:
        return 1.0
    rows = np.arange(np.prod(shape[:3]), dtype="int32").reshape(*shape[:3], 1)
    columns = np.arange(shape[3], dtype="int32")
    seed = draw_seed(call.options["seed"])
    return to_numpy(keep_factors(seed, call.options["dropout"], rows, columns))


def in_groups(x, shape):
    """Adds up what the query heads of a group give to their one key head."""
    return x.reshape(*shape[:3], -1, H).sum(3)


def sum_to(x, shape):
    """Adds up what was broadcast."""
    x = x.sum(tuple(range(x.ndim - len(shape))))
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return x.sum(axes, keepdims=True)


def check_the_equation(call):
    shape = call.learned["query"].shape
    gradient = np.random.default_rng(1).normal(size=shape).astype("float32")
    expected, expected_gradients = reference(call, gradient)
    arrays = list(call.learned.values())
    tolerance = TOLERANCE[call.dtype]
    output = to_numpy(call.run(*arrays))
    np.testing.assert_allclose(output, expected, rtol=tolerance, atol=tolerance)
    empty = ~call.reads().any(-1).transpose(0, 2, 1)
    assert not output[empty].any()
    weight = keras.ops.convert_to_tensor(gradient)
    found = input_gradients(lambda *arrays: call.run(*arrays) * weight, *arrays)
    for name, one, other in zip(call.learned, found, expected_gradients, strict=True):
        np.testing.assert_allclose(
            one, other, rtol=4 * tolerance, atol=4 * tolerance, err_msg=name
        )


def check_the_unread(call, seed):
    """One query, and other numbers in all keys and values that it may not read."""
    rng = np.random.default_rng(seed)
    b, n, t = (rng.integers(size) for size in (B, call.num_heads, call.lengths[0]))
    group = n // (call.num_heads // call.learned["key"].shape[2])
    hidden = ~call.reads()[b, n, t]

    def read(*arrays):
        return call.run(*arrays)[b, t, n]

    others = {name: x.copy() for name, x in call.learned.items()}
    for name in ("key", "value"):
        others[name][b, hidden, group] = 50 * rng.normal(size=(hidden.sum(), H))
    results = []
    for arrays in (call.learned, others):
        output = to_numpy(read(*arrays.values()))
        results.append([output, *input_gradients(read, *arrays.values())])
    for name, one, other in zip(("output", *call.learned), *results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, err_msg=name)
    of_key, of_value = results[0][2:4]
    assert not of_key[b, hidden, group].any() and not of_value[b, hidden, group].any()


def check_more_keys(call):
    """Padding behind the keys, and more sequences, leave all as it is."""
    if not {"bias", "table"}.isdisjoint({**call.learned, **call.fixed}):
        return
    query_length, key_length = call.lengths
    more = {"query": 0, "key": 3, "value": 3}
    learned = [
        np.pad(x, [(0, 1), (0, more[name]), (0, 0), (0, 0)], mode="constant")
        if name in more
        else x
        for name, x in call.learned.items()
    ]
    mask = np.zeros((B + 1, 1, query_length, key_length + 3), bool)
    given = call.fixed.get("mask", np.ones((1, key_length), bool))
    given = given.reshape(len(given), *(1,) * (4 - given.ndim), *given.shape[1:])
    shape = (B, given.shape[1], query_length, key_length)
    mask = np.broadcast_to(mask, (B + 1, given.shape[1], *mask.shape[2:])).copy()
    mask[:B, :, :, :key_length] = np.broadcast_to(given, shape)
    expected = to_numpy(call.run(*call.learned.values()))
    found = to_numpy(call.run(*learned, mask=mask))
    np.testing.assert_allclose(found[:B], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.compiles_much
@FEW
@given(calls())
def test_output_and_gradients_are_those_of_the_equation(call):
    check_the_equation(call)


@pytest.mark.compiles_much
@FEW
@given(calls(), st.integers(0, 9))
def test_what_a_query_may_not_read_does_not_matter(call, seed):
    check_the_unread(call, seed)


@pytest.mark.compiles_much
@FEW
@given(calls())
def test_padding_and_other_sequences_do_not_matter(call):
    check_more_keys(call)


@pytest.mark.slow
@MANY
@given(calls(("float32", "float32", "bfloat16", "float16")))
def test_many_calls_give_the_equation(call):
    check_the_equation(call)


@pytest.mark.slow
@MANY
@given(calls(), st.integers(0, 9))
def test_in_many_calls_the_unread_does_not_matter(call, seed):
    check_the_unread(call, seed)
    check_more_keys(call)
