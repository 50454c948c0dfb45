"""An LSTM whose memory is all that it has been (Cheng et al. 2016).

Letters: B batch, T tokens, D width of an input, H width of the layer, A width of the
network that scores the memory.
"""

import keras
from keras import ops

from keras_attention.backend.loops import repeat
from keras_attention.checks import check_positive
from keras_attention.checks import check_sequence
from keras_attention.layers.additive_attention import AdditiveAttention
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.base import token_mask
from keras_attention.layers.recorder import recorder_for


@keras.saving.register_keras_serializable("keras_attention")
class LSTMN(BaseLayer):
    """Reads a sequence, and before each token all of its own states so far.

    Cheng et al. 2016, arXiv:1601.06733, Section 3.1, Equations 4 to 9. An LSTM goes on
    from its last state; this one from a mean of all of them, the memory tape, weighted
    by how well they match the new token x_t. With h, c the states on the tape:

        a_i     = v . tanh(W_h h_i + W_x x_t + W_s s_{t-1})     i < t       (B, T)
        w       = softmax(a)                                                (B, T)
        s_t, r_t = sum_i w_i h_i, sum_i w_i c_i                             (B, H)
        i, f, o = sigmoid(W [s_t, x_t] + b)  each                           (B, H)
        n       = tanh(W [s_t, x_t] + b)                                    (B, H)
        c_t     = f * r_t + i * n                                           (B, H)
        h_t     = o * tanh(c_t)                                             (B, H)

    The first token finds an empty tape: s and r are zero.

    Args:
        units: H.
        attention_dim: A. Defaults to H.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: `(B, T)`, boolean, True for what is no padding, which is neither written
            on the tape nor read; filled in by Keras when an earlier layer computed it.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, T, H)`, and the weights `(B, T, T)` if asked: row t has what token t read
        of the tokens before it.

    Raises:
        ValueError: A size is not a positive integer.

    Example:

    >>> layer, inputs = LSTMN(units=4), keras.ops.ones((1, 3, 5))
    >>> outputs, weights = layer(inputs, return_attention_scores=True)
    >>> tuple(outputs.shape), keras.ops.convert_to_numpy(weights)[0, 1].tolist()
    ((1, 3, 4), [1.0, 0.0, 0.0])
    """

    def __init__(self, units, attention_dim=None, **kwargs):
        super().__init__(**kwargs)
        check_positive(units=units)
        if attention_dim is not None:
            check_positive(attention_dim=attention_dim)
        self.units = units
        self.attention_dim = attention_dim
        self.attention = AdditiveAttention(
            attention_dim or units, dtype=self.dtype_policy, name="attention"
        )
        # Of a loop only the states come out: `call` hands the weights over.
        self.attention.is_recorded = False

    def build(self, inputs_shape):
        width = inputs_shape[-1]
        self.attention.build(
            (None, None, width + self.units),
            (None, None, 2 * self.units),
            (None, None, self.units),
        )
        self.kernel = self.add_kernel("kernel", (self.units + width, 4 * self.units))
        self.bias = self.add_weight(
            shape=(4 * self.units,), initializer="zeros", name="bias"
        )
        self.built = True

    def start(self, batch_size, length, dtype=None):
        """An empty tape.

        Args:
            batch_size: B.
            length: How many tokens it has room for.
            dtype: That of the layer by default.

        Returns:
            A state for `step`: the tape `(B, length, 2 H)`, what scores its places
            `(B, length, A)`, and the last summary `(B, 1, H)`.
        """
        dtype = dtype or self.compute_dtype
        return (
            ops.zeros((batch_size, length, 2 * self.units), dtype),
            ops.zeros((batch_size, length, self.attention.units), dtype),
            ops.zeros((batch_size, 1, self.units), dtype),
        )

    def step(self, x, state, readable, place):
        """Reads one token.

        Args:
            x: `(B, 1, D)`.
            state: From `start` or from this function.
            readable: `(B, length)`, boolean, True for places that were written on.
            place: `(length,)` or `(B, length)`, boolean, True for the place to write.

        Returns:
            What comes out, `(B, 1, H)`, the next state, and the weights
            `(B, 1, length)`.
        """
        tape, keys, summary = state
        read, weights = self.attention(
            query=ops.concatenate([x, summary], axis=-1),
            value=tape,
            projected_key=keys,
            mask=readable,
            return_attention_scores=True,
        )  # (B, 1, 2 H), (B, 1, length)
        summary, cell = ops.split(read, 2, axis=-1)  # (B, 1, H) each
        gates = self.project(
            ops.concatenate([summary, x], axis=-1), self.kernel, self.bias
        )
        i, f, o, new = ops.split(gates, 4, axis=-1)  # (B, 1, H) each
        cell = ops.sigmoid(f) * cell + ops.sigmoid(i) * ops.tanh(new)
        hidden = ops.sigmoid(o) * ops.tanh(cell)
        place = place[..., None]
        tape = ops.where(place, ops.concatenate([hidden, cell], axis=-1), tape)
        keys = ops.where(place, self.attention.project_keys(hidden), keys)
        return hidden, (tape, keys, summary), weights

    def read(self, inputs, state, length=0, mask=None):
        """Reads tokens behind those that stand on the tape.

        Args:
            inputs: `(B, T, D)`.
            state: From `start` or from this function, with room for S tokens.
            length: How many places of the tape are written on, an integer.
            mask: `(B, S)`, boolean, True for what is no padding.

        Returns:
            What comes out, `(B, T, H)`, the next state, and the weights `(B, T, S)`.

        Example:

        >>> layer, tokens = LSTMN(units=4), keras.random.normal((2, 5, 3))
        >>> whole = layer(tokens)
        >>> first, state, _ = layer.read(tokens[:, :4], layer.start(2, 8))
        >>> last, state, _ = layer.read(tokens[:, 4:], state, length=4)
        >>> bool(keras.ops.max(keras.ops.abs(last - whole[:, 4:])) < 1e-5)
        True
        """
        x = ops.cast(inputs, self.compute_dtype)
        count, slots = ops.shape(x)[1], ops.shape(state[0])[1]
        numbers = ops.arange(count, dtype="int32")
        places = ops.arange(slots, dtype="int32")
        if mask is None:
            mask = ops.ones_like(state[0][:, :, 0], dtype="bool")  # (B, S)
        zeros = ops.zeros_like(x[:, :, :1])  # (B, T, 1)
        # Added, not repeated: so TensorFlow knows the widths.
        outputs = zeros + ops.zeros(self.units, self.compute_dtype)  # (B, T, H)
        weights = zeros * ops.swapaxes(state[0][:, :, :1], 1, 2)
        weights = ops.cast(weights, self.wide_dtype)  # (B, T, S)

        def body(t, loop):
            state, outputs, weights = loop
            place = length + t
            token = ops.take(x, t, axis=1)[:, None]  # (B, 1, D)
            is_word = ops.take(mask, place, axis=1)[:, None, None]  # (B, 1, 1)
            readable = ops.logical_and(mask, ops.less(places, place))
            output, (tape, keys, summary), row = self.step(
                token, state, readable, ops.equal(places, place)
            )
            summary = ops.where(is_word, summary, state[2])
            here = ops.equal(numbers, t)[:, None]  # (T, 1)
            outputs = ops.where(here, output, outputs)
            weights = ops.where(here, ops.cast(row, self.wide_dtype), weights)
            return (tape, keys, summary), outputs, weights

        loop = tuple(state), outputs, weights
        if isinstance(count, int) and count == 1:
            state, outputs, weights = body(0, loop)
        elif not (isinstance(count, int) and count == 0):
            state, outputs, weights = repeat(0, count, body, loop)
        return outputs, state, weights

    def call(self, inputs, mask=None, return_attention_scores=False):
        check_sequence(self.name, inputs=inputs)
        zeros = ops.cast(ops.zeros_like(inputs[:, :, :1]), self.compute_dtype)
        # As `start` does, by sums: so TensorFlow knows the widths.
        widths = (2 * self.units, self.attention.units, self.units)
        tape, keys, summary = (zeros + ops.zeros(w, zeros.dtype) for w in widths)
        state = tape, keys, summary[:, :1]
        outputs, _, weights = self.read(inputs, state, mask=mask)
        recorder = recorder_for(self.attention.path)
        if recorder is not None:
            recorder.record(self.attention.path, "self", weights[:, None])
        return (outputs, weights) if return_attention_scores else outputs

    def compute_output_spec(self, inputs, mask=None, return_attention_scores=False):
        batch_size, length, _ = inputs.shape
        shape = (batch_size, length, self.units)
        outputs = keras.KerasTensor(shape, self.compute_dtype)
        if return_attention_scores:
            shape = (batch_size, length, length)
            return outputs, keras.KerasTensor(shape, self.wide_dtype)
        return outputs

    def compute_mask(self, inputs, previous_mask=None):
        return token_mask(previous_mask)
