"""The decoder of a captioner without attention.

Letters: B pictures, K captions of one picture (one in training, the beams in a
search), T tokens, D width of a cell of the grid of features, E width of a word, H
width of the LSTM, V vocabulary.
"""

import keras
from keras import ops

from keras_attention.layers.base import by_rows
from keras_attention.layers.caption_decoder import CaptionDecoder
from keras_attention.layers.caption_decoder import check_grid


@keras.saving.register_keras_serializable("keras_attention")
class RNNCaptionDecoder(CaptionDecoder):
    """Writes a caption from one vector that must hold the whole picture.

    It is `AttentionCaptionDecoder` without attention: the context is the first hidden
    state, the same at each step (Cho et al. 2014, arXiv:1406.1078, Section 2.2, with
    a picture in place of the source sentence). With a the cells of the grid, y the
    words, [.,.] put side by side, and each L and W a matrix:

        h_0, c_0 = tanh(W mean(a)) each                               (B, H)
        h_t, c_t = LSTM([E y_{t-1}, h_0, h_{t-1}], c_{t-1})           (B, H)
        logits   = L_o tanh(E y_{t-1} + L_h h_t + L_z h_0)            (B, V)

    Args:
        vocabulary_size: V.
        hidden_dim: H, width of the LSTM.
        word_dim: E, width of a word.
        output_activation: Activation in the output layer, or `None`.
        dropout: Fraction dropped in the output layer in training, from 0 to 1.
        seed: Integer, for reproducible dropout.

    Call arguments:
        grid: `(B, height, width, D)`.
        token_ids: `(B, T)`, each caption from its start token on.

    Returns:
        Logits `(B, T, V)` for the word after each token.

    Raises:
        ValueError: The features of the picture are no grid.

    Example:

    >>> layer = RNNCaptionDecoder(vocabulary_size=9, hidden_dim=6, word_dim=5)
    >>> grid, token_ids = keras.ops.ones((2, 3, 4, 7)), np.array([[1, 4, 8, 5, 2]] * 2)
    >>> tuple(layer(grid, token_ids).shape)
    (2, 5, 9)
    """

    def build(self, grid_shape, token_ids_shape=None):
        check_grid(grid_shape, self.name)
        self.build_layers(grid_shape[-1], context_dim=self.hidden_dim)
        self.built = True

    def start(self, grid):
        """Puts the whole picture into one vector."""
        mean = ops.mean(grid, axis=(1, 2))[:, None]  # (B, 1, D)
        hidden, cell = self.initial_hidden(mean), self.initial_cell(mean)  # (B, 1, H)
        picture = hidden, self.context_gates(hidden)
        return picture, (hidden, cell)

    def step(self, picture, state, word_gates):
        """Remembers the word together with the picture."""
        _, context_gates = picture
        hidden, cell = state
        gates = word_gates + context_gates + by_rows(self.hidden_gates, hidden)
        return self.remember(gates, cell)  # (B, K, H)

    def context(self, picture, state):
        """The vector of the picture: `(B, 1, H)`."""
        return picture[0]

    def call(self, grid, token_ids, training=None):
        return self.read(grid, token_ids, training)[0]

    def compute_output_spec(self, grid, token_ids, training=None):
        shape = (*token_ids.shape, self.vocabulary_size)
        return keras.KerasTensor(shape, self.compute_dtype)
