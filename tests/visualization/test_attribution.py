"""Rollout, relevance and head statistics have the values that can be known."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import layers
from keras_attention.layers.recorder import active
from keras_attention.layers.recorder import Recorder
from keras_attention.visualization import attention_maps
from keras_attention.visualization import head_statistics
from keras_attention.visualization import relevance
from keras_attention.visualization import rollout

IDENTITY = np.broadcast_to(np.eye(3), (1, 2, 3, 3))
UNIFORM = np.full((1, 2, 2, 2), 0.5)


def model_of(num_layers=2, name="encoder"):
    block = layers.TransformerEncoderBlock(2, 16)
    tokens = keras.Input((5, 8))
    x = layers.TransformerEncoder(block, num_layers, name=name)(tokens)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(tokens, keras.layers.Dense(4)(x))
    numbers = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(numbers.normal(size=weight.shape, scale=0.4))
    return model


@pytest.mark.once
def test_tokens_that_read_themselves_stay_apart():
    np.testing.assert_array_equal(rollout([IDENTITY] * 4)[0], np.eye(3))


@pytest.mark.once
def test_uniform_attention_mixes_halfway_in_each_layer():
    """(I + A) / 2 = [[3, 1], [1, 3]] / 4, and its square [[10, 6], [6, 10]] / 16."""
    np.testing.assert_allclose(rollout([UNIFORM])[0], [[0.75, 0.25], [0.25, 0.75]])
    twice = np.array([[10, 6], [6, 10]]) / 16
    np.testing.assert_allclose(rollout([UNIFORM] * 2)[0], twice)


@pytest.mark.once
def test_the_last_layer_stands_on_the_left():
    """The first layer moves token 1 to 0, the second reads token 0 from 1."""
    first = np.array([[0.0, 1.0], [0.0, 1.0]])[None, None]
    second = np.array([[1.0, 0.0], [1.0, 0.0]])[None, None]
    found = rollout([first, second])[0]
    np.testing.assert_allclose(found, [[0.5, 0.5], [0.25, 0.75]])


@pytest.mark.once
def test_heads_are_joined_and_small_weights_left_out():
    weights = np.array([[[0.6, 0.4], [0.2, 0.8]], [[0.0, 1.0], [0.5, 0.5]]])[None]
    largest = np.array([[0.6, 1.0], [0.5, 0.8]]) + np.eye(2)
    largest = largest / largest.sum(-1, keepdims=True)
    np.testing.assert_allclose(rollout([weights], join="max")[0], largest, rtol=1e-6)
    kept = np.array([[0.0, 0.7], [0.0, 0.65]]) + np.eye(2)
    kept = kept / kept.sum(-1, keepdims=True)
    np.testing.assert_allclose(rollout([weights], discard=0.5)[0], kept, rtol=1e-6)


def test_rollout_of_a_model_sums_to_one_for_each_sequence(rng):
    maps = attention_maps(model_of(), rng.normal(size=(3, 5, 8)))
    found = rollout(maps)
    assert found.shape == (3, 5, 5)
    np.testing.assert_allclose(found.sum(-1), 1.0, rtol=1e-5)
    assert not np.allclose(found[0], found[1])


@pytest.mark.compiles_much
def test_relevance_follows_its_equation(rng):
    """R = (I + relu(A_2 dA_2)) (I + relu(A_1 dA_1)), dA by finite differences."""
    model, x = model_of(), rng.normal(size=(1, 5, 8)).astype("float32")
    maps = attention_maps(model, x)
    found = relevance(model, x, target=2)

    def answer(layer, place, change):
        probes = [np.zeros(m.weights.shape, "float32") for m in maps.values()]
        probes[layer][place] = change
        with active(Recorder(probes=probes)):
            return to_numpy(model(x, training=False))[0, 2]

    total = np.eye(5)
    for layer, each in enumerate(maps.values()):
        slopes = np.zeros(each.weights.shape)
        for place in np.ndindex(slopes.shape):
            up, down = (answer(layer, place, change) for change in (1e-2, -1e-2))
            slopes[place] = (up - down) / 2e-2
        step = np.maximum(each.weights * slopes, 0).mean(1)[0]
        total = total + step @ total
    np.testing.assert_allclose(found[0], total, atol=2e-4)
    assert (found[0] - np.eye(5)).max() > 4e-3


def test_relevance_is_the_same_on_every_backend():
    """These numbers were computed on each of the three."""
    expected = [
        [1.000226, 0.0, 0.0, 0.000208, 0.0],
        [1.017197, 0.020016, 0.012244, 0.005091, 0.006829],
    ]
    x = np.random.default_rng(1).normal(size=(2, 5, 8)).astype("float32")
    found = relevance(model_of(), x, target=[1, 3])
    np.testing.assert_allclose(found[:, 0], expected, atol=2e-6)


def test_the_target_is_a_class_one_for_each_or_a_function(rng):
    model, x = model_of(), rng.normal(size=(2, 5, 8)).astype("float32")
    best = model.predict(x, verbose=0).argmax(-1)
    by_default = relevance(model, x)
    np.testing.assert_allclose(relevance(model, x, target=best), by_default, atol=1e-6)
    by_function = relevance(model, x, target=lambda outputs: outputs[:, 3])
    np.testing.assert_allclose(relevance(model, x, target=3), by_function, atol=1e-6)
    assert not np.allclose(relevance(model, x, target=1), by_function)


@pytest.mark.parametrize("target", [4, -1, [0, 1, 2], [[0, 1]]])
def test_a_target_that_does_not_fit_is_refused(target, rng):
    with pytest.raises(ValueError, match="must be a class from 0 to 3, or one for eac"):
        relevance(model_of(), rng.normal(size=(2, 5, 8)), target=target)


def test_outputs_that_are_no_classes_need_a_function(rng):
    tokens = keras.Input((5, 8))
    block = layers.TransformerEncoderBlock(2, 16)
    model = keras.Model(tokens, layers.TransformerEncoder(block, 1)(tokens))
    x = rng.normal(size=(2, 5, 8)).astype("float32")
    with pytest.raises(ValueError, match="`target` must be a function of them"):
        relevance(model, x, target=0)
    assert relevance(model, x, target=lambda y: y[:, 0, 0]).shape == (2, 5, 5)


@pytest.mark.compiles_much
def test_what_the_encoder_s_tokens_contribute_to_the_decoder_s(rng):
    source, target = keras.Input((7, 8)), keras.Input((4, 8))
    encoder = layers.TransformerEncoder(layers.TransformerEncoderBlock(2, 16), 2)
    decoder = layers.TransformerDecoder(layers.TransformerDecoderBlock(2, 16), 2)
    model = keras.Model([source, target], decoder(target, encoder(source)))
    inputs = [rng.normal(size=(3, 7, 8)), rng.normal(size=(3, 4, 8))]
    inputs = [x.astype("float32") for x in inputs]
    found = relevance(model, inputs, target=lambda y: keras.ops.sum(y[:, -1] ** 3, -1))
    assert found.shape == (3, 4, 7)
    assert (found >= 0).all() and found[:, -1].any()


@pytest.mark.once
def test_heads_built_by_hand_are_described():
    """The first reads the token before, the second the first, the third all alike."""
    before = np.eye(4, k=-1)
    before[0, 0] = 1.0
    first = np.zeros((4, 4))
    first[:, 0] = 1.0
    heads = np.stack([before, first, np.full((4, 4), 0.25)])[None]
    found = head_statistics([heads])
    np.testing.assert_allclose(found["previous_token"], [[0.75, 0.25, 3 / 16]])
    np.testing.assert_allclose(found["first_token"], [[0.5, 1.0, 0.25]])
    np.testing.assert_allclose(found["same_position"], [[0.25, 0.25, 0.25]])
    np.testing.assert_allclose(found["entropy"], [[0.0, 0.0, 2.0]])
    np.testing.assert_allclose(found["distance"], [[0.75, 1.5, 1.25]])


@pytest.mark.once
def test_queries_that_read_nothing_do_not_count():
    weights = np.array([[1.0, 0.0], [0.0, 0.0]])[None, None]
    assert head_statistics([weights])["same_position"].tolist() == [[1.0]]


@pytest.mark.once
def test_distances_of_a_picture_are_straight_lines():
    """A class token, and two rows of two places: one head reads what is across."""
    weights = np.zeros((1, 1, 5, 5))
    weights[0, 0, :, 0] = 0.5
    for place, read in ((1, 4), (2, 2), (3, 4)):
        weights[0, 0, place, read] = 0.5
    found = head_statistics([weights], grid=(2, 2), num_prefix_tokens=1)["distance"]
    np.testing.assert_allclose(found, [[(np.sqrt(2) + 0 + 1) / 3]])


@pytest.mark.once
def test_a_grid_of_other_weights_is_refused():
    message = "2 x 3 places behind 1 tokens needs weights .B, N, 7, 7.. Received.*2, 2"
    with pytest.raises(ValueError, match=message):
        head_statistics([UNIFORM], grid=(2, 3), num_prefix_tokens=1)


@pytest.mark.once
def test_induction_heads_read_what_followed_the_same_token():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(6), size=(2, 3, 6))
    token_ids = np.array([[4, 5, 4, 4, 5, 6], [7, 8, 9, 7, 8, 7]])
    expected, count = np.zeros(3), 0
    for b, row in enumerate(token_ids):
        for t in range(6):
            places = [j + 1 for j in range(t) if row[j] == row[t]]
            expected += weights[b, :, t, places].sum(axis=0)
            count += bool(places)
    found = head_statistics([weights], token_ids)["induction"]
    np.testing.assert_allclose(found, [expected / count])


@pytest.mark.once
def test_without_a_repeated_token_there_is_no_induction():
    assert np.isnan(head_statistics([UNIFORM], [[3, 4]])["induction"]).all()


@pytest.mark.once
@pytest.mark.parametrize("token_ids", [[3, 4], [[3, 4, 5]], [[3, 4], [3, 4]]])
def test_token_ids_of_other_weights_are_refused(token_ids):
    with pytest.raises(ValueError, match="`token_ids` must be"):
        head_statistics([UNIFORM], token_ids)


@pytest.mark.once
@pytest.mark.parametrize(
    "options, message",
    [
        ({"join": "sum"}, "`join` must be one of"),
        ({"discard": 1.0}, "`discard` must be at least 0 and less than 1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        rollout([UNIFORM], **options)


@pytest.mark.once
def test_layers_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="with one T. Received"):
        rollout([UNIFORM, IDENTITY])
    with pytest.raises(ValueError, match="with one T. Received"):
        rollout([np.ones((1, 1, 2, 3))])
