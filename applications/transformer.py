"""The Transformer: translation by attention alone.

Vaswani et al. 2017, arXiv:1706.03762. Its code: github.com/tensorflow/tensor2tensor.

Letters: B sequences, S tokens of a source, T tokens of a target, D width of a token, V
vocabulary.
"""

import json
import math
import pathlib
import types

import keras
import numpy as np
from keras import ops

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.fsmt import FSMT_FAMILY
from keras_attention.checkpoints.families.marian import decoder_fields
from keras_attention.checkpoints.families.marian import MARIAN_FAMILY
from keras_attention.checkpoints.families.marian import vocabulary_sizes
from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.data.phonemes import LETTERS
from keras_attention.data.phonemes import PHONEMES
from keras_attention.generation.steps import CachedSteps
from keras_attention.generation.translator import Translator
from keras_attention.layers.base import key_dim_of
from keras_attention.layers.channel_bias import ChannelBias
from keras_attention.layers.multi_head_attention import MultiHeadAttention
from keras_attention.layers.multi_head_self_attention import MultiHeadSelfAttention
from keras_attention.layers.positional_embedding import PositionalEmbedding
from keras_attention.layers.tied_embedding import TiedEmbedding
from keras_attention.layers.transformer_decoder import TransformerDecoder
from keras_attention.layers.transformer_decoder_block import TransformerDecoderBlock
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.tasks.sentence_inputs import SentenceInputs
from keras_attention.tokenizers.loading import load_tokenizer
from keras_attention.tokenizers.marian_tokenizer import MarianTokenizer
from keras_attention.tokenizers.marian_tokenizer import save_pair
from keras_attention.tokenizers.marian_tokenizer import SOURCE_MODEL
from keras_attention.tokenizers.vocabulary import Vocabulary

# Section 5.1: byte pairs of English and German.
VOCABULARY_SIZE = 37000
POSITIONS = ("sinusoidal", "marian", "fairseq", "learned")
# Section 6.1: how many tokens more than its source a translation may have.
MORE_TOKENS = 50


@keras.saving.register_keras_serializable("keras_attention")
class Transformer(SentenceInputs, Translator, Application):
    """Translates: reads a sequence, and writes another one token by token.

    Vaswani et al. 2017, arXiv:1706.03762, Figure 1:

        x = sqrt(D) embedding(encoder_token_ids) + positions            (B, S, D)
        x = 6 times: self-attention, feed-forward network               (B, S, D)
        y = sqrt(D) embedding(decoder_token_ids) + positions            (B, T, D)
        y = 6 times: causal self-attention, attention to x,             (B, T, D)
            feed-forward network
        logits = y embedding^T                                          (B, T, V)

    It is trained on pairs of sequences, each token of the target predicted from the
    source and the true tokens before it:

        rate = InverseSquareRoot(hidden_dim=512, warmup_steps=4000)
        model.compile(
            keras.optimizers.Adam(rate, beta_2=0.98, epsilon=1e-9),
            TokenCrossentropy(label_smoothing=0.1),
        )
        model.fit(source_texts, target_texts)
        model.translate(source_texts)

    In arrays, the targets are the token ids without the first, the inputs those without
    the last:

        sources = source_vocabulary.encode(source_texts)     # (B, S)
        targets = target_vocabulary.encode(target_texts)     # (B, T + 1)
        model.fit(
            {"encoder_token_ids": sources, "decoder_token_ids": targets[:, :-1]},
            targets[:, 1:],
        )

    Where the padding is not token 0, as with Marian, `TokenCrossentropy` is told so by
    `padding_id=model.padding_id`.

    The search is that of Section 6.1: 4 beams, a length penalty of 0.6, at most 50
    tokens more than the source.

    The defaults are the paper's base model, with the norm behind each branch, which
    needs a learning rate that begins small. Padding stands at the end of a sequence.

    `from_preset` also reads the checkpoints of Marian (MarianMTModel) and of fairseq
    (FSMTForConditionalGeneration) as they are published for the library transformers,
    those of Marian with their tokenizers; `save_to_preset` writes a model in the layout
    that it fits, in Marian's where it fits both, and any other in one of our own.

    Args:
        source_vocabulary: What turns sources into token ids, such as a `Vocabulary`, or
            a list of words. A model without one reads token ids.
        target_vocabulary: The same for targets. That of the sources by default.
        source_vocabulary_size: V of a model without a vocabulary. Defaults to 37,000.
        target_vocabulary_size: The same for targets. Defaults to that of the sources.
        hidden_dim: D.
        num_layers: Blocks of the encoder.
        num_heads: Heads of the encoder.
        mlp_dim: Width of the encoder's feed-forward networks.
        num_decoder_layers, num_decoder_heads, decoder_mlp_dim: The same for the
            decoder, by default as in the encoder.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        norm_order: `"post"` as in the paper, or `"pre"`, which trains more easily and
            has one more norm at the end of encoder and decoder.
        epsilon: Small number in the norm's square root.
        positions: `"sinusoidal"`; the sinusoids of Marian or of fairseq, `"marian"` and
            `"fairseq"`, which differ in their order and in fairseq in their wavelengths
            and first number; or `"learned"`.
        max_length: Most tokens of a sequence, its start and end included. Learned
            positions need it; sinusoidal ones have no end.
        share_embeddings: Whether sources and targets have one table of tokens.
        tie_output: Whether the last layer is the table of the targets, transposed.
        use_output_bias: Whether the last layer has a bias.
        scale_embeddings: Whether embeddings are multiplied by the root of D.
        use_attention_bias: Whether the projections of attention have biases.
        dropout: Fraction dropped in training, from 0 to 1, of the embeddings and of
            what each branch adds.
        attention_dropout: Fraction of attention weights dropped.
        mlp_dropout: Fraction of the feed-forward networks' hidden layer dropped.
        padding_id: Token id of padding in sources and targets.
        start_id: Token id that precedes a target.
        end_id: Token id that ends a target.
        forbidden_ids: Token ids that are never written.
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

    >>> model = Transformer(
    ...     source_vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2,
    ...     mlp_dim=16,
    ... )
    >>> inputs = {
    ...     "encoder_token_ids": np.array([[5, 7, 2], [9, 2, 0]]),
    ...     "decoder_token_ids": np.array([[1, 7], [1, 9]]),
    ... }
    >>> model.predict(inputs, verbose=0).shape
    (2, 2, 20)
    """

    families = (MARIAN_FAMILY, FSMT_FAMILY)
    length_penalty = 0.6  # Section 6.1, which has 4 beams, too
    presets_table = {
        # Table 3; Section 5.1 for the vocabulary, 5.4 for dropout.
        "transformer_base": {
            "description": "The paper's base model: 6 + 6 layers, width 512, 63M.",
        },
        "transformer_big": {
            "description": "The paper's big model: 6 + 6 layers, width 1024, 214M.",
            "hidden_dim": 1024,
            "num_heads": 16,
            "mlp_dim": 4096,
            "dropout": 0.3,
        },
        "transformer_letters_to_phonemes": {
            "description": "English spelling to sounds (CMUdict), 3.9M parameters.",
            "source_vocabulary": LETTERS,
            "target_vocabulary": PHONEMES,
            "hidden_dim": 256,
            "num_layers": 3,
            "num_heads": 4,
            "mlp_dim": 512,
            "norm_order": "pre",
            "share_embeddings": False,
        },
    }

    def __init__(
        self,
        *,
        source_vocabulary=None,
        target_vocabulary=None,
        source_vocabulary_size=None,
        target_vocabulary_size=None,
        hidden_dim=512,
        num_layers=6,
        num_heads=8,
        mlp_dim=2048,
        num_decoder_layers=None,
        num_decoder_heads=None,
        decoder_mlp_dim=None,
        activation="relu",
        norm_order="post",
        epsilon=1e-6,
        positions="sinusoidal",
        max_length=None,
        share_embeddings=True,
        tie_output=True,
        use_output_bias=False,
        scale_embeddings=True,
        use_attention_bias=False,
        dropout=0.1,
        attention_dropout=0.0,
        mlp_dropout=0.0,
        padding_id=0,
        start_id=1,
        end_id=2,
        forbidden_ids=(0, 1, 3),
        seed=None,
        name=None,
    ):
        check_positive(hidden_dim=hidden_dim, num_heads=num_heads)
        check_choice(POSITIONS, positions=positions)
        check_rate(dropout=dropout)
        if max_length is not None:
            check_positive(max_length=max_length)

        source_vocabulary, source_size, target_vocabulary, target_size = _vocabularies(
            (source_vocabulary, source_vocabulary_size),
            (target_vocabulary, target_vocabulary_size),
            share_embeddings,
        )
        smaller = min(source_size, target_size)
        _check_ids(smaller, padding_id=padding_id)
        _check_ids(target_size, start_id=start_id, end_id=end_id)
        embed_source = embed_target = _embedding(
            source_size,
            hidden_dim,
            seed,
            "token_embedding" if share_embeddings else "source_embedding",
        )
        if not share_embeddings:
            embed_target = _embedding(target_size, hidden_dim, seed, "target_embedding")
        scale = math.sqrt(hidden_dim) if scale_embeddings else 1.0
        options = {
            "activation": activation,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "mlp_dropout": mlp_dropout,
            "norm_order": norm_order,
            "epsilon": epsilon,
            "seed": seed,
        }
        encoder = TransformerEncoder(
            _block(
                TransformerEncoderBlock,
                hidden_dim,
                num_heads,
                mlp_dim,
                use_attention_bias,
                options,
            ),
            num_layers,
            name="encoder",
        )
        decoder = TransformerDecoder(
            _block(
                TransformerDecoderBlock,
                hidden_dim,
                num_decoder_heads or num_heads,
                decoder_mlp_dim or mlp_dim,
                use_attention_bias,
                options,
            ),
            num_decoder_layers or num_layers,
            name="decoder",
        )
        source_positions, target_positions = (
            _positions(positions, hidden_dim, max_length, padding_id, name)
            for name in ("source_positions", "target_positions")
        )
        source_dropout, target_dropout = (
            keras.layers.Dropout(dropout, seed=seed, name=name)
            for name in ("source_dropout", "target_dropout")
        )
        output = bias = None
        if not tie_output:
            output = keras.layers.Dense(
                target_size, use_bias=use_output_bias, name="output"
            )
        elif use_output_bias:
            bias = ChannelBias(name="output_bias")

        def to_logits(y):
            logits = output(y) if output else embed_target(y, reverse=True)
            return bias(logits) if bias else logits

        encoder_token_ids = keras.Input(
            (None,), dtype="int32", name="encoder_token_ids"
        )
        decoder_token_ids = keras.Input(
            (None,), dtype="int32", name="decoder_token_ids"
        )
        mask = ops.not_equal(encoder_token_ids, padding_id)  # (B, S)
        x = embed_source(encoder_token_ids) * scale  # (B, S, D)
        x = source_positions(x, positions=_places(positions, mask))
        x = encoder(source_dropout(x), mask=mask)  # (B, S, D)
        y = embed_target(decoder_token_ids) * scale  # (B, T, D)
        y = target_dropout(target_positions(y))
        y = decoder(y, x, encoder_outputs_mask=mask)  # (B, T, D)
        logits = to_logits(y)  # (B, T, V)
        inputs = {
            "encoder_token_ids": encoder_token_ids,
            "decoder_token_ids": decoder_token_ids,
        }
        super().__init__(inputs, logits, name=name)

        self.encoder, self.decoder = encoder, decoder
        self.source_vocabulary = source_vocabulary
        self.target_vocabulary = target_vocabulary
        self.vocabulary_sizes = (source_size, target_size)
        self.max_length = max_length
        self.padding_id, self.start_id, self.end_id = padding_id, start_id, end_id
        self.forbidden_ids = tuple(forbidden_ids)
        # What a step of a search calls, as functions: Keras has the layers already.
        self._parts = types.SimpleNamespace(
            embed_source=embed_source,
            embed_target=embed_target,
            scale=scale,
            positions=positions,
            source_positions=source_positions,
            target_positions=target_positions,
            to_logits=to_logits,
        )

    def make_steps(self):
        """How this model begins and goes on: see `CachedSteps`."""
        parts = self._parts

        def embed(token_ids, positions):
            y = parts.embed_target(token_ids) * parts.scale
            return parts.target_positions(y, positions=positions[0])

        return CachedSteps(self.decoder, embed, parts.to_logits, self._read_source)

    def _read_source(self, encoder_token_ids):
        """What cross-attention reads of sources `(B, S)`."""
        parts = self._parts
        mask = ops.not_equal(encoder_token_ids, self.padding_id)  # (B, S)
        x = parts.embed_source(encoder_token_ids) * parts.scale  # (B, S, D)
        x = parts.source_positions(x, positions=_places(parts.positions, mask))
        x = self.encoder(x, mask=mask, training=False)
        return {
            "encoded": self.decoder.read_encoder(x),
            "encoder_outputs_mask": mask,
        }

    @property
    def longest_input(self):
        """Most tokens of a source and of a target, `max_length`, or `None`."""
        return self.max_length

    def _longest_translation(self, length):
        longest = length + MORE_TOKENS
        if self.max_length is None:
            return longest
        return max(1, min(longest, self.max_length - 1))

    def _check_length(self, max_length):
        if self.max_length is not None and max_length >= self.max_length:
            raise ValueError(
                f"This model has {self.max_length} positions, the first for the start. "
                f"Received: max_length={max_length}. Pass at most "
                f"{self.max_length - 1}."
            )

    def _check_arrays(self, x, y=None):
        super()._check_arrays(x, y)
        if self.max_length is None or not isinstance(x, dict):
            return
        for name, token_ids in x.items():
            if isinstance(token_ids, np.ndarray):
                if token_ids.shape[1] > self.max_length:
                    raise ValueError(
                        f"This model has positions for max_length={self.max_length} "
                        f"tokens. Received: `{name}` of the shape {token_ids.shape}. "
                        "Cut the sequences, or make the model longer."
                    )

    # What is published: the layouts of Marian and of fairseq, where the model fits.

    def _remember(self, arguments):
        arguments = dict(arguments)
        if vocabulary_sizes(arguments)[0] is None:
            arguments["source_vocabulary_size"] = VOCABULARY_SIZE
        super()._remember(types.MappingProxyType(arguments))
        families = type(self).families
        self.families = [f for f in families if _is_published_as(f, arguments)]

    @classmethod
    def read_assets(cls, folder, given=()):
        """Reads the tokenizers of a checkpoint of Marian.

        Args:
            folder: Its folder.
            given: Names of arguments that are not read.

        Returns:
            Dict with `source_vocabulary` and `target_vocabulary`, empty without files.
        """
        folder = pathlib.Path(folder)
        are_given = {"source_vocabulary", "target_vocabulary"} <= set(given)
        if are_given or not (folder / SOURCE_MODEL).is_file():
            return {}
        return {
            "source_vocabulary": load_tokenizer(folder),
            "target_vocabulary": load_tokenizer(folder, is_target=True),
        }

    def save_assets(self, folder):
        """Writes the vocabularies.

        Those of Marian go to `source.spm`, `target.spm` and `vocab.json`, others to
        `source_vocabulary.txt` and `target_vocabulary.txt`.

        Args:
            folder: An existing folder.
        """
        folder = pathlib.Path(folder)
        if self.families:
            text = json.dumps(self._generation_config(), indent=2)
            (folder / "generation_config.json").write_text(text)
        if not isinstance(self.source_vocabulary, MarianTokenizer):
            super().save_assets(folder)
            return
        save_pair(self.source_vocabulary, self.target_vocabulary, folder)

    def _generation_config(self):
        """What transformers has to know to write as this model does."""
        config = {
            "decoder_start_token_id": self.start_id,
            "eos_token_id": self.end_id,
            "forced_eos_token_id": self.end_id,
            "pad_token_id": self.padding_id,
            "num_beams": 4,
        }
        if self.max_length is not None:
            config["max_length"] = self.max_length
        if self.forbidden_ids:
            config["bad_words_ids"] = [[token_id] for token_id in self.forbidden_ids]
        return config

    def load_assets(self, folder, config=None):
        """Reads the vocabularies, which must be those of the model.

        Args:
            folder: The folder with the files.
            config: What `config.json` holds, or None in a `.keras` file.
        """
        if not isinstance(self.source_vocabulary, MarianTokenizer):
            super().load_assets(folder, config)


def _is_published_as(family, arguments):
    """Whether a model with these arguments can be written in a published layout."""
    vocabularies = [arguments[f"{side}_vocabulary"] for side in ("source", "target")]
    is_marian = [isinstance(each, MarianTokenizer) for each in vocabularies]
    if not (
        vocabularies == [None, None] or (all(is_marian) and family is MARIAN_FAMILY)
    ):
        return False
    try:
        config = family.write_config(arguments)
        published = family.read_arguments(config, "config.json")
    except ValueError:
        return False
    sizes, decoder = vocabulary_sizes(arguments), decoder_fields(arguments)
    arguments = {
        **arguments,
        "source_vocabulary_size": sizes[0],
        "target_vocabulary_size": sizes[1],
        "num_decoder_layers": decoder["decoder_layers"],
        "num_decoder_heads": decoder["decoder_attention_heads"],
        "decoder_mlp_dim": decoder["decoder_ffn_dim"],
        "max_length": arguments["max_length"] or published["max_length"],
    }
    return all(arguments[name] == value for name, value in published.items())


def _block(kind, hidden_dim, num_heads, mlp_dim, use_attention_bias, options):
    """The block of the encoder or the decoder."""
    key_dim = key_dim_of(hidden_dim, num_heads, None, kind.__name__)
    parts = {"attention": (MultiHeadSelfAttention, "self_attention")}
    if kind is TransformerDecoderBlock:
        parts["cross_attention"] = (MultiHeadAttention, "cross_attention")
    options = dict(options)
    attention_dropout, seed = options.pop("attention_dropout"), options["seed"]
    attentions = {
        part: layer(
            num_heads,
            key_dim,
            use_bias=use_attention_bias,
            dropout=attention_dropout,
            seed=None if seed is None else seed + number,
            name=name,
        )
        for number, (part, (layer, name)) in enumerate(parts.items())
    }
    return kind(num_heads, mlp_dim, **attentions, **options)


def _embedding(vocabulary_size, hidden_dim, seed, name):
    """A table of tokens, which `reverse=True` turns into the last layer."""
    # As in the authors' code: scaled embeddings and logits then begin at size 1.
    initializer = keras.initializers.RandomNormal(stddev=hidden_dim**-0.5, seed=seed)
    return TiedEmbedding(
        vocabulary_size, hidden_dim, embeddings_initializer=initializer, name=name
    )


def _positions(kind, hidden_dim, max_length, padding_id, name):
    """The layer that adds positions of one kind."""
    if kind == "learned":
        return PositionalEmbedding(max_length, name=name)
    options = {}
    if kind != "sinusoidal":
        options["layout"] = "concatenated"
    if kind == "fairseq":
        # Exponents i / (D / 2 - 1) as in tensor2tensor; the paper has i / (D / 2).
        half = hidden_dim // 2
        options["base"] = 10000.0 ** (half / (half - 1))
        options["offset"] = padding_id + 1
    return PositionalEmbedding(max_length, "sinusoidal", name=name, **options)


def _places(kind, mask):
    """The positions `(B, S)` of tokens where padding has none, else `None`."""
    if kind != "fairseq" or mask is None:
        return None
    return ops.cumsum(ops.cast(mask, "int32"), axis=1) - 1


def _vocabularies(source, target, share_embeddings):
    """Vocabulary and size of the sources, then those of the targets."""
    source = _vocabulary(*source, "source")
    target = source if target == (None, None) else _vocabulary(*target, "target")
    if share_embeddings and source[1] != target[1]:
        raise ValueError(
            "One table of tokens serves one vocabulary. Received: "
            f"share_embeddings=True with {source[1]} source tokens and {target[1]} "
            "target tokens. Pass share_embeddings=False."
        )
    return *source, *target


def _vocabulary(vocabulary, size, side):
    """A vocabulary, or `None`, and its size."""
    if vocabulary is None:
        size = VOCABULARY_SIZE if size is None else size
        check_positive(**{f"{side}_vocabulary_size": size})
        return None, size
    if isinstance(vocabulary, list | tuple):
        vocabulary = Vocabulary(vocabulary)
    if size is not None and size < len(vocabulary):
        raise ValueError(
            f"`{side}_vocabulary` has {len(vocabulary)} entries, special tokens "
            f"included, more than the model. Received: {side}_vocabulary_size={size}. "
            "Pass the vocabulary that the model was trained with."
        )
    return vocabulary, size or len(vocabulary)


def _check_ids(vocabulary_size, **token_ids):
    """Refuses ids that the vocabulary does not have."""
    for name, token_id in token_ids.items():
        if token_id not in range(vocabulary_size):
            raise ValueError(
                f"`{name}` must be from 0 to {vocabulary_size - 1}, as the vocabulary "
                f"has {vocabulary_size} entries. Received: {name}={token_id!r}"
            )
