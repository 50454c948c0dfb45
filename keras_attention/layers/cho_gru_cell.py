"""The recurrent unit of the first translator with attention (Bahdanau et al. 2015).

Letters: B batch, D width of the input, H width of the state.
"""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class ChoGRUCell(BaseLayer):
    """A gated recurrent unit, with the signs and the order of its paper.

    Cho et al. 2014, arXiv:1406.1078, Section 2.3, as it is written in Bahdanau et al.
    2015, arXiv:1409.0473, Appendix A.1.1. With x the input, h the state, * the product
    of elements, and each W and U a matrix:

        z   = sigmoid(W_z x + U_z h)                 how much is renewed      (B, H)
        r   = sigmoid(W_r x + U_r h)                 what of h enters it      (B, H)
        new = tanh(W x + U (r * h))                                           (B, H)
        h'  = (1 - z) * h + z * new                                           (B, H)

    The units of `keras.layers.GRU` and of PyTorch multiply by r after U, and by z where
    this one multiplies by 1 - z. Put the cell into `keras.layers.RNN` to read a
    sequence.

    Args:
        units: H.
        use_bias: Whether each line has a bias, which the appendix leaves out of its
            equations.

    Call arguments:
        inputs: `(B, D)`.
        states: List of one tensor `(B, H)`.

    Returns:
        The new state `(B, H)`, and a list of it.

    Example:

    >>> layer = keras.layers.RNN(ChoGRUCell(units=4), return_sequences=True)
    >>> tuple(layer(keras.ops.ones((2, 3, 5))).shape)
    (2, 3, 4)
    """

    def __init__(self, units, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        check_positive(units=units)
        self.units = units
        self.use_bias = use_bias
        self.state_size = units
        self.output_size = units

    def build(self, inputs_shape, states_shape=None):
        units = self.units
        self.kernel = self.add_kernel("kernel", (inputs_shape[-1], 3 * units))
        self.gate_kernel = self.add_kernel(
            "gate_kernel", (units, 2 * units), "orthogonal"
        )
        self.state_kernel = self.add_kernel(
            "state_kernel", (units, units), "orthogonal"
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(3 * self.units,), initializer="zeros", name="bias"
            )
        self.built = True

    def call(self, inputs, states, training=None):
        h = states[0] if isinstance(states, list | tuple) else states
        x = self.project(inputs, self.kernel, self.bias)  # (B, 3 H)
        x_z, x_r, x_new = ops.split(x, 3, axis=-1)
        h_z, h_r = ops.split(self.project(h, self.gate_kernel), 2, axis=-1)
        z, r = ops.sigmoid(x_z + h_z), ops.sigmoid(x_r + h_r)
        new = ops.tanh(x_new + self.project(r * h, self.state_kernel))
        h = (1 - z) * h + z * new  # (B, H)
        return h, [h]

    def get_initial_state(self, batch_size=None):
        """The state before the first input: zeros `(B, H)`."""
        return [ops.zeros((batch_size, self.units), self.compute_dtype)]
