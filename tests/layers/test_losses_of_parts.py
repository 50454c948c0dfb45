"""What parts of blocks and stacks add to the loss, and count, is kept in training.

A training step of Keras with a loss of zero: what is left was added by the parts.
"""

import keras
import numpy as np
import pytest
from keras import ops

from helpers import to_numpy
from keras_attention import layers

B, T, S, D = 2, 5, 4, 8


@keras.saving.register_keras_serializable("test_losses_of_parts")
class Counted(keras.layers.Layer):
    """Adds 1 to the loss, and counts how often it was trained."""

    def build(self, shape):
        self.dense = keras.layers.Dense(shape[-1], kernel_regularizer=One(), name="d")
        self.dense.build(shape)
        self.count = self.add_weight((), "zeros", trainable=False, name="count")
        self.built = True

    def call(self, inputs, training=None):
        if training:
            self.count.assign(self.count + 1)
        self.add_loss(ops.ones(()))
        return self.dense(inputs)


@keras.saving.register_keras_serializable("test_losses_of_parts")
class One(keras.regularizers.Regularizer):
    """Whatever there is costs 1; of a layer's output Keras divides it by the batch."""

    def __call__(self, x):
        return 0.0 * ops.sum(x) + 1.0

    def get_config(self):
        return {}


def block(cls=layers.TransformerEncoderBlock, **options):
    return cls(2, 16, **options)


def decoder(**options):
    return block(layers.TransformerDecoderBlock, **options)


def loss_of_training(layer, *others, tokens=False):
    """The loss of one step, to which the layer alone adds."""
    shape = (T,) if tokens else (T, D)
    inputs = keras.Input(shape, dtype="int32" if tokens else "float32")
    more = [keras.Input(x) for x in others]
    outputs = layer(inputs, *more)
    model = keras.Model([inputs, *more], outputs)
    model.compile("sgd", lambda y, y_pred: 0.0 * ops.mean(y_pred, axis=-1))
    arrays = [np.ones((B, *x.shape[1:]), "float32") for x in model.inputs]
    history = model.fit(arrays, np.zeros((B, T, 1)), batch_size=B, verbose=0)
    return history.history["loss"][0]


@pytest.mark.parametrize("norm_order", ["pre", "sandwich", "post", "parallel"])
def test_a_stack_keeps_what_a_part_of_a_user_does(norm_order):
    part = block(feed_forward=Counted(), norm_order=norm_order)
    stack = layers.TransformerEncoder(part, 3)
    # From each copy one by `add_loss` and one for its kernel.
    assert loss_of_training(stack) == pytest.approx(6.0, rel=1e-5)
    counts = [to_numpy(b.feed_forward.count.value) for b in stack.blocks]
    assert counts == [1.0, 1.0, 1.0]


REGULAR = {"activity_regularizer": One()}
SEQUENCE = {"vocabulary_size": 9, "hidden_dim": 6, "word_dim": 5}
REGULARIZED = {  # a layer, the shapes it reads besides, and how many outputs cost
    "block": (lambda: block(**REGULAR), [], 1),
    "attention of a block": (
        lambda: block(attention=layers.MultiHeadSelfAttention(2, 4, **REGULAR)),
        [],
        1,
    ),
    "stack": (lambda: layers.TransformerEncoder(block(), 2, **REGULAR), [], 1),
    "blocks of a stack": (
        lambda: layers.TransformerEncoder(block(**REGULAR), 2),
        [],
        2,
    ),
    "attention of a stack": (
        lambda: layers.TransformerEncoder(
            block(attention=layers.MultiHeadSelfAttention(2, 4, **REGULAR)), 2
        ),
        [],
        2,
    ),
    "blocks of a decoder": (
        lambda: layers.TransformerDecoder(decoder(**REGULAR), 2),
        [(S, D)],
        2,
    ),
    "network of a decoder": (
        lambda: layers.TransformerDecoder(
            decoder(feed_forward=layers.FeedForward(9, **REGULAR)), 2
        ),
        [(S, D)],
        2,
    ),
    "BahdanauDecoder": (
        lambda: layers.BahdanauDecoder(**SEQUENCE, **REGULAR),
        [(S, D), (1, 6)],
        1,
    ),
}


@pytest.mark.parametrize("name", REGULARIZED)
def test_what_an_output_costs_reaches_the_loss(name):
    make, others, count = REGULARIZED[name]
    found = loss_of_training(make(), *others, tokens=name == "BahdanauDecoder")
    assert found == pytest.approx(count / B, rel=1e-5)
