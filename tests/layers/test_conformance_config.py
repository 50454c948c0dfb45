"""Every layer can be written down and made again, with no argument at its default."""

import json

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import layers
from layers.layer_table import arguments_of
from layers.layer_table import FULL_ROWS
from layers.layer_table import randomize
from layers.layer_table import ROWS

by_name = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
full_by_name = pytest.mark.parametrize("row", FULL_ROWS, ids=lambda row: row.name)
INITIALIZERS = ("glorot_normal", "glorot_uniform", "he_normal", "ones", "zeros")


def plain(value):
    """Arguments or a config, which hold layers and initializers, as plain values."""
    if isinstance(value, str) and value in INITIALIZERS:
        value = keras.initializers.get(value)
    return json.loads(json.dumps(keras.saving.serialize_keras_object(value)))


@pytest.mark.once
def test_every_public_layer_has_a_full_row():
    public = {name for name, value in vars(layers).items() if isinstance(value, type)}
    assert public == {row.cls.__name__ for row in FULL_ROWS}


@pytest.mark.once
@full_by_name
def test_a_full_row_changes_every_argument(row):
    given = row.arguments()
    at_default = {
        name
        for name, parameter in arguments_of(row.cls).items()
        if name not in given or plain(given[name]) == plain(parameter.default)
    }
    assert at_default == set(row.left_out)


# What needs an attention layer around it: tests/layers/test_position_scores.py.
WITHIN_ATTENTION = {"DisentangledScores": {"share_projections"}}


@pytest.mark.once
def test_an_argument_left_out_of_one_row_is_in_another():
    for cls in {row.cls for row in FULL_ROWS}:
        rows = [row for row in FULL_ROWS if row.cls is cls]
        never = set.intersection(*(set(row.left_out) for row in rows))
        assert never == WITHIN_ATTENTION.get(cls.__name__, set()), cls


@by_name
def test_the_config_holds_the_arguments(row):
    given = row.arguments()
    config = row.cls(**given).get_config()
    for name in arguments_of(row.cls):
        assert name in config
        if name in given:
            assert plain(config[name]) == plain(given[name])


@by_name
def test_a_layer_is_made_again_from_its_config(row):
    """The same config, through JSON, and with the same weights the same outputs."""
    layer, arrays = row.make(), row.arrays()
    row.call(layer, arrays)
    again = row.cls.from_config(json.loads(json.dumps(layer.get_config())))
    assert plain(again.get_config()) == plain(layer.get_config())
    row.call(again, arrays)
    randomize(layer)
    expected = row.call(layer, arrays)
    assert [w.path for w in again.weights] == [w.path for w in layer.weights]
    again.set_weights(layer.get_weights())
    found = row.call(again, arrays)
    np.testing.assert_array_equal(to_numpy(found), to_numpy(expected))


@by_name
def test_name_dtype_and_trainability_are_kept(row):
    layer = row.make(name="mine", dtype="mixed_bfloat16", trainable=False)
    again = row.cls.from_config(layer.get_config())
    assert again.name == "mine"
    assert again.dtype_policy.name == "mixed_bfloat16"
    assert again.trainable is False


@by_name
def test_an_unknown_argument_is_refused(row):
    with pytest.raises((TypeError, ValueError), match="num_hedas"):
        row.make(num_hedas=2)


def test_a_layer_of_a_user_takes_the_place_of_a_part():
    """A nested layer comes back as what it is, whatever class it has."""

    @keras.saving.register_keras_serializable("tests")
    class Reversed(keras.layers.Layer):
        def call(self, inputs, **kwargs):
            return inputs[:, ::-1]

    block = layers.TransformerEncoderBlock(4, 16, attention=Reversed())
    again = layers.TransformerEncoderBlock.from_config(block.get_config())
    assert isinstance(again.attention, Reversed)
    assert again.attention is not block.attention
