"""The tools of the tests say what they promise, on each backend."""

import keras
import numpy as np
import pytest

from helpers import input_gradients
from helpers import run_in_fresh_process
from helpers import to_numpy
from helpers import weight_gradients


def test_to_numpy_reaches_into_structures():
    found = to_numpy({"a": [keras.ops.ones((2, 3))], "b": keras.ops.zeros(4)})
    assert isinstance(found["b"], np.ndarray)
    assert found["a"][0].shape == (2, 3)


def test_input_gradients_of_a_product_are_the_other_factor():
    left, right = np.array([2.0, 3.0], "float32"), np.array([5.0, 7.0], "float32")
    by_left, by_right = input_gradients(lambda a, b: a * b, left, right)
    np.testing.assert_allclose(by_left, [5.0, 7.0])
    np.testing.assert_allclose(by_right, [2.0, 3.0])


def test_weight_gradients_tell_a_weight_that_does_not_act():
    used = keras.Variable([2.0, 3.0])
    unused = keras.Variable([1.0])
    by_used, by_unused = weight_gradients(lambda: used * used, [used, unused])
    np.testing.assert_allclose(by_used, [4.0, 6.0])
    np.testing.assert_allclose(by_unused, [0.0])


def test_each_test_draws_the_same_numbers(rng):
    """The numbers are those that come right after setting the seed."""
    drawn = to_numpy(keras.random.uniform((2,), seed=keras.random.SeedGenerator()))
    keras.utils.set_random_seed(1234)
    again = to_numpy(keras.random.uniform((2,), seed=keras.random.SeedGenerator()))
    np.testing.assert_array_equal(drawn, again)
    assert rng.random() == np.random.default_rng(1234).random()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_a_policy_set_in_one_test_does_not_reach_the_next(policy):
    assert keras.config.dtype_policy().name == "float32"
    keras.config.set_dtype_policy(policy)


def test_a_fresh_process_prints_back():
    printed = run_in_fresh_process("import sys\nprint('keras' in sys.modules)")
    assert printed == "False\n"


def test_a_failure_in_a_fresh_process_is_told():
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run_in_fresh_process("1 / 0")
