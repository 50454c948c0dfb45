"""Writing a sequence from one vector (Sutskever et al. 2014; Cho et al. 2014).

Letters: B sources, K sequences written for one source, T tokens, D width of a word, H
width of a recurrent layer, L layers, V vocabulary, n vectors of the encoder's state, E
width of each.
"""

import keras
from keras import ops

from keras_attention.checks import check_tokens
from keras_attention.layers.rnn_encoder import CELLS
from keras_attention.layers.sequence_decoder import check_batches
from keras_attention.layers.sequence_decoder import SequenceDecoder


@keras.saving.register_keras_serializable("keras_attention")
class RNNDecoder(SequenceDecoder):
    """Writes a sequence; all that it knows of the source is where it begins.

    Sutskever et al. 2014, arXiv:1409.3215, Section 2. With y the tokens, E their
    embedding, s the states of the L layers, and s_0 the encoder's last:

        s_t    = f(E y_{t-1}, s_{t-1})                                    (B, H)
        logits = W s_t + b                                                (B, V)

    With `repeat_context` the source's vector c, the first state of the highest layer,
    enters each step, f([E y_{t-1}, c], s_{t-1}) (Cho et al. 2014, arXiv:1406.1078,
    Section 2.2). Where the encoder's states have another width, s_0 is tanh(W state +
    b).

    Args:
        vocabulary_size: V.
        hidden_dim: H.
        word_dim: D.
        num_layers: L.
        cell: `"lstm"`, `"gru"`, or `"cho_gru"` (`ChoGRUCell`).
        repeat_context: Whether the source's vector enters each step.
        dropout: Fraction dropped before each layer in training, from 0 to 1.
        seed: Integer, for reproducible dropout.

    Call arguments:
        token_ids: `(B, T)`, each sequence from its start token on.
        state: `(B, n, E)`, from `RNNEncoder`, n = L, or 2 L with an LSTM.

    Returns:
        Logits `(B, T, V)` for the token after each token.

    Raises:
        ValueError: The state is not one of so many layers, or of another batch size.

    Example:

    >>> layer = RNNDecoder(vocabulary_size=9, hidden_dim=6, word_dim=5, num_layers=2)
    >>> token_ids, state = np.array([[1, 4, 8], [1, 5, 2]]), keras.ops.ones((2, 4, 6))
    >>> tuple(layer(token_ids, state).shape)
    (2, 3, 9)
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        word_dim,
        num_layers=1,
        cell="lstm",
        repeat_context=False,
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            vocabulary_size,
            hidden_dim,
            word_dim,
            num_layers=num_layers,
            cell=cell,
            dropout=dropout,
            seed=seed,
            **kwargs,
        )
        self.repeat_context = repeat_context

    def build(self, token_ids_shape, state_shape):
        width = self.word_dim + (self.hidden_dim if self.repeat_context else 0)
        self.build_layers(width, state_shape, output_dim=self.hidden_dim)
        self.built = True

    def start(self, state):
        """The context `(B, 1, H)`, and what the layers begin with."""
        states = self.first_states(state)
        return states[self.top], states

    def with_context(self, words, context):
        """What enters the lowest layer: `(B, T, D)`, or with the context D + H."""
        if not self.repeat_context:
            return words
        shape = (*ops.shape(words)[:2], self.hidden_dim)
        context = ops.broadcast_to(ops.cast(context, words.dtype), shape)
        return ops.concatenate([words, context], axis=-1)

    def step(self, source, state, words):
        """Remembers the words together with all before them."""
        return self.advance(self.with_context(words, source), state)[1]

    def predict(self, words, state, training=None):
        """The logits `(B, T, V)`, from the highest layer."""
        return self.word_output(state[self.top])

    def call(self, token_ids, state, training=None):
        check_batches(self.name, token_ids=token_ids, state=state)
        check_tokens(self.name, token_ids=token_ids)
        context, states = self.start(state)
        x = self.drop(self.embedding(token_ids), training=training)  # (B, T, D)
        x = self.with_context(x, context)
        # What is known beforehand is read by Keras's layers, which are faster.
        size = CELLS[self.cell]
        for i, layer in enumerate(self.recurrent):
            first = [s[:, 0] for s in states[size * i : size * (i + 1)]]
            x = layer(x, initial_state=first)  # (B, T, H)
            x = self.drop(x, training=training)
        return self.word_output(x)

    def compute_output_spec(self, token_ids, state, training=None):
        check_batches(self.name, token_ids=token_ids, state=state)
        shape = (*token_ids.shape, self.vocabulary_size)
        return keras.KerasTensor(shape, self.compute_dtype)
