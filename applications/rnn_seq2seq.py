"""Translation through one vector: an encoder, a decoder, and nothing between them.

Sutskever et al. 2014, arXiv:1409.3215 (Sequence to Sequence Learning with Neural
Networks), and Cho et al. 2014, arXiv:1406.1078.

Letters: B sentences, S tokens of the source, T tokens of the target, V vocabulary of
the target.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.data.phonemes import LETTERS
from keras_attention.data.phonemes import PHONEMES
from keras_attention.generation.sentences import sized_vocabulary
from keras_attention.generation.translator import Translator
from keras_attention.layers.rnn_decoder import RNNDecoder
from keras_attention.layers.rnn_encoder import RNNEncoder
from keras_attention.tasks.sentence_inputs import SentenceInputs


@keras.saving.register_keras_serializable("keras_attention")
class RNNSeq2Seq(SentenceInputs, Translator, Application):
    """Reads a sequence into one vector, and writes another sequence from it.

    One recurrent network reads the source; its last state is the first of another one,
    which writes the target. The equations stand with
    `keras_attention.layers.RNNEncoder` and `RNNDecoder`. Whatever the length of the
    source, all of it must fit into that state: `AttentionSeq2Seq` removes this
    bottleneck.

    It is trained on targets that are given, each token predicted from the source and
    the true tokens before it:

        model.compile("adam", TokenCrossentropy())
        model.fit(sentences, translations)
        model.translate(sentences)

    The same with token ids:

        source = source_vocabulary.encode(sentences)         # [start] ... [end] [pad]
        target = target_vocabulary.encode(translations)
        model.fit(
            {"encoder_token_ids": source, "decoder_token_ids": target[:, :-1]},
            target[:, 1:],
        )

    The sizes by default are those of Sutskever et al., Section 3.4. They draw all
    weights uniformly from -0.08 to 0.08, where these begin as Keras's do.

    Args:
        source_vocabulary: The words that the model reads: a `Vocabulary`, another
            tokenizer, or a list of words.
        target_vocabulary: The words that it writes.
        source_vocabulary_size: For a model without a source vocabulary, which reads
            token ids: 0 is padding, 1 the start, 2 the end, 3 an unknown word.
        target_vocabulary_size: V, for a model without a target vocabulary.
        hidden_dim: Width of each recurrent layer, in each direction.
        word_dim: Width of a word.
        num_layers: How many recurrent layers encoder and decoder have.
        cell: `"lstm"`, `"gru"`, or `"cho_gru"` (`ChoGRUCell`).
        bidirectional: Whether the encoder reads in both directions.
        reverse_source: Whether the encoder reads the last word first, so that the
            first words of source and target are near each other.
        repeat_context: Whether the source's vector enters each step of the decoder, as
            with Cho et al., not only the first.
        dropout: Fraction dropped before each layer in training, from 0 to 1.
        max_length: Most tokens that `translate` writes.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        inputs: Dict with `encoder_token_ids`, integers `(B, S)`, and
            `decoder_token_ids`, integers `(B, T)`.

    Returns:
        Logits `(B, T, V)` of the token after each token.

    Raises:
        ValueError: An argument is out of its range, or arguments contradict each other.

    Example:

    >>> model = RNNSeq2Seq(
    ...     source_vocabulary=["cat", "black"], target_vocabulary=["chat", "noir"],
    ...     hidden_dim=8, word_dim=4, num_layers=2,
    ... )
    >>> len(model.translate(["black cat", "cat"], max_length=2))
    2
    """

    presets_table = {
        # Section 3.4: 384 million parameters, 64 million of them in the LSTMs.
        "rnn_seq2seq_wmt14": {
            "description": "Sutskever's sizes for English to French, 384M parameters.",
            "source_vocabulary_size": 160000,
            "target_vocabulary_size": 80000,
        },
        "rnn_seq2seq_letters_to_phonemes": {
            "description": "English spelling to sounds (CMUdict), 0.5M parameters.",
            "source_vocabulary": LETTERS,
            "target_vocabulary": PHONEMES,
            "hidden_dim": 256,
            "word_dim": 64,
            "num_layers": 1,
            "cell": "gru",
            "reverse_source": False,
            "max_length": 24,
        },
    }

    def __init__(
        self,
        *,
        source_vocabulary=None,
        target_vocabulary=None,
        source_vocabulary_size=None,
        target_vocabulary_size=None,
        hidden_dim=1000,
        word_dim=1000,
        num_layers=4,
        cell="lstm",
        bidirectional=False,
        reverse_source=True,
        repeat_context=False,
        dropout=0.0,
        max_length=50,
        seed=None,
        name=None,
    ):
        source_vocabulary, source_size = sized_vocabulary(
            source_vocabulary, source_vocabulary_size, "source_vocabulary"
        )
        target_vocabulary, target_size = sized_vocabulary(
            target_vocabulary, target_vocabulary_size, "target_vocabulary"
        )
        shared = {
            "num_layers": num_layers,
            "cell": cell,
            "dropout": dropout,
            "seed": seed,
        }
        encoder = RNNEncoder(
            source_size,
            hidden_dim,
            word_dim,
            bidirectional=bidirectional,
            reverse=reverse_source,
            **shared,
            name="encoder",
        )
        decoder = RNNDecoder(
            target_size,
            hidden_dim,
            word_dim,
            repeat_context=repeat_context,
            **shared,
            name="decoder",
        )

        encoder_token_ids = keras.Input(
            (None,), dtype="int32", name="encoder_token_ids"
        )
        decoder_token_ids = keras.Input(
            (None,), dtype="int32", name="decoder_token_ids"
        )
        _, state = encoder(encoder_token_ids, return_state=True)  # (B, n, E)
        logits = decoder(decoder_token_ids, state)  # (B, T, V)
        inputs = {
            "encoder_token_ids": encoder_token_ids,
            "decoder_token_ids": decoder_token_ids,
        }
        super().__init__(inputs, logits, name=name)

        self.encoder, self.decoder = encoder, decoder
        self.source_vocabulary = source_vocabulary
        self.target_vocabulary = target_vocabulary
        self.vocabulary_sizes = source_size, target_size
        self.max_length = max_length

    def start(self, encoder_token_ids):
        """Reads the source, as the decoder's `write` needs it.

        Args:
            encoder_token_ids: `(B, S)`.

        Returns:
            What `decoder.write` needs of the source, and the first state.
        """
        _, state = self.encoder(encoder_token_ids, return_state=True, training=False)
        return self.decoder.start(state)
