"""The decoders of image captioners: an LSTM that reads the features of a picture.

Letters: B pictures, K captions of one picture (one in training, the beams in a
search), T tokens, S cells of the grid of features, D width of a cell, E width of a
word, H width of the LSTM, V vocabulary.
"""

import keras
from keras import ops

from keras_attention.layers.additive_attention import AdditiveAttention
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.base import check_positive
from keras_attention.layers.base import check_rate


class CaptionDecoder(BaseLayer):
    """An LSTM that writes a caption word by word.

    Abstract. A subclass says what it knows of the picture when it starts (`start`)
    and how it goes on by one word (`step`). What is common is around that: words in
    (`embed`), words out (`predict`), and the loop that reads a given caption (`call`).
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        word_dim,
        output_activation="tanh",
        dropout=0.5,
        seed=None,
        padding_id=0,
        end_id=2,
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
        self.padding_id = padding_id
        self.end_id = end_id

        def dense(units, name, activation=None, **options):
            return keras.layers.Dense(
                units, activation, name=name, dtype=self.dtype_policy, **options
            )

        self.embedding = keras.layers.Embedding(
            vocabulary_size, word_dim, name="embedding", dtype=self.dtype_policy
        )
        self.initial_hidden = dense(hidden_dim, "initial_hidden", "tanh")
        self.initial_cell = dense(hidden_dim, "initial_cell", "tanh")
        self.word_gates = dense(4 * hidden_dim, "word_gates")
        self.context_gates = dense(4 * hidden_dim, "context_gates", use_bias=False)
        self.hidden_gates = dense(
            4 * hidden_dim,
            "hidden_gates",
            use_bias=False,
            kernel_initializer="orthogonal",
        )
        self.hidden_output = dense(word_dim, "hidden_output")
        self.context_output = dense(word_dim, "context_output", use_bias=False)
        self.activation = keras.layers.Activation(output_activation)
        self.word_output = dense(vocabulary_size, "word_output")
        self.dropout_layer = keras.layers.Dropout(
            dropout, seed=seed, dtype=self.dtype_policy
        )

    def build(self, grid_shape, token_ids_shape=None):
        check_grid(grid_shape, self.name)
        cells, hidden = (None, 1, grid_shape[-1]), (None, 1, self.hidden_dim)
        words, context = (None, 1, self.word_dim), (None, 1, self.context_dim(grid_shape))
        for layer, shape in (
            (self.embedding, (None, 1)),
            (self.initial_hidden, cells),
            (self.initial_cell, cells),
            (self.word_gates, words),
            (self.context_gates, context),
            (self.hidden_gates, hidden),
            (self.hidden_output, hidden),
            (self.context_output, context),
            (self.word_output, words),
        ):
            layer.build(shape)
        self.built = True
