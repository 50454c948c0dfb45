"""Translation that aligns: the decoder reads the source anew for each token.

Bahdanau et al. 2015, arXiv:1409.0473 (Neural Machine Translation by Jointly Learning to
Align and Translate), and Luong et al. 2015, arXiv:1508.04025 (Effective Approaches to
Attention-based Neural Machine Translation).

Letters: B sentences, S tokens of the source, T tokens of the target, H width of a
recurrent layer, V vocabulary of the target.
"""

import keras
from keras import ops

from keras_attention.applications.application import Application
from keras_attention.checks import check_choice
from keras_attention.data.phonemes import LETTERS
from keras_attention.data.phonemes import PHONEMES
from keras_attention.generation.sentences import sized_vocabulary
from keras_attention.generation.translator import Translator
from keras_attention.layers.bahdanau_decoder import BahdanauDecoder
from keras_attention.layers.luong_attention import SCORES
from keras_attention.layers.luong_decoder import LuongDecoder
from keras_attention.layers.rnn_encoder import RNNEncoder
from keras_attention.tasks.sentence_inputs import SentenceInputs


@keras.saving.register_keras_serializable("keras_attention")
class AttentionSeq2Seq(SentenceInputs, Translator, Application):
    """Reads a sequence, and writes another one while looking at it.

    A recurrent network reads the source in both directions. A second one writes the
    target, and for each token it reads what the first made of each token of the source,
    weighted by how well it matches what is needed now. The equations stand with
    `keras_attention.layers.RNNEncoder`, `BahdanauDecoder`, and, with a `score` other
    than `"additive"`, `LuongDecoder`, whose state after the step asks, not the one
    before.

    It is trained and used like `RNNSeq2Seq`, and shows what it read:

        translations, weights = model.translate(
            sentences, return_attention_scores=True
        )                                                              # (B, T, S)

    The sizes by default are those of RNNsearch (Bahdanau et al., Appendix A.2.3). They
    draw most weights from a normal distribution of deviation 0.01, where these begin as
    Keras's do.

    Args:
        source_vocabulary: The words that the model reads: a `Vocabulary`, another
            tokenizer, or a list of words.
        target_vocabulary: The words that it writes.
        source_vocabulary_size: For a model without a source vocabulary, which reads
            token ids: 0 is padding, 1 the start, 2 the end, 3 an unknown word.
        target_vocabulary_size: V, for a model without a target vocabulary.
        hidden_dim: H, in each direction.
        word_dim: Width of a word.
        score: `"additive"` is the decoder of Bahdanau et al.; `"dot"`, `"general"` and
            `"concat"` are those of Luong et al.
        alignment: `"global"`, or, with Luong's scores, local: `"monotonic"`, around the
            same place in the source, or `"predictive"`, around one it predicts.
        window: How far from that place local attention reads.
        input_feeding: Whether Luong's decoder is told at each step what it attended to
            in the last.
        attention_dim: Width of the network that scores the source, if one does.
            Defaults to H.
        readout_dim: Width of Bahdanau's maxout layer. Defaults to half of H.
        num_layers: How many recurrent layers encoder and decoder have.
        cell: `"cho_gru"`, that of the paper, or Keras's `"gru"` or `"lstm"`.
        bidirectional: Whether the encoder reads in both directions.
        reverse_source: Whether an encoder of one direction reads the last word first.
        dropout: Fraction dropped of the words, between layers and before the last
            layer in training, from 0 to 1.
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

    >>> model = AttentionSeq2Seq(
    ...     source_vocabulary=["cat", "black"], target_vocabulary=["chat", "noir"],
    ...     hidden_dim=8, word_dim=4,
    ... )
    >>> translations, weights = model.translate(
    ...     ["black cat", "cat"], max_length=2, return_attention_scores=True
    ... )
    >>> len(translations), weights.shape[2]  # [start] black cat [end]
    (2, 4)
    """

    presets_table = {
        # Appendix A.2.3; the 30,000 most frequent words of each language, Section 4.1.
        "rnnsearch_50": {
            "description": "Bahdanau's sizes for English to French, GRUs of 1000.",
            "source_vocabulary_size": 30001,
            "target_vocabulary_size": 30001,
        },
        # Section 4.1: 4 layers of 1000 cells, 50,000 words, dropout 0.2, D = 10.
        "luong_local_predictive": {
            "description": "Luong's sizes for English to German, local-p attention.",
            "source_vocabulary_size": 50000,
            "target_vocabulary_size": 50000,
            "word_dim": 1000,
            "score": "general",
            "alignment": "predictive",
            "num_layers": 4,
            "cell": "lstm",
            "bidirectional": False,
            "reverse_source": True,
            "dropout": 0.2,
        },
        "attention_seq2seq_letters_to_phonemes": {
            "description": "English spelling to sounds (CMUdict), 0.5M parameters.",
            "source_vocabulary": LETTERS,
            "target_vocabulary": PHONEMES,
            "hidden_dim": 128,
            "word_dim": 64,
            "cell": "gru",
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
        word_dim=620,
        score="additive",
        alignment="global",
        window=10,
        input_feeding=True,
        attention_dim=None,
        readout_dim=None,
        num_layers=1,
        cell="cho_gru",
        bidirectional=True,
        reverse_source=False,
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
        shared.update(attention_dim=attention_dim, name="decoder")
        if score == "additive":
            _check_global(alignment)
            decoder = BahdanauDecoder(
                target_size, hidden_dim, word_dim, readout_dim=readout_dim, **shared
            )
        else:
            check_choice(("additive", *SCORES), score=score)
            decoder = LuongDecoder(
                target_size,
                hidden_dim,
                word_dim,
                score=score,
                alignment=alignment,
                window=window,
                input_feeding=input_feeding,
                **shared,
            )

        encoder_token_ids = keras.Input(
            (None,), dtype="int32", name="encoder_token_ids"
        )
        decoder_token_ids = keras.Input(
            (None,), dtype="int32", name="decoder_token_ids"
        )
        source = _read(encoder, decoder, encoder_token_ids)
        logits = decoder(decoder_token_ids, **source)  # (B, T, V)
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
        return self.decoder.start(
            **_read(self.encoder, self.decoder, encoder_token_ids)
        )


def _read(encoder, decoder, token_ids):
    """What the decoder gets of the source, by the names of its arguments."""
    outputs, state = encoder(token_ids, return_state=True)  # (B, S, E), (B, n, E)
    if encoder.bidirectional and isinstance(decoder, BahdanauDecoder):
        state = state[:, :, encoder.hidden_dim :]  # the half that was read backwards
    return {
        "encoder_outputs": outputs,
        "state": state,
        "encoder_outputs_mask": ops.not_equal(token_ids, encoder.padding_id),
    }


def _check_global(alignment):
    if alignment != "global":
        raise ValueError(
            "Additive attention reads the whole source. Received: "
            f'score="additive", alignment={alignment!r}. Take a `score` of Luong et '
            'al.: "dot", "general" or "concat".'
        )
