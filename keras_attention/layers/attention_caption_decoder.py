"""The decoder of Show, Attend and Tell (Xu et al. 2015).

Letters: B pictures, K captions of one picture (one in training, the beams in a
search), T tokens, S cells of the grid of features (height x width), D width of a cell,
E width of a word, H width of the LSTM, V vocabulary.
"""

import keras
from keras import ops

from keras_attention.backend.products import at_least_float32
from keras_attention.checks import check_positive
from keras_attention.layers.additive_attention import AdditiveAttention
from keras_attention.layers.base import by_rows
from keras_attention.layers.caption_decoder import CaptionDecoder
from keras_attention.layers.caption_decoder import check_grid
from keras_attention.layers.recorder import recorder_for


def doubly_stochastic_penalty(weights, mask):
    """How far the attention of a caption is from having looked everywhere once.

    Xu et al. 2015, arXiv:1502.03044, Equation 14, without the factor lambda: the
    weights of each step sum to 1 over the cells; those of each cell should sum to 1
    over the steps.

    Args:
        weights: `(B, T, S)`.
        mask: `(B, T)`, boolean, True for the steps that count, those before padding.

    Returns:
        `(B,)`, the sum over the cells of (1 - sum over the steps)^2.

    Example:

    >>> weights = np.array([[[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]]])
    >>> float(doubly_stochastic_penalty(weights, [[True, True, False]])[0])
    0.125
    """
    weights = ops.convert_to_tensor(weights)
    weights = ops.cast(weights, at_least_float32(weights.dtype))
    weights = weights * ops.cast(mask, weights.dtype)[:, :, None]
    return ops.sum((1.0 - ops.sum(weights, axis=1)) ** 2, axis=1)


@keras.saving.register_keras_serializable("keras_attention")
class AttentionCaptionDecoder(CaptionDecoder):
    """Writes a caption, and looks at another place of the picture for each word.

    Xu et al. 2015, arXiv:1502.03044, Sections 3.1.2 and 4.2, with a the cells of the
    grid, y the words, [.,.] put side by side, and each L and W a matrix:

        h_0, c_0 = tanh(W mean(a)) each                               (B, H)
        weights  = softmax(v . tanh(W_a a + W_h h_{t-1} + b))         (B, S)
        beta     = sigmoid(w . h_{t-1} + b)                           (B, 1)
        z_t      = beta * weights @ a                                 (B, D)
        h_t, c_t = LSTM([E y_{t-1}, z_t, h_{t-1}], c_{t-1})           (B, H)
        logits   = L_o tanh(E y_{t-1} + L_h h_t + L_z z_t)            (B, V)

    Defaults follow the authors' code (arctic-captions) where it goes beyond the paper:
    the tanh in the last line, and dropout on h_t in that line and before L_o. The
    forget gates start with a bias of 1, and the first word is preceded by the token
    `[start]` where their code has a zero vector.

    In training the layer adds a loss: `attention_penalty` times the mean over the
    pictures of `doubly_stochastic_penalty`.

    Args:
        vocabulary_size: V.
        hidden_dim: H, width of the LSTM.
        word_dim: E, width of a word.
        attention_dim: Width of the network that scores the cells. Defaults to D, as
            in the authors' code.
        attention_penalty: Lambda of Equation 14.
        output_activation: Activation in the output layer. `None` gives Equation 7 as
            it is printed.
        dropout: Fraction dropped in the output layer in training, from 0 to 1.
        seed: Integer, for reproducible dropout.
        padding_id: Token id of the padding.
        end_id: Token id of the end.

    Call arguments:
        grid: `(B, height, width, D)`.
        token_ids: `(B, T)`, each caption from its start token on.
        return_attention_scores: Also return the weights.

    Returns:
        Logits `(B, T, V)` for the word after each token, and the weights
        `(B, T, height, width)` if asked.

    Raises:
        ValueError: The features of the picture are no grid.

    Example:

    >>> layer = AttentionCaptionDecoder(vocabulary_size=9, hidden_dim=6, word_dim=5)
    >>> grid, token_ids = keras.ops.ones((2, 3, 4, 7)), np.array([[1, 4, 8, 5, 2]] * 2)
    >>> logits, weights = layer(grid, token_ids, return_attention_scores=True)
    >>> tuple(logits.shape), tuple(weights.shape)
    ((2, 5, 9), (2, 5, 3, 4))
    """

    has_attention = True

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        word_dim,
        attention_dim=None,
        attention_penalty=1.0,
        output_activation="tanh",
        dropout=0.5,
        seed=None,
        padding_id=0,
        end_id=2,
        **kwargs,
    ):
        super().__init__(
            vocabulary_size,
            hidden_dim,
            word_dim,
            output_activation=output_activation,
            dropout=dropout,
            seed=seed,
            **kwargs,
        )
        if attention_dim is not None:
            check_positive(attention_dim=attention_dim)
        if not attention_penalty >= 0:
            raise ValueError(
                "`attention_penalty` must not be negative. Received: "
                f"attention_penalty={attention_penalty!r}"
            )
        self.attention_dim = attention_dim
        self.attention_penalty = attention_penalty
        self.padding_id = padding_id
        self.end_id = end_id
        self.gate = self.dense(1, "gate", "sigmoid")

    def build(self, grid_shape, token_ids_shape=None):
        check_grid(grid_shape, self.name)
        cell_dim = grid_shape[-1]
        self.attention = AdditiveAttention(
            self.attention_dim or cell_dim,
            use_bias=True,
            dtype=self.dtype_policy,
            name="attention",
        )
        # Of a loop only the states come out: `call` hands the weights over.
        self.attention.is_recorded = False
        self.attention.build((None, 1, self.hidden_dim), (None, None, cell_dim))
        self.gate.build((None, 1, self.hidden_dim))
        self.build_layers(cell_dim, context_dim=cell_dim)
        self.built = True

    def start(self, grid):
        """Computes the parts of the attention that are the same for all words."""
        _, height, width, cell_dim = grid.shape
        cells = ops.reshape(grid, (-1, height * width, cell_dim))  # (B, S, D)
        mean = ops.mean(cells, axis=1, keepdims=True)  # (B, 1, D)
        hidden, cell = self.initial_hidden(mean), self.initial_cell(mean)  # (B, 1, H)
        nowhere = ops.zeros_like(
            cells[:, None, :, 0], dtype=self.wide_dtype
        )  # (B, 1, S)
        nothing = ops.zeros_like(mean)  # (B, 1, D)
        picture = cells, self.attention.project_keys(cells)
        return picture, (hidden, cell, nothing, nowhere)

    def step(self, picture, state, word_gates):
        """Looks, and then remembers what it saw together with the word."""
        cells, projected_cells = picture
        hidden, cell, _, _ = state
        seen, weights = self.attention(
            query=hidden,
            value=cells,
            projected_key=projected_cells,
            return_attention_scores=True,
        )  # (B, K, D), (B, K, S)
        context = by_rows(self.gate, hidden) * seen  # (B, K, D)
        gates = word_gates + by_rows(self.context_gates, context)
        gates = gates + by_rows(self.hidden_gates, hidden)
        hidden, cell = self.remember(gates, cell)  # (B, K, H)
        return hidden, cell, context, ops.cast(weights, self.wide_dtype)

    def context(self, picture, state):
        """What was read last, through the gate: `(B, K, D)`."""
        return state[2]

    def attention_weights(self, state):
        """Where the last step looked: `(B, K, S)`."""
        return state[3]

    def call(self, grid, token_ids, training=None, return_attention_scores=False):
        logits, states = self.read(grid, token_ids, training)
        weights = self.attention_weights(states)  # (B, T, S)
        recorder = recorder_for(self.attention.path)
        if recorder is not None:
            recorder.record(self.attention.path, "cross", weights[:, None])
        if training and self.attention_penalty > 0:
            penalty = doubly_stochastic_penalty(weights, self.counts(token_ids))
            self.add_loss(self.attention_penalty * ops.mean(penalty))
        if return_attention_scores:
            _, height, width, _ = grid.shape
            length = ops.shape(token_ids)[1]
            return logits, ops.reshape(weights, (-1, length, height, width))
        return logits

    def counts(self, token_ids):
        """Which steps predict a word or the end: `(B, T)`, boolean."""
        is_padding = ops.equal(token_ids, self.padding_id)
        is_end = ops.equal(token_ids, self.end_id)
        return ops.logical_not(ops.logical_or(is_padding, is_end))

    def compute_output_spec(
        self, grid, token_ids, training=None, return_attention_scores=False
    ):
        shape = tuple(token_ids.shape)
        logits = keras.KerasTensor((*shape, self.vocabulary_size), self.compute_dtype)
        if return_attention_scores:
            height, width = grid.shape[1:3]
            return logits, keras.KerasTensor((*shape, height, width), self.wide_dtype)
        return logits
