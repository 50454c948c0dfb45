"""Reading a sequence with a recurrent network.

Letters: B batch, S tokens of the source, H width of a recurrent layer, E width of what
comes out (H, or 2 H with two directions), L layers.
"""

import keras
from keras import ops

from keras_attention.backend.walk import walk
from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.checks import check_tokens
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.cho_gru_cell import ChoGRUCell

# Recurrent units, and how many tensors the state of each has.
CELLS = {"lstm": 2, "gru": 1, "cho_gru": 1}


def recurrent_layer(cell, units, **options):
    """A layer that reads a sequence step by step.

    Args:
        cell: `"lstm"` or `"gru"`, those of Keras, or `"cho_gru"`, `ChoGRUCell`.
        units: Width of the state.
        **options: For `keras.layers.RNN`.

    Returns:
        A Keras layer that returns the whole sequence. Its attribute `cell` is one step.

    Example:

    >>> layer = recurrent_layer("cho_gru", 4)
    >>> tuple(layer(keras.ops.ones((2, 3, 5))).shape)
    (2, 3, 4)
    """
    options = {"return_sequences": True, **options}
    if cell == "lstm":
        return keras.layers.LSTM(units, **options)
    if cell == "gru":
        return keras.layers.GRU(units, **options)
    return keras.layers.RNN(
        ChoGRUCell(units, dtype=options.get("dtype"), name="cho_gru_cell"), **options
    )


@keras.saving.register_keras_serializable("keras_attention")
class RNNEncoder(BaseLayer):
    """Reads a sequence word by word, and keeps a vector for each word and its state.

    The encoder of Sutskever et al. 2014, arXiv:1409.3215, Section 2, and with two
    directions that of Bahdanau et al. 2015, arXiv:1409.0473, Section 3.2: with E the
    embedding, x the source,

        h_s = f(E x_s, h_{s-1})                          forwards      (B, H)
        g_s = f(E x_s, g_{s+1})                          backwards     (B, H)
        output_s = [h_s, g_s]                                          (B, 2 H)

    Each further layer reads the outputs of the one below. A step at padding changes no
    state, wherever the padding stands.

    Args:
        vocabulary_size: V.
        hidden_dim: H, for each direction.
        word_dim: Width of a word.
        num_layers: L.
        cell: `"lstm"`, `"gru"`, or `"cho_gru"`.
        bidirectional: Whether each layer reads in both directions.
        reverse: Whether the last word is read first (Sutskever et al. 2014, Section
            3.3). What comes out for a word stays at its place.
        dropout: Fraction dropped before each layer in training, from 0 to 1.
        seed: Integer, for reproducible dropout.
        padding_id: Token id of the padding.

    Call arguments:
        token_ids: `(B, S)`.
        return_state: Also return the state after the last step.

    Returns:
        `(B, S, E)`. If asked also the state `(B, n, E)`, for each layer its hidden
        state and then, with an LSTM, its cell: n is L, or 2 L with an LSTM.

    Raises:
        ValueError: A size or a rate is out of its range, or there is no such cell.

    Example:

    >>> layer = RNNEncoder(vocabulary_size=9, hidden_dim=6, word_dim=5, num_layers=2)
    >>> outputs, state = layer(np.array([[4, 8, 2, 0]]), return_state=True)
    >>> tuple(outputs.shape), tuple(state.shape)
    ((1, 4, 6), (1, 4, 6))
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        word_dim,
        num_layers=1,
        cell="lstm",
        bidirectional=False,
        reverse=False,
        dropout=0.0,
        seed=None,
        padding_id=0,
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
        self.bidirectional = bidirectional
        self.reverse = reverse
        self.dropout = dropout
        self.seed = seed
        self.padding_id = padding_id

        self.embedding = keras.layers.Embedding(
            vocabulary_size, word_dim, dtype=self.dtype_policy, name="embedding"
        )
        self.drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        self.forwards = [
            self._layer(f"forward_{i}", reverse) for i in range(num_layers)
        ]
        self.backwards = []
        if bidirectional:
            self.backwards = [
                self._layer(f"backward_{i}", not reverse) for i in range(num_layers)
            ]

    def _layer(self, name, go_backwards):
        return recurrent_layer(
            self.cell,
            self.hidden_dim,
            return_state=True,
            go_backwards=go_backwards,
            dtype=self.dtype_policy,
            name=name,
        )

    @property
    def output_dim(self):
        """E."""
        return self.hidden_dim * (2 if self.bidirectional else 1)

    @property
    def num_states(self):
        """n, how many vectors the state has."""
        return self.num_layers * CELLS[self.cell]

    def build(self, token_ids_shape):
        self.embedding.build(token_ids_shape)
        for layers in (self.forwards, self.backwards):
            width = self.word_dim
            for layer in layers:
                layer.build((None, None, width))
                width = self.output_dim
        self.built = True

    def call(self, token_ids, return_state=False, training=None):
        check_tokens(self.name, token_ids=token_ids)
        mask = ops.not_equal(token_ids, self.padding_id)  # (B, S)
        x = self.embedding(token_ids)  # (B, S, D)
        states = []
        for i in range(self.num_layers):
            x = self.drop(x, training=training)
            read = [self._read(layers[i], x, mask) for layers in self._directions()]
            x = _side_by_side([outputs for outputs, _ in read])  # (B, S, E)
            directions = [state for _, state in read]
            states += [_side_by_side(parts) for parts in zip(*directions, strict=True)]
        return (x, ops.stack(states, axis=1)) if return_state else x

    def _directions(self):
        return (
            [self.forwards, self.backwards] if self.bidirectional else [self.forwards]
        )

    def _read(self, layer, x, mask):
        """The outputs of a layer, each at its word, and the state after the last."""
        if keras.backend.backend() == "torch":
            outputs, *state = self._walk(layer, x, mask)
        else:
            outputs, *state = layer(x, mask=mask)
        return ops.flip(outputs, axis=1) if layer.go_backwards else outputs, state

    def _walk(self, layer, x, mask):
        """The same in steps of the cell: Keras's loop does not compile on torch."""
        inputs = ops.concatenate([x, ops.cast(mask, x.dtype)[:, :, None]], axis=-1)
        if layer.go_backwards:
            inputs = ops.flip(inputs, axis=1)

        def step(state, row):
            is_word = row[:, :, -1:] > 0.5  # (B, 1, 1)
            _, after = layer.cell(row[:, 0, :-1], [s[:, 0] for s in state])
            pairs = zip(after, state, strict=True)
            return tuple(ops.where(is_word, new[:, None], s) for new, s in pairs)

        zeros = ops.zeros_like(x[:, :1, :1])  # (B, 1, 1)
        zeros = ops.repeat(zeros, self.hidden_dim, axis=-1)
        states = walk(step, (zeros,) * CELLS[self.cell], inputs)
        return states[0], *(s[:, -1] for s in states)

    def compute_output_spec(self, token_ids, return_state=False, training=None):
        batch_size, length = token_ids.shape
        shape = (batch_size, length, self.output_dim)
        outputs = keras.KerasTensor(shape, self.compute_dtype)
        if return_state:
            shape = (batch_size, self.num_states, self.output_dim)
            return outputs, keras.KerasTensor(shape, self.compute_dtype)
        return outputs

    def compute_mask(self, token_ids, previous_mask=None):
        return ops.not_equal(token_ids, self.padding_id)


def _side_by_side(tensors):
    return tensors[0] if len(tensors) == 1 else ops.concatenate(tensors, axis=-1)
