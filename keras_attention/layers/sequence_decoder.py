"""What the recurrent decoders share, which write a sequence token by token.

Letters: B sources, K sequences written for one source (one in training, the beams in a
search), T tokens, S tokens of the source, E width of what the encoder gives, n vectors
of the encoder's state, D width of a word, H width of a recurrent layer, L layers, V
vocabulary.
"""

import keras
from keras import ops

from keras_attention.backend.walk import walk
from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.checks import check_tokens
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.recorder import recorder_for
from keras_attention.layers.rnn_encoder import CELLS
from keras_attention.layers.rnn_encoder import recurrent_layer


class SequenceDecoder(BaseLayer):
    """A stack of recurrent layers that writes a sequence.

    Abstract. A subclass says how it begins (`start`), how it goes on by one token
    (`step`), and what it predicts then (`predict`). The rest is here: token ids in,
    logits out, the recurrent layers, and the loop over a sequence that is given.
    """

    has_attention = False

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        word_dim,
        num_layers=1,
        cell="lstm",
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(
            vocabulary_size=vocabulary_size,
            hidden_dim=hidden_dim,
            word_dim=word_dim,
            num_layers=num_layers,
        )
        check_choice(tuple(CELLS), cell=cell)
        check_rate(dropout=dropout)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.word_dim = word_dim
        self.num_layers = num_layers
        self.cell = cell
        self.dropout = dropout
        self.seed = seed

        self.embedding = keras.layers.Embedding(
            vocabulary_size, word_dim, dtype=self.dtype_policy, name="embedding"
        )
        self.drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        self.recurrent = [
            recurrent_layer(
                cell, hidden_dim, dtype=self.dtype_policy, name=f"{cell}_{i}"
            )
            for i in range(num_layers)
        ]
        self.word_output = self.dense(vocabulary_size, "word_output")

    def dense(self, units, name, **options):
        """A dense layer of this layer's precision."""
        return keras.layers.Dense(units, dtype=self.dtype_policy, name=name, **options)

    @property
    def num_states(self):
        """How many vectors the state of all layers has."""
        return self.num_layers * CELLS[self.cell]

    def build_layers(self, input_dim, state_shape, output_dim, translate_state=False):
        """Makes the weights.

        Args:
            input_dim: Width of what enters the lowest layer.
            state_shape: `(B, n, E)`, that of the encoder's state.
            output_dim: Width of what enters the last layer.
            translate_state: Whether the encoder's state goes through a matrix, also
                where it has the width of the decoder's.
        """
        check_state(state_shape, self.num_states, self.name)
        self.embedding.build((None, None))
        for layer in self.recurrent:
            layer.build((None, None, input_dim))
            input_dim = self.hidden_dim
        self.word_output.build((None, None, output_dim))
        self.state_kernel = self.state_bias = None
        if translate_state or state_shape[-1] != self.hidden_dim:
            sizes = self.num_states, state_shape[-1], self.hidden_dim
            self.state_kernel = self.add_weight(shape=sizes, name="state_kernel")
            self.state_bias = self.add_weight(
                shape=(sizes[0], sizes[2]), initializer="zeros", name="state_bias"
            )

    def first_states(self, state):
        """What the recurrent layers begin with: tensors `(B, 1, H)`.

        The encoder's state, or tanh(W state + b) with a W for each of its n vectors.
        """
        state = ops.cast(state, self.compute_dtype)
        if self.state_kernel is not None:
            kernel = ops.cast(self.state_kernel, self.compute_dtype)
            bias = ops.cast(self.state_bias, self.compute_dtype)
            state = ops.tanh(ops.einsum("bne,neh->bnh", state, kernel) + bias)
        return tuple(state[:, i : i + 1] for i in range(self.num_states))

    def advance(self, x, states):
        """One step of all recurrent layers.

        Args:
            x: `(B, K, width)`, what enters the lowest.
            states: Tensors `(B, K, H)`.

        Returns:
            What comes out of the highest, `(B, K, H)`, and the next states.
        """
        num_sequences, size = x.shape[1], CELLS[self.cell]
        following = []
        for i, layer in enumerate(self.recurrent):
            before = [_rows(s) for s in states[size * i : size * (i + 1)]]
            _, after = layer.cell(_rows(x), before)
            after = [
                ops.reshape(s, (-1, num_sequences, self.hidden_dim)) for s in after
            ]
            following += after
            x = after[0]
        return x, tuple(following)

    @property
    def top(self):
        """Which of the states is the hidden state of the highest layer."""
        return (self.num_layers - 1) * CELLS[self.cell]

    def start(self, *source):
        """Looks at the source for the first time.

        Args:
            *source: What `call` takes besides the token ids.

        Returns:
            What `step` needs of the source, and the state before the first token: a
            tuple of tensors `(B, 1, ...)`.
        """
        raise NotImplementedError

    def step(self, source, state, words):
        """Goes on by one token.

        Args:
            source: From `start`.
            state: As from `start`, with K in place of 1.
            words: `(B, K, D)`, the tokens before.

        Returns:
            The next state, of the same shapes and dtypes.
        """
        raise NotImplementedError

    def predict(self, words, state, training=None):
        """The logits `(B, T, V)` of tokens, from those before and the states."""
        raise NotImplementedError

    def attention_weights(self, state):
        """What of the source the last step read: `(B, K, S)`, or `None`."""
        return None

    def read(self, source, state, token_ids, training=None):
        """Reads whole sequences, each token given the ones before.

        Args:
            source: From `start`.
            state: From `start`.
            token_ids: `(B, T)`.
            training: Whether to drop.

        Returns:
            Logits `(B, T, V)`, and the states after each token: tensors `(B, T, ...)`.
        """
        check_tokens(self.name, token_ids=token_ids)
        words = self.drop(self.embedding(token_ids), training=training)  # (B, T, D)
        states = walk(
            lambda state, words: self.step(source, state, words), state, words
        )
        return self.predict(words, states, training), states

    def write(self, source, state, token_ids):
        """Goes on by one token in each of K sequences of a source.

        Args:
            source: From `start`.
            state: From `start` or from this function.
            token_ids: `(B, K)`, the tokens before.

        Returns:
            Logits `(B, K, V)` and the next state.
        """
        words = self.embedding(token_ids)  # (B, K, D)
        state = self.step(source, state, words)
        return self.predict(words, state), state

    def show(self, attention, weights):
        """Hands the weights `(B, T, S)` of a loop to whoever records them."""
        recorder = recorder_for(attention.path)
        if recorder is not None:
            recorder.record(attention.path, "cross", weights[:, None])

    def compute_mask(self, token_ids, previous_mask=None):
        # The mask Keras hands over may be that of the source.
        return None


class AttentionSequenceDecoder(SequenceDecoder):
    """A stack of recurrent layers that reads the source for each token it writes.

    Abstract. A subclass has a layer `attention`, and the last tensor of its state is
    what it read, `(B, K, S)` in float32.
    """

    has_attention = True

    def attention_weights(self, state):
        """What the last step read: `(B, K, S)`."""
        return state[-1]

    def call(
        self,
        token_ids,
        encoder_outputs,
        state,
        encoder_outputs_mask=None,
        training=None,
        return_attention_scores=False,
    ):
        check_batches(
            self.name,
            token_ids=token_ids,
            encoder_outputs=encoder_outputs,
            state=state,
        )
        source, first = self.start(encoder_outputs, state, encoder_outputs_mask)
        logits, states = self.read(source, first, token_ids, training)
        weights = self.attention_weights(states)
        self.show(self.attention, weights)
        return (logits, weights) if return_attention_scores else logits

    def compute_output_spec(
        self,
        token_ids,
        encoder_outputs,
        state,
        encoder_outputs_mask=None,
        training=None,
        return_attention_scores=False,
    ):
        check_batches(
            self.name,
            token_ids=token_ids,
            encoder_outputs=encoder_outputs,
            state=state,
        )
        shape = tuple(token_ids.shape)
        logits = keras.KerasTensor((*shape, self.vocabulary_size), self.compute_dtype)
        if return_attention_scores:
            length = encoder_outputs.shape[1]
            return logits, keras.KerasTensor((*shape, length), self.wide_dtype)
        return logits


def check_state(state_shape, num_states, name):
    """Refuses a state of the encoder that does not fit the decoder."""
    if len(state_shape) != 3 or state_shape[1] != num_states:
        raise ValueError(
            "The decoder begins with the encoder's state, (B, n, E), one vector for "
            "each layer and with an LSTM two. Received: "
            f"state.shape={tuple(state_shape)} in layer {name!r}, expected "
            f"n={num_states}. Give encoder and decoder the same `num_layers` and "
            "`cell`, and call the encoder with `return_state=True`."
        )


def check_batches(name, **tensors):
    """Refuses sources and targets of different numbers.

    Args:
        name: Name of the layer.
        **tensors: Tensors or shapes by name.

    Raises:
        ValueError: Their first axes are known and differ.
    """
    shapes = {key: tuple(x.shape) for key, x in tensors.items() if x is not None}
    sizes = {shape[0] for shape in shapes.values() if isinstance(shape[0], int)}
    if len(sizes) > 1:
        found = ", ".join(f"{key}.shape={shape}" for key, shape in shapes.items())
        raise ValueError(
            f"Source and target must have the same batch size. Received: {found} in "
            f"layer {name!r}. Pass a target for each source."
        )


def _rows(x):
    """`(B, K, width)` as `(B K, width)`, which the cells of Keras read."""
    return ops.reshape(x, (-1, x.shape[-1]))
