"""DeBERTa, versions 1 to 3: what a token is and where it stands are read apart.

He et al. 2021, arXiv:2006.03654; the third: arXiv:2111.09543. Their code:
github.com/microsoft/DeBERTa.

Letters: B sequences, T tokens, D width of a token, V vocabulary.
"""

import keras
from keras import ops

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.deberta import DEBERTA_FAMILY
from keras_attention.checkpoints.families.deberta import DEBERTA_V2_FAMILY
from keras_attention.checks import check_rate
from keras_attention.layers.base import key_dim_of
from keras_attention.layers.disentangled_scores import disentangled_scale
from keras_attention.layers.disentangled_scores import DisentangledScores
from keras_attention.layers.disentangled_scores import DistanceTable
from keras_attention.layers.disentangled_scores import TERMS
from keras_attention.layers.multi_head_self_attention import MultiHeadSelfAttention
from keras_attention.layers.neighbor_convolution import NeighborConvolution
from keras_attention.layers.text_embedding import TextEmbedding
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.tasks.task_head import EncodedText
from keras_attention.tasks.text_heads import ENCODER_HEADS
from keras_attention.tasks.text_inputs import attach_head
from keras_attention.tasks.text_inputs import text_inputs
from keras_attention.tasks.text_inputs import TextInputs


class DebertaFigure(TextInputs, Application, abstract=True):
    """What the versions of DeBERTa share: all but the biases of its first keys."""

    use_key_bias = True
    assets = ("tokenizer",)
    task_heads = ENCODER_HEADS

    def __init__(
        self,
        *,
        tokenizer=None,
        vocabulary_size=50265,
        max_length=512,
        num_segments=0,
        use_absolute_positions=False,
        position_terms=TERMS,
        max_distance=None,
        num_buckets=None,
        norm_distances=False,
        share_projections=False,
        convolution_width=None,
        convolution_groups=1,
        convolution_activation="tanh",
        hidden_dim=768,
        num_layers=12,
        num_heads=12,
        mlp_dim=3072,
        activation="gelu",
        epsilon=1e-7,
        dropout=0.1,
        attention_dropout=0.1,
        pooler_activation="gelu",
        pooler_dropout=0.0,
        classifier_dropout=None,
        head=None,
        tie_embeddings=True,
        num_classes=None,
        class_names=None,
        padding_id=0,
        initializer_range=0.02,
        seed=None,
        name=None,
    ):
        num_classes = self.check_head(head, num_classes, class_names)
        initializer = keras.initializers.TruncatedNormal(
            stddev=initializer_range, seed=seed
        )
        if classifier_dropout is None:
            classifier_dropout = dropout
        check_rate(classifier_dropout=classifier_dropout, pooler_dropout=pooler_dropout)
        embedding = TextEmbedding(
            vocabulary_size,
            hidden_dim,
            max_length,
            num_segments,
            counted="places" if use_absolute_positions else None,
            epsilon=epsilon,
            dropout=dropout,
            initializer=initializer,
            seed=seed,
            name="embedding",
        )
        key_dim = key_dim_of(hidden_dim, num_heads, None, type(self).__name__)
        scores = None
        if position_terms is not None:
            table = DistanceTable(
                hidden_dim,
                max_distance or max_length,
                num_buckets,
                norm_distances,
                epsilon,
                initializer,
                name="distances",
            )
            scores = DisentangledScores(
                table,
                position_terms,
                share_projections,
                self.use_key_bias,
                initializer,
                dropout,
                seed,
                name="position_scores",
            )
        block = TransformerEncoderBlock(
            num_heads,
            mlp_dim,
            norm_order="post",
            activation=activation,
            dropout=dropout,
            epsilon=epsilon,
            attention=MultiHeadSelfAttention(
                num_heads,
                key_dim,
                use_key_bias=self.use_key_bias,
                position_scores=scores,
                scale=disentangled_scale(key_dim, position_terms or ()),
                dropout=attention_dropout,
                kernel_initializer=initializer,
                seed=seed,
                name="self_attention",
            ),
            kernel_initializer=initializer,
            seed=seed,
        )
        convolution = None
        if convolution_width is not None:
            convolution = NeighborConvolution(
                convolution_width,
                convolution_groups,
                convolution_activation,
                dropout,
                epsilon,
                initializer,
                seed,
                name="convolution",
            )
        encoder = TransformerEncoder(
            block, num_layers, beside_first=convolution, name="encoder"
        )

        names = ["token_ids", "padding_mask", "segment_ids"][: 3 if num_segments else 2]
        inputs, (token_ids, padding_mask, *segment_ids) = text_inputs(head, *names)
        x = embedding(token_ids, *segment_ids)  # (B, T, D)
        x = x * ops.expand_dims(ops.cast(padding_mask, x.dtype), -1)
        x = encoder(x, mask=padding_mask)  # (B, T, D)
        encoded = EncodedText(
            x,
            embedding,
            token_ids=inputs["token_ids"],
            pooler=pooler_activation,
            pooler_dropout=pooler_dropout,
            has_pooled_output=False,
            activation=activation,
            epsilon=epsilon,
            tie_embeddings=tie_embeddings,
            num_classes=num_classes,
            dropout=classifier_dropout,
            initializer=initializer,
            seed=seed,
        )
        super().__init__(inputs, attach_head(head, encoded), name=name)
        self.embedding, self.encoder = embedding, encoder


@keras.saving.register_keras_serializable("keras_attention")
class DeBERTa(DebertaFigure):
    """Reads a text in both directions, by what tokens are and by how far they are.

    He et al. 2021, arXiv:2006.03654, Section 3.1 and Equation 4:

        x = norm(embedding(token_ids))                              (B, T, D)
        x = 12 times: self-attention, feed-forward network          (B, T, D)
        score[t, s] = q[t] k[s] + q[t] pk[t - s] + k[s] pq[t - s]

    where pk and pq are projected from a table of distances. It reads and writes the
    checkpoints of the library transformers, and learns from texts:

        model = DeBERTa.from_preset("hf://microsoft/deberta-base", num_classes=2)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))
        model.fit(texts, labels)

    Args:
        tokenizer: What turns texts into token ids, such as a `PublishedTokenizer`.
            Loaded with a published checkpoint.
        vocabulary_size: V.
        max_length: Most tokens of a sequence.
        num_segments: Number of kinds of segments, 0 for none.
        use_absolute_positions: Whether the embeddings know their positions, too.
        position_terms: What distances add to the scores: `"content_to_position"` and
            `"position_to_content"`, or one of them; `None` for a model without
            distances.
        max_distance: Distance from which on all are alike. Defaults to `max_length`.
        num_buckets: Number of rows of the table in each direction, the farther ones for
            ranges of distances; by default one for each.
        norm_distances: Whether the table is normalized.
        share_projections: Whether the table is projected as the tokens are.
        convolution_width: Number of tokens that a convolution beside the first block
            reads, `None` for no convolution.
        convolution_groups: Number of groups of its channels.
        convolution_activation: Its activation.
        hidden_dim: D.
        num_layers: Number of blocks.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training, from 0 to 1, of the embeddings, of the
            table and of what each branch adds.
        attention_dropout: Fraction of attention weights dropped.
        pooler_activation: Activation of the layer in front of a classifier.
        pooler_dropout: Fraction dropped before that layer.
        classifier_dropout: Fraction dropped before a classifier. Defaults to `dropout`.
        head: What follows the encoder: `None`, `"masked_language_model"`,
            `"classification"`, `"regression"`, `"multi_label"`,
            `"token_classification"`, `"question_answering"` or `"multiple_choice"`; see
            `BERT`.
        tie_embeddings: Whether the logits of masked tokens come from the table of
            tokens, transposed.
        num_classes: Number of classes of a classifier, by default 2, or of numbers of a
            regression, by default 1.
        class_names: Their names.
        padding_id: Token id of padding. Here it is `padding_mask` that counts; a
            checkpoint holds it for others.
        initializer_range: Standard deviation of the first values of all kernels and
            tables, drawn from a truncated normal distribution.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        inputs: Dict with `token_ids`, integers `(B, T)`; `padding_mask`, `(B, T)`, True
            (or 1) for a token that is no padding; and with segments `segment_ids`,
            `(B, T)`. `fit`, `evaluate` and `predict` also take texts; see `TextInputs`.

    Returns:
        As `BERT` does; for `None` the tokens `(B, T, D)`.

    Raises:
        ValueError: An argument is out of its range.

    Example:

    >>> model = DeBERTa(
    ...     vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=16,
    ...     head="classification", num_classes=3,
    ... )
    >>> inputs = {"token_ids": np.array([[1, 7, 2]]), "padding_mask": np.ones((1, 3))}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3)
    """

    # Section 5 and Appendix A.2. Parameters without head.
    presets_table = {
        "deberta_base": {
            "description": "12 blocks of width 768.",
            "parameters": 138_601_728,
        },
        "deberta_large": {
            "description": "24 blocks of width 1024.",
            "parameters": 405_163_008,
            "num_layers": 24,
            "hidden_dim": 1024,
            "num_heads": 16,
            "mlp_dim": 4096,
        },
    }
    use_key_bias = False
    families = (DEBERTA_FAMILY,)


@keras.saving.register_keras_serializable("keras_attention")
class DeBERTaV2(DebertaFigure):
    """DeBERTa with ranges of distances: its second and its third version.

    He et al. 2021, arXiv:2111.09543, Section 3 and Appendix A.4: the table has rows for
    ranges of distances that grow, and is projected as the tokens are. The second
    version also has a convolution beside its first block (`convolution_width=3`).

    It has the arguments of `DeBERTa`.

        model = DeBERTaV2.from_preset("hf://microsoft/deberta-v3-base", num_classes=2)

    Example:

    >>> model = DeBERTaV2(
    ...     vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=16,
    ...     num_buckets=4, convolution_width=3,
    ... )
    >>> inputs = {"token_ids": np.array([[1, 7, 2]]), "padding_mask": np.ones((1, 3))}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3, 8)
    """

    # arXiv:2111.09543, Section 4, and the files of the authors. Parameters without
    # head.
    presets_table = {
        f"deberta_{size}": {
            "description": f"{layers} blocks of width {width}.",
            "parameters": parameters,
            "num_layers": layers,
            "hidden_dim": width,
            "num_heads": width // 64,
            "mlp_dim": 4 * width,
            "convolution_width": convolution,
        }
        for size, layers, width, convolution, parameters in (
            ("v2_xlarge", 24, 1536, 3, 884_593_152),
            ("v3_tiny", 2, 128, None, 16_859_392),
            ("v3_xsmall", 12, 384, None, 70_682_112),
            ("v3_small", 6, 768, None, 141_304_320),
            ("v3_base", 12, 768, None, 183_831_552),
            ("v3_large", 24, 1024, None, 434_012_160),
        )
    }
    defaults = {
        "vocabulary_size": 128100,
        "num_buckets": 256,
        "norm_distances": True,
        "share_projections": True,
    }
    families = (DEBERTA_V2_FAMILY,)
