"""Transformer-XL: a language model that remembers the segments before.

Dai et al. 2019, arXiv:1901.02860. Its code: github.com/kimiyoung/transformer-xl.

Letters: B sequences, T tokens, P tokens of a memory, E width of the first table, D
width of a token, V vocabulary.
"""

import types

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.transformer_xl import TRANSFORMER_XL_FAMILY
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.generation.memory_decoder import MemoryDecoder
from keras_attention.generation.steps import CachedSteps
from keras_attention.generation.text_generator import TextGenerator
from keras_attention.layers.adaptive_embedding import AdaptiveEmbedding
from keras_attention.layers.relative_attention import RelativeAttention
from keras_attention.layers.relative_encoder import RelativeEncoder
from keras_attention.layers.relative_encoder_block import RelativeEncoderBlock
from keras_attention.tasks.segment_reader import SegmentReader
from keras_attention.tasks.task_head import EncodedText
from keras_attention.tasks.text_inputs import attach_head
from keras_attention.tasks.text_inputs import text_inputs
from keras_attention.tasks.text_inputs import TextInputs

CUTOFFS = (20000, 40000, 200000)


@keras.saving.register_keras_serializable("keras_attention")
class TransformerXL(SegmentReader, TextInputs, TextGenerator, Application):
    """Predicts the token after each token from those before, and from a memory.

    Dai et al. 2019, Section 3.3:

        x = embedding(token_ids)                                    (B, T, D)
        x = 18 times: causal self-attention that also reads what the block read of the
        last P tokens, feed-forward network                         (B, T, D)
        log p = adaptive_softmax(x)                                 (B, T, V)

    What is scored is how far a token stands before another, so that the memory of a
    segment serves the next one: a text of any length is read in parts by
    `read_segment`, and `generate` goes on at the same cost for each token, however long
    the text is. Frequent tokens have wide vectors and rare ones narrow; see
    `AdaptiveEmbedding`.

    It reads and writes the checkpoints of the library transformers, whose own class
    began with a memory of zeros, all of which it read; the paper's code, and this one,
    begin without. Pass zeros to `read_segment` to begin as that class did.

    Args:
        tokenizer: What turns texts into token ids.
        vocabulary_size: V.
        cutoffs: First token ids of the clusters but the first; see `AdaptiveEmbedding`.
        division: How many times narrower the table of a cluster is than the one before.
        table_dim: E.
        hidden_dim: D.
        key_dim: Width of a head.
        num_layers: Number of blocks.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training, from 0 to 1: of the embeddings, of
            distances, in feed-forward networks, of what each branch adds, and of the
            last block's outputs.
        attention_dropout: Fraction of attention weights dropped.
        memory_length: P.
        same_length: Whether each token reads P tokens, itself included, and not those
            before them, wherever a segment begins.
        max_distance: The distance from which on all are alike, or `None`.
        head: `"next_token"`; `"classification"`, `"regression"` or `"multi_label"` of
            the whole sequence, by its last token; or `None` for the tokens.
        tie_embeddings: Whether the softmax has the tables of the embedding.
        share_projections: Whether it has their projections, but for the first cluster.
        num_classes: Number of classes of a classifier, by default 2, or of numbers of a
            regression, by default 1.
        class_names: Their names.
        end_id: Token id that ends a text, or a list of them.
        padding_id: Token id of padding, if there is one. Here it is `padding_mask` that
            counts; a checkpoint holds it for others.
        initializer_range: Standard deviation of the first values of all weights but
            norms and biases, drawn from a truncated normal distribution.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        inputs: Dict with `token_ids`, integers `(B, T)`, and `padding_mask`, `(B, T)`,
            True (or 1) for a token that is no padding. `fit`, `evaluate` and `predict`
            also take texts; see `TextInputs`.

    Returns:
        Log-probabilities `(B, T, V)` of the token after each token, which serve as
        logits, logits `(B, num_classes)`, or tokens `(B, T, D)`.

    Raises:
        ValueError: An argument is out of its range.

    Example:

    >>> model = TransformerXL(
    ...     vocabulary_size=20, cutoffs=[8, 14], division=2, table_dim=8, hidden_dim=8,
    ...     key_dim=4, num_layers=2, num_heads=2, mlp_dim=16, memory_length=6,
    ... )
    >>> inputs = {"token_ids": np.array([[5, 7, 2]]), "padding_mask": np.ones((1, 3))}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3, 20)
    >>> model.generate([[3, 5], [4]], max_new_tokens=30).shape
    (2, 32)
    """

    # Table 1, the large model, with the published file's sizes.
    presets_table = {
        "transformer_xl_wt103": {
            "description": "18 blocks of width 1024, for WikiText-103.",
            "parameters": 285_205_322,
        },
    }
    families = (TRANSFORMER_XL_FAMILY,)
    assets = ("tokenizer",)
    task_heads = (None, "next_token", "classification", "regression", "multi_label")
    max_length = None  # distances have no end

    def __init__(
        self,
        *,
        tokenizer=None,
        vocabulary_size=267735,
        cutoffs=CUTOFFS,
        division=4,
        table_dim=1024,
        hidden_dim=1024,
        key_dim=64,
        num_layers=18,
        num_heads=16,
        mlp_dim=4096,
        epsilon=1e-5,
        dropout=0.1,
        attention_dropout=0.0,
        memory_length=1600,
        same_length=True,
        max_distance=1000,
        head="next_token",
        tie_embeddings=True,
        share_projections=True,
        num_classes=None,
        class_names=None,
        end_id=0,
        padding_id=None,
        initializer_range=0.02,
        seed=None,
        name=None,
    ):
        num_classes = self.check_head(head, num_classes, class_names)
        check_rate(dropout=dropout, attention_dropout=attention_dropout)
        check_positive(memory_length=memory_length)
        initializer = keras.initializers.TruncatedNormal(
            stddev=initializer_range, seed=seed
        )
        embedding = AdaptiveEmbedding(
            vocabulary_size,
            hidden_dim,
            table_dim,
            cutoffs,
            division,
            has_outputs=head == "next_token",
            tie_tables=tie_embeddings,
            tied_projections=[False] + [share_projections] * len(cutoffs),
            initializer=initializer,
            name="embedding",
        )
        block = RelativeEncoderBlock(
            num_heads,
            mlp_dim,
            norm_order="post",
            activation="relu",
            dropout=dropout,
            mlp_dropout=dropout,
            epsilon=epsilon,
            attention=RelativeAttention(
                num_heads,
                key_dim,
                hidden_dim,
                max_distance=max_distance,
                dropout=attention_dropout,
                distance_dropout=dropout,
                kernel_initializer=initializer,
                seed=seed,
                name="self_attention",
            ),
            kernel_initializer=initializer,
            seed=seed,
        )
        encoder = RelativeEncoder(
            block,
            num_layers,
            use_causal_mask=True,
            window=memory_length if same_length else None,
            dropout=dropout,
            seed=seed,
            name="encoder",
        )

        inputs, (token_ids, padding_mask) = text_inputs(
            head, "token_ids", "padding_mask"
        )
        x = embedding(token_ids)  # (B, T, D)
        x = encoder(x, padding_mask=padding_mask)  # (B, T, D)
        encoded = EncodedText(
            x,
            types.SimpleNamespace(token_embedding=embedding),
            padding_mask,
            pooled_from="last",
            pooler=None,
            has_pooled_output=False,
            num_classes=num_classes,
            use_bias=False,
            initializer=initializer,
            seed=seed,
        )
        super().__init__(inputs, attach_head(head, encoded), name=name)
        self.embedding, self.encoder = embedding, encoder
        if padding_id is None:
            self.padding_id = TextGenerator.padding_id

    @classmethod
    def head_layers(cls):
        """The layers that are new where an argument asks for them."""
        found = super().head_layers()
        softmax = "embedding/softmax"
        return {**found, "head": [*found["head"], softmax], "tie_embeddings": [softmax]}

    def make_steps(self):
        """How this model begins and goes on: see `CachedSteps`."""
        decoder = MemoryDecoder(self.encoder, self.memory_length, self.hidden_dim)
        return CachedSteps(decoder, self.embed, self.predict_logits)

    def embed(self, token_ids, positions):
        """Vectors of tokens.

        Args:
            token_ids: Integers `(B, T)`.
            positions: Not needed: distances are counted.

        Returns:
            `(B, T, D)`.
        """
        del positions
        return self.embedding(token_ids)

    def predict_logits(self, x):
        """Log-probabilities of the next token.

        Args:
            x: `(B, T, D)`, what comes out of the encoder.

        Returns:
            `(B, T, V)`.

        Raises:
            ValueError: The model has another head.
        """
        if self.head != "next_token":
            raise ValueError(
                f"This {type(self).__name__} has head={self.head!r}, so it writes no "
                'text. Load it with head="next_token".'
            )
        return self.embedding(x, reverse=True)
