"""The decoder with global or local attention (Luong et al. 2015).

Letters: B sources, K sequences written for one source, T tokens, S tokens of the
source, E width of what the encoder gives, D width of a word, H width of a recurrent
layer, L layers, V vocabulary, n vectors of the encoder's state.
"""

import keras
from keras import ops

from keras_attention.layers.base import by_rows
from keras_attention.layers.luong_attention import LuongAttention
from keras_attention.layers.sequence_decoder import AttentionSequenceDecoder


@keras.saving.register_keras_serializable("keras_attention")
class LuongDecoder(AttentionSequenceDecoder):
    """Writes a sequence; what it will say is what looks at the source.

    Luong et al. 2015, arXiv:1508.04025, Section 3. With h what the encoder gives, y the
    tokens, E their embedding, f the L recurrent layers, [.,.] side by side:

        s_t    = f([E y_{t-1}, a_{t-1}], s_{t-1})                         (B, H)
        c_t    = attention(query = s_t, value = h)                        (B, E)
        a_t    = tanh(W_c [c_t, s_t])                                     (B, H)
        logits = W_s a_t + b                                              (B, V)

    `BahdanauDecoder` asks with the state before, s_{t-1}. Without input feeding a_{t-1}
    is left out. The first state is the encoder's, or, where the widths differ, tanh(W
    state + b). Attention is that of `LuongAttention`.

    Args:
        vocabulary_size: V.
        hidden_dim: H.
        word_dim: D.
        score: `"dot"`, `"general"` or `"concat"`.
        alignment: `"global"`, or local: `"monotonic"` or `"predictive"`.
        window: How far local attention reads.
        input_feeding: Whether a_{t-1} enters the next step.
        attention_dim: Width of the network of `"concat"`. Defaults to H.
        num_layers: L.
        cell: `"lstm"`, `"gru"`, or `"cho_gru"`.
        dropout: Fraction dropped of the words and before the last layer in training,
            from 0 to 1.
        seed: Integer, for reproducible dropout.

    Call arguments:
        token_ids: `(B, T)`, each sequence from its start token on.
        encoder_outputs: `(B, S, E)`, h.
        state: `(B, n, any)`, from `RNNEncoder`.
        encoder_outputs_mask: `(B, S)`, boolean, True for what is no padding; filled in
            by Keras when an earlier layer computed it.
        return_attention_scores: Also return the weights.

    Returns:
        Logits `(B, T, V)` for the token after each token, and the weights `(B, T, S)`
        if asked.

    Raises:
        ValueError: The state is not one of so many layers, or of another batch size.

    Example:

    >>> layer = LuongDecoder(9, 6, 5, alignment="predictive", window=2)
    >>> token_ids = np.array([[1, 4, 8], [1, 5, 2]])
    >>> outputs, state = keras.ops.ones((2, 7, 6)), keras.ops.ones((2, 2, 6))
    >>> logits, weights = layer(token_ids, outputs, state, return_attention_scores=True)
    >>> tuple(logits.shape), tuple(weights.shape)
    ((2, 3, 9), (2, 3, 7))
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        word_dim,
        score="general",
        alignment="global",
        window=10,
        input_feeding=True,
        attention_dim=None,
        num_layers=1,
        cell="lstm",
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
        self.score = score
        self.alignment = alignment
        self.window = window
        self.input_feeding = input_feeding
        self.attention_dim = attention_dim
        self.attention = LuongAttention(
            score,
            alignment,
            window,
            units=attention_dim,
            dtype=self.dtype_policy,
            name="attention",
        )
        # Of a loop only the states come out: `call` hands the weights over.
        self.attention.is_recorded = False
        self.combine = self.dense(hidden_dim, "combine", use_bias=False)

    def build(
        self,
        token_ids_shape,
        encoder_outputs_shape,
        state_shape,
        encoder_outputs_mask_shape=None,
    ):
        source_dim = encoder_outputs_shape[-1]
        width = self.word_dim + (self.hidden_dim if self.input_feeding else 0)
        self.build_layers(width, state_shape, output_dim=self.hidden_dim)
        self.attention.build((None, 1, self.hidden_dim), (None, None, source_dim))
        self.combine.build((None, None, source_dim + self.hidden_dim))
        self.built = True

    def start(self, encoder_outputs, state, encoder_outputs_mask=None):
        """Computes the parts of the attention that are the same for all tokens."""
        source = (
            encoder_outputs,
            self.attention.project_keys(encoder_outputs),
            encoder_outputs_mask,
        )
        states = self.first_states(state)  # (B, 1, H) each
        nothing = ops.zeros_like(states[0])
        position = ops.zeros_like(
            states[0][:, :, :1], dtype=self.wide_dtype
        )  # (B, 1, 1)
        nowhere = ops.zeros_like(encoder_outputs[:, None, :, 0], dtype=self.wide_dtype)
        return source, (*states, nothing, position, nowhere)

    def step(self, source, state, words):
        """Goes on with the words, and then reads what the new state asks for."""
        encoder_outputs, projected, mask = source
        *states, combined, position, _ = state
        if self.input_feeding:
            words = ops.concatenate([words, combined], axis=-1)
        top, states = self.advance(words, states)  # (B, K, H)
        context, weights = self.attention(
            query=top,
            value=encoder_outputs,
            projected_key=projected,
            mask=mask,
            positions=position[:, :, 0],
            return_attention_scores=True,
        )  # (B, K, E), (B, K, S)
        combined = by_rows(self.combine, ops.concatenate([context, top], axis=-1))
        combined = ops.tanh(combined)
        return (*states, combined, position + 1, ops.cast(weights, self.wide_dtype))

    def predict(self, words, state, training=None):
        """The logits `(B, T, V)`, from a_t."""
        return self.word_output(self.drop(state[-3], training=training))
