"""What the decoders of image captioners share: an LSTM that writes word by word.

Letters: B pictures, K captions of one picture (one in training, the beams in a
search), T tokens, S cells of the grid of features (height x width), D width of a cell,
E width of a word, H width of the LSTM, V vocabulary.
"""

import keras
from keras import ops

from keras_attention.backend.walk import walk
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.checks import check_tokens
from keras_attention.layers.base import BaseLayer


class CaptionDecoder(BaseLayer):
    """An LSTM that reads a picture and writes its caption.

    Abstract. A subclass says what it knows of the picture at the beginning (`start`),
    how it goes on by one word (`step`) and what it has read of the picture by then
    (`context`). The rest is here: words in, words out, and the loop over a caption
    that is given.
    """

    has_attention = False

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        word_dim,
        output_activation="tanh",
        dropout=0.5,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(
            vocabulary_size=vocabulary_size, hidden_dim=hidden_dim, word_dim=word_dim
        )
        check_rate(dropout=dropout)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.word_dim = word_dim
        self.output_activation = output_activation
        self.dropout = dropout
        self.seed = seed

        self.embedding = keras.layers.Embedding(
            vocabulary_size, word_dim, dtype=self.dtype_policy, name="embedding"
        )
        self.initial_hidden = self.dense(hidden_dim, "initial_hidden", "tanh")
        self.initial_cell = self.dense(hidden_dim, "initial_cell", "tanh")
        # One matrix for all that enters the LSTM is written as three.
        self.word_gates = self.dense(
            4 * hidden_dim, "word_gates", bias_initializer=_remember_at_first
        )
        self.context_gates = self.dense(4 * hidden_dim, "context_gates", use_bias=False)
        self.hidden_gates = self.dense(
            4 * hidden_dim,
            "hidden_gates",
            use_bias=False,
            kernel_initializer="orthogonal",
        )
        self.hidden_output = self.dense(word_dim, "hidden_output")
        self.context_output = self.dense(word_dim, "context_output", use_bias=False)
        self.activate = keras.activations.get(output_activation)
        self.drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        self.word_output = self.dense(vocabulary_size, "word_output")

    def dense(self, units, name, activation=None, **options):
        """A dense layer of this layer's precision."""
        return keras.layers.Dense(
            units, activation, dtype=self.dtype_policy, name=name, **options
        )

    def build_layers(self, cell_dim, context_dim):
        """Makes the weights, for cells and contexts of this width."""
        for layer, width in (
            (self.embedding, None),
            (self.initial_hidden, cell_dim),
            (self.initial_cell, cell_dim),
            (self.word_gates, self.word_dim),
            (self.context_gates, context_dim),
            (self.hidden_gates, self.hidden_dim),
            (self.hidden_output, self.hidden_dim),
            (self.context_output, context_dim),
            (self.word_output, self.word_dim),
        ):
            layer.build((None, 1, width))

    def start(self, grid):
        """Looks at the picture for the first time.

        Args:
            grid: `(B, height, width, D)`.

        Returns:
            What `step` needs of the picture, and the state before the first word: a
            tuple of tensors `(B, 1, ...)`, of which the first two are the hidden state
            and the cell of the LSTM.
        """
        raise NotImplementedError

    def step(self, picture, state, word_gates):
        """Goes on by one word.

        Args:
            picture: From `start`.
            state: As from `start`, with K in place of 1.
            word_gates: `(B, K, 4 H)`, from `self.word_gates`.

        Returns:
            The next state, of the same shapes and dtypes.
        """
        raise NotImplementedError

    def context(self, picture, state):
        """What a state has read of the picture.

        Returns:
            `(B, K, width)`, or `(B, 1, width)` if it is the same for all K.
        """
        raise NotImplementedError

    def attention_weights(self, state):
        """Where the last step looked: `(B, K, S)`, or `None` without attention."""
        return None

    def remember(self, gates, cell):
        """The LSTM (Xu et al. 2015, Equations 1 to 3), from the sum of its gates."""
        i, f, g, o = ops.split(gates, 4, axis=-1)  # (B, K, H) each
        cell = ops.sigmoid(f) * cell + ops.sigmoid(i) * ops.tanh(g)
        return ops.sigmoid(o) * ops.tanh(cell), cell

    def predict(self, words, hidden, context, training=None):
        """The deep output layer (Xu et al. 2015, Equation 7).

        Args:
            words: `(B, T, E)`, the words before.
            hidden: `(B, T, H)`.
            context: `(B, T, width)`, or with one row for all.
            training: Whether to drop.

        Returns:
            Logits `(B, T, V)`.
        """
        hidden = self.drop(hidden, training=training)
        features = words + self.hidden_output(hidden) + self.context_output(context)
        features = self.drop(self.activate(features), training=training)  # (B, T, E)
        return self.word_output(features)

    def read(self, grid, token_ids, training):
        """Reads whole captions, each word given the ones before.

        Returns:
            Logits `(B, T, V)`, and the states after each token: tensors `(B, T, ...)`.
        """
        check_tokens(self.name, token_ids=token_ids)
        words = self.embedding(token_ids)  # (B, T, E)
        picture, state = self.start(grid)
        states = walk(
            lambda state, word_gates: self.step(picture, state, word_gates),
            state,
            self.word_gates(words),
        )
        context = self.context(picture, states)
        return self.predict(words, states[0], context, training), states

    def write(self, picture, state, token_ids):
        """Goes on by one word in each of K captions of a picture.

        Args:
            picture: From `start`.
            state: From `start` or from this function.
            token_ids: `(B, K)`, the words before.

        Returns:
            Logits `(B, K, V)` and the next state.
        """
        words = self.embedding(token_ids)  # (B, K, E)
        state = self.step(picture, state, self.word_gates(words))
        return self.predict(words, state[0], self.context(picture, state)), state


def check_grid(grid_shape, name):
    """Refuses features that are no grid of known size."""
    if len(grid_shape) != 4 or None in grid_shape[1:]:
        raise ValueError(
            "The features of a picture must be a grid (B, height, width, D) of known "
            f"size. Received: {tuple(grid_shape)} in layer {name!r}. Cut the encoder "
            "before its pooling, and give it pictures of one size."
        )


def _remember_at_first(shape, dtype=None):
    """Biases 0, those of the forget gate 1 (Jozefowicz et al. 2015, Section 2.2)."""
    units = shape[0] // 4
    return ops.concatenate(
        [
            ops.zeros(units, dtype),
            ops.ones(units, dtype),
            ops.zeros(2 * units, dtype),
        ]
    )
