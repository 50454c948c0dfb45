"""Every layer trains, and drops in training only."""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from helpers import weight_gradients
from layers.layer_table import FULL_ROWS
from layers.layer_table import LOOPS
from layers.layer_table import randomize
from layers.layer_table import ROWS
from layers.layer_table import SIZES

# What is dropped, by the name of the argument, also in the layers passed to a layer.
RATES = ("dropout", "attention_dropout", "mlp_dropout", "drop_path", "rate")


def drops(row):
    return any(row.arguments().get(name) for name in RATES)


by_name = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
full_by_name = pytest.mark.parametrize("row", FULL_ROWS, ids=lambda row: row.name)
dropping_by_name = pytest.mark.parametrize(
    "row", [row for row in ROWS if drops(row)], ids=lambda row: row.name
)


@full_by_name
def test_one_step_of_fit_changes_every_weight(row):
    """With every rate above zero; Keras compiles the step where it can."""
    layer = row.make()
    tensors = row.symbolic(("B",))
    output = row.call(layer, tensors)
    if row.outputs[0][0] == "1":  # a bias, the same for all samples
        query = next(iter(tensors.values()))
        output = output + 0 * keras.ops.sum(query, axis=(1, 2))[:, None, None, None]
    # With a layer behind, so that layers without weights have something to train.
    model = keras.Model(tensors, keras.layers.Dense(2)(output))
    randomize(layer)
    before = layer.get_weights()
    model.compile(keras.optimizers.SGD(1.0), loss="mse")
    # So many samples that no branch is dropped for all of them.
    arrays = row.arrays(B=16)
    shape = (16, *model.output_shape[1:])
    target = np.random.default_rng(0).standard_normal(shape)
    history = model.fit(arrays, target, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    for weight, old, new in zip(
        layer.weights, before, layer.get_weights(), strict=True
    ):
        assert np.isfinite(new).all(), weight.path
        if weight.trainable:
            assert np.abs(new - old).max() > 0, weight.path


LOOPING = [row for row in ROWS if row.name in LOOPS]


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="Its loops need a bound for XLA.")
@pytest.mark.parametrize("row", LOOPING, ids=lambda row: row.name)
def test_loops_train_where_xla_compiles(row):
    """As Keras lets TensorFlow do on a GPU by itself."""
    model = row.model()
    model.compile("sgd", loss="mse", jit_compile=True)
    arrays = row.arrays()
    target = np.zeros((SIZES["B"], *model.output_shape[1:]))
    before = model.get_weights()
    history = model.fit(arrays, target, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert any(
        np.abs(a - b).max() > 0
        for a, b in zip(before, model.get_weights(), strict=True)
    )


@by_name
def test_the_gradient_reaches_every_trainable_weight(row):
    layer, arrays = row.make(), row.arrays()
    output = row.call(layer, arrays)
    if not layer.trainable_weights:
        return
    randomize(layer)
    direction = np.random.default_rng(0).standard_normal(output.shape)
    direction = keras.ops.convert_to_tensor(direction.astype("float32"))
    gradients = weight_gradients(
        lambda: row.call(layer, arrays, training=False) * direction,
        layer.trainable_weights,
    )
    for weight, gradient in zip(layer.trainable_weights, gradients, strict=True):
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 1e-6, weight.path


@dropping_by_name
def test_dropout_changes_training_and_nothing_else(row):
    """At inference a layer gives what it gives without any rate."""
    layer, arrays = row.make(), row.arrays()
    row.call(layer, arrays)
    randomize(layer)
    arguments = row.arguments()
    without = row.cls(**{**arguments, **{n: 0.0 for n in RATES if n in arguments}})
    row.call(without, arrays)
    without.set_weights(layer.get_weights()[: len(without.weights)])
    trainable = zip(without.trainable_weights, layer.trainable_weights, strict=True)
    for one, other in trainable:
        one.assign(other.value)
    expected = to_numpy(row.call(without, arrays))
    for asked in (False, True) if row.gives_weights else (False,):
        found = row.call(layer, arrays, weights=asked, training=False)
        found = to_numpy(found[0] if asked else found)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    trained = [to_numpy(row.call(layer, arrays, training=True)) for _ in range(5)]
    assert np.abs(trained[0] - expected).max() > 1e-3
    assert np.ptp(trained, axis=0).max() > 1e-3


@dropping_by_name
def test_a_seed_makes_training_repeatable(row):
    arrays, outputs = row.arrays(), []
    for _ in range(2):
        layer = row.make()
        row.call(layer, arrays)
        randomize(layer)
        outputs.append(to_numpy(row.call(layer, arrays, training=True)))
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.gives_weights], ids=lambda row: row.name
)
def test_asking_for_the_weights_keeps_the_output(row):
    """Whatever implementation runs without them."""
    layer, arrays = row.make(), row.arrays()
    row.call(layer, arrays)
    randomize(layer)
    output, *_ = row.call(layer, arrays, weights=True)
    np.testing.assert_allclose(
        to_numpy(output), to_numpy(row.call(layer, arrays)), rtol=1e-5, atol=1e-5
    )
