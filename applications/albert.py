"""ALBERT: BERT with a narrow table of tokens, and one block that runs again and again.

Lan et al. 2020, arXiv:1909.11942. Its code: github.com/google-research/albert.

Letters: B sequences, T tokens, E width of an embedding, D width of a token, V
vocabulary.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.albert import ALBERT_FAMILY
from keras_attention.layers.text_embedding import TextEmbedding
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.tasks.task_head import EncodedText
from keras_attention.tasks.text_heads import ENCODER_HEADS
from keras_attention.tasks.text_inputs import attach_head
from keras_attention.tasks.text_inputs import text_inputs
from keras_attention.tasks.text_inputs import TextInputs


@keras.saving.register_keras_serializable("keras_attention")
class ALBERT(TextInputs, Application):
    """Reads a text, or two, in both directions, with a ninth of BERT's weights.

    Lan et al. 2020, Section 3.1:

        x = norm(embedding(token_ids) + positions + segments)       (B, T, E)
        x = x W + b                                                 (B, T, D)
        x = 12 times the same: self-attention, feed-forward network (B, T, D)
        pooled = tanh(x[0] W + b)                                   (B, D)

    A table of V rows is narrow, and a projection widens it; the blocks share their
    weights. Its second task is the order of two sentences, since whether one follows
    the other is too easy. It reads and writes the checkpoints of the library
    transformers, and learns from texts and pairs of texts:

        model = ALBERT.from_preset("hf://albert/albert-base-v2", num_classes=2)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))
        model.fit(texts, labels)

    Args:
        tokenizer: What turns texts into token ids, such as a `PublishedTokenizer`.
            Loaded with a published checkpoint.
        vocabulary_size: V.
        max_length: Number of positions.
        num_segments: Number of kinds of segments, two for pairs of texts.
        table_dim: E.
        hidden_dim: D.
        num_layers: How many times a group of blocks runs.
        num_groups: Number of groups, each of which serves as many neighboring layers.
        group_size: Number of blocks in a group, which run one after the other.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training, from 0 to 1, of the embeddings and of
            what each branch adds.
        attention_dropout: Fraction of attention weights dropped.
        classifier_dropout: Fraction dropped before a classifier.
        head: What follows the encoder: `None`, `"masked_language_model"`,
            `"sentence_order"`, `"pretraining"` (both), `"classification"`,
            `"regression"`, `"multi_label"`, `"token_classification"`,
            `"question_answering"` or `"multiple_choice"`; see `BERT`.
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
            (or 1) for a token that is no padding; and `segment_ids`, `(B, T)`, 0 in
            the first text and 1 in the second. `fit`, `evaluate` and `predict` also
            take texts; see `TextInputs`.

    Returns:
        As `BERT` does, with `sentence_order` in place of `next_sentence`.

    Raises:
        ValueError: An argument is out of its range, or the sequence is longer than
            `max_length`.

    Example:

    >>> model = ALBERT(
    ...     vocabulary_size=20, table_dim=4, hidden_dim=8, num_layers=3, num_heads=2,
    ...     mlp_dim=16, head="classification", num_classes=3,
    ... )
    >>> ids, ones = np.array([[2, 7, 5, 3]]), np.ones((1, 4))
    >>> inputs = {"token_ids": ids, "padding_mask": ones, "segment_ids": 0 * ids}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3)
    """

    # Table 1. Parameters without head.
    presets_table = {
        f"albert_{size}": {
            "description": f"A block of width {width}, {layers} times.",
            "parameters": parameters,
            "num_layers": layers,
            "hidden_dim": width,
            "num_heads": heads,
            "mlp_dim": 4 * width,
        }
        for size, layers, width, heads, parameters in (
            ("tiny", 2, 128, 2, 4_137_344),
            ("base", 12, 768, 12, 11_683_584),
            ("large", 24, 1024, 16, 17_683_968),
            ("xlarge", 24, 2048, 16, 58_724_864),
            ("xxlarge", 12, 4096, 64, 222_595_584),
        )
    }
    families = (ALBERT_FAMILY,)
    assets = ("tokenizer",)
    task_heads = (*ENCODER_HEADS, "pretraining", "sentence_order")

    def __init__(
        self,
        *,
        tokenizer=None,
        vocabulary_size=30000,
        max_length=512,
        num_segments=2,
        table_dim=128,
        hidden_dim=768,
        num_layers=12,
        num_groups=1,
        group_size=1,
        num_heads=12,
        mlp_dim=3072,
        activation="gelu_tanh",
        epsilon=1e-12,
        dropout=0.0,
        attention_dropout=0.0,
        classifier_dropout=0.1,
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
        embedding = TextEmbedding(
            vocabulary_size,
            hidden_dim,
            max_length,
            num_segments,
            table_dim,
            epsilon=epsilon,
            dropout=dropout,
            initializer=initializer,
            seed=seed,
            name="embedding",
        )
        block = TransformerEncoderBlock(
            num_heads,
            mlp_dim,
            norm_order="post",
            activation=activation,
            dropout=dropout,
            attention_dropout=attention_dropout,
            epsilon=epsilon,
            kernel_initializer=initializer,
            seed=seed,
        )
        encoder = TransformerEncoder(
            block,
            num_layers,
            num_groups=num_groups,
            group_size=group_size,
            name="encoder",
        )

        inputs, (token_ids, padding_mask, segment_ids) = text_inputs(
            head, "token_ids", "padding_mask", "segment_ids"
        )
        x = embedding(token_ids, segment_ids)  # (B, T, D)
        x = encoder(x, mask=padding_mask)  # (B, T, D)
        encoded = EncodedText(
            x,
            embedding,
            token_ids=inputs["token_ids"],
            activation=activation,
            epsilon=epsilon,
            tie_embeddings=tie_embeddings,
            second_task="sentence_order",
            num_classes=num_classes,
            dropout=classifier_dropout,
            initializer=initializer,
            seed=seed,
        )
        super().__init__(inputs, attach_head(head, encoded), name=name)
        self.embedding, self.encoder = embedding, encoder
