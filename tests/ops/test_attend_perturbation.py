"""No key influences a query that may not read it, and every other key does.

Each of the S keys is changed in turn, with its value; the queries whose output changes
must be exactly those that may read it. That finds a mask, causality or a window that
is forgotten or turned around in any combination of options.
"""

import itertools

import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention.ops import attend
from ops.cases import combine
from ops.cases import distance_scores
from ops.cases import N
from ops.cases import random_bias
from ops.cases import random_sinks
from ops.cases import reads
from ops.cases import S
from ops.cases import shape_of
from ops.cases import SIZES
from ops.cases import tensors

# One sequence, so that all copies of it share its mask.
MASK_AXES = ("1S", "1TS", "1NTS", "1NT1", "11TS")
MASKS = {"is_causal": (False, True), "window": (None, 2, (2, 1)), "mask": (False, True)}


def changed_copies(rng, query_length, num_key_heads):
    """S + 1 copies of one sequence: one as it is, then each with one key changed."""
    inputs = tensors(rng, query_length, num_key_heads)
    assert len(inputs[0]) == S + 1
    query, key, value = (np.repeat(x[:1], S + 1, axis=0) for x in inputs)
    s = np.arange(S)
    key[s + 1, s], value[s + 1, s] = (x[s + 1, s] for x in inputs[1:])
    return [query, key, value]


def with_masks(rng, query_length, combinations):
    """Fills in the masks of combinations that ask for one, each form in its turn."""
    axes = itertools.cycle(MASK_AXES)
    for options in combinations:
        mask = None
        if options.pop("mask"):
            mask = rng.random(shape_of(next(axes), query_length)) < 0.7
        yield {**options, "mask": mask}


def check_influence(inputs, options):
    query_length = inputs[0].shape[1]
    output = to_numpy(attend(*inputs, **options))
    change = np.abs(output[1:] - output[:1]).max(-1)  # (S, T, N)
    allowed = reads(
        (1, N, query_length, S),
        **{name: options.get(name) for name in ("mask", "is_causal", "window")},
    )
    allowed = allowed[0].transpose(2, 1, 0)  # (S, T, N)
    assert change[~allowed].max(initial=0) <= 1e-6, options
    assert change[allowed].min(initial=1) > 1e-5, options


@pytest.mark.parametrize("size", SIZES)
def test_a_key_changes_what_may_read_it_and_nothing_else(size, rng):
    query_length, num_key_heads = SIZES[size]
    inputs = changed_copies(rng, query_length, num_key_heads)
    others = {
        "bias": (None, random_bias(rng, "NTS", query_length)),
        "sinks": (None, random_sinks(rng)),
        "softcap": (None, 2.0),
        "score": (None, distance_scores),
    }
    if query_length >= S:  # every combination in one size only, to save time
        others = {name: values[1:] for name, values in others.items()}
    every = combine(**others, **MASKS)
    for options in with_masks(rng, query_length, every):
        check_influence(inputs, options)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="It has no fused attention.")
@pytest.mark.parametrize("size", SIZES)
def test_the_same_in_the_fused_implementation(size, rng):
    query_length, num_key_heads = SIZES[size]
    query, key, _ = changed_copies(rng, query_length, num_key_heads)
    inputs = query, key, key[..., ::-1]  # JAX needs values as wide as keys
    every = combine(bias=(None, random_bias(rng, "NTS", query_length)), **MASKS)
    for options in with_masks(rng, query_length, every):
        check_influence(inputs, {**options, "implementation": "fused"})


def test_dropout_and_asking_for_the_weights_leave_the_masks_as_they_are(rng):
    """One call for each key, since copies in one call would drop other weights."""
    query_length = 5
    queries, keys, values = changed_copies(rng, query_length, num_key_heads=2)
    every = combine(return_attention_scores=(False, True), **MASKS)
    for options in with_masks(rng, query_length, every):
        outputs = []
        for copy in range(S + 1):
            inputs = (x[copy : copy + 1] for x in (queries, keys, values))
            output = attend(*inputs, **options, dropout=0.3, seed=7)
            if options["return_attention_scores"]:
                output, weights = output
            outputs.append(to_numpy(output)[0])
        changed = (np.stack(outputs[1:]) != outputs[0]).any(-1)  # (S, T, N)
        masks = {name: options[name] for name in MASKS}
        allowed = reads((1, N, query_length, S), **masks)
        assert not changed[~allowed[0].transpose(2, 1, 0)].any(), options
        # Where all keys that a query may read are dropped, none changes it.
        assert changed.sum() > 0.5 * allowed.sum(), options
        if options["return_attention_scores"]:
            np.testing.assert_array_equal(to_numpy(weights) > 0, allowed)
