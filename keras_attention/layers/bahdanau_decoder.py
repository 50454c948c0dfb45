"""The decoder of the first translator with attention (Bahdanau et al. 2015).

Letters: B sources, K sequences written for one source, T tokens, S tokens of the
source, E width of what the encoder gives, D width of a word, H width of a recurrent
layer, V vocabulary, n vectors of the encoder's state.
"""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.additive_attention import AdditiveAttention
from keras_attention.layers.sequence_decoder import AttentionSequenceDecoder


@keras.saving.register_keras_serializable("keras_attention")
class BahdanauDecoder(AttentionSequenceDecoder):
    """Writes a sequence, and reads other places of the source for each token.

    Bahdanau et al. 2015, arXiv:1409.0473, Appendix A.1.2 and A.2.2. With h what the
    encoder gives for each token of the source, y the tokens, E their embedding, f the
    recurrent unit, each other capital letter a matrix, [.,.] side by side:

        s_0     = tanh(W_s state)                                         (B, H)
        weights = softmax(v . tanh(W_a s_{t-1} + U_a h))                  (B, S)
        c_t     = weights @ h                                             (B, E)
        s_t     = f([E y_{t-1}, c_t], s_{t-1})                            (B, H)
        u       = U_o s_{t-1} + V_o E y_{t-1} + C_o c_t                   (B, 2 R)
        t       = max(u_1, u_2), max(u_3, u_4), ...                       (B, R)
        logits  = W_o t                                                   (B, V)

    The unit f of the paper is `ChoGRUCell`. Its matrices C are the lower rows of that
    cell's kernel. The lines of s_0, u and logits have a bias here, which begins at 0.
    With several layers s is the highest.

    Args:
        vocabulary_size: V.
        hidden_dim: H.
        word_dim: D.
        attention_dim: Width of the network that scores the source. Defaults to H.
        readout_dim: R, width of the maxout layer. Defaults to half of H.
        num_layers: How many recurrent layers there are.
        cell: `"cho_gru"`, or Keras's `"gru"` or `"lstm"`.
        dropout: Fraction dropped of the words and before the last layer in training,
            from 0 to 1.
        seed: Integer, for reproducible dropout.

    Call arguments:
        token_ids: `(B, T)`, each sequence from its start token on.
        encoder_outputs: `(B, S, E)`, h.
        state: `(B, n, any)`, from `RNNEncoder`; the paper takes the half that was read
            backwards.
        encoder_outputs_mask: `(B, S)`, boolean, True for what is no padding; filled in
            by Keras when an earlier layer computed it.
        return_attention_scores: Also return the weights.

    Returns:
        Logits `(B, T, V)` for the token after each token, and the weights `(B, T, S)`
        if asked.

    Raises:
        ValueError: The state is not one of so many layers, or of another batch size.

    Example:

    >>> layer = BahdanauDecoder(vocabulary_size=9, hidden_dim=6, word_dim=5)
    >>> token_ids = np.array([[1, 4, 8], [1, 5, 2]])
    >>> outputs, state = keras.ops.ones((2, 7, 12)), keras.ops.ones((2, 1, 6))
    >>> logits, weights = layer(token_ids, outputs, state, return_attention_scores=True)
    >>> tuple(logits.shape), tuple(weights.shape)
    ((2, 3, 9), (2, 3, 7))
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        word_dim,
        attention_dim=None,
        readout_dim=None,
        num_layers=1,
        cell="cho_gru",
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
        for name, size in (
            ("attention_dim", attention_dim),
            ("readout_dim", readout_dim),
        ):
            if size is not None:
                check_positive(**{name: size})
        self.attention_dim = attention_dim
        self.readout_dim = readout_dim
        self.attention = AdditiveAttention(
            attention_dim or hidden_dim, dtype=self.dtype_policy, name="attention"
        )
        # Of a loop only the states come out: `call` hands the weights over.
        self.attention.is_recorded = False
        self.maxout_dim = readout_dim or max(hidden_dim // 2, 1)
        self.readout = self.dense(2 * self.maxout_dim, "readout")

    def build(
        self,
        token_ids_shape,
        encoder_outputs_shape,
        state_shape,
        encoder_outputs_mask_shape=None,
    ):
        source_dim = encoder_outputs_shape[-1]
        self.build_layers(
            self.word_dim + source_dim,
            state_shape,
            output_dim=self.maxout_dim,
            translate_state=True,
        )
        self.attention.build((None, 1, self.hidden_dim), (None, None, source_dim))
        self.readout.build((None, None, self.hidden_dim + self.word_dim + source_dim))
        self.built = True

    def start(self, encoder_outputs, state, encoder_outputs_mask=None):
        """Computes the parts of the attention that are the same for all tokens."""
        source = (
            encoder_outputs,
            self.attention.project_keys(encoder_outputs),
            encoder_outputs_mask,
        )
        states = self.first_states(state)  # (B, 1, H) each
        nothing = ops.zeros_like(encoder_outputs[:, :1])  # (B, 1, E)
        nowhere = ops.zeros_like(encoder_outputs[:, None, :, 0], dtype=self.wide_dtype)
        return source, (*states, states[self.top], nothing, nowhere)

    def step(self, source, state, words):
        """Reads what the state asks for, and goes on with it."""
        encoder_outputs, projected, mask = source
        states = state[: self.num_states]
        before = states[self.top]  # (B, K, H)
        context, weights = self.attention(
            query=before,
            value=encoder_outputs,
            projected_key=projected,
            mask=mask,
            return_attention_scores=True,
        )  # (B, K, E), (B, K, S)
        _, states = self.advance(ops.concatenate([words, context], axis=-1), states)
        return (*states, before, context, ops.cast(weights, self.wide_dtype))

    def predict(self, words, state, training=None):
        """The maxout layer (Appendix A.2.2), from the state before the token."""
        *_, before, context, _ = state
        features = self.readout(ops.concatenate([before, words, context], axis=-1))
        shape = (-1, ops.shape(words)[1], self.maxout_dim, 2)
        pairs = ops.reshape(features, shape)
        features = ops.maximum(pairs[..., 0], pairs[..., 1])  # (B, T, R)
        return self.word_output(self.drop(features, training=training))
