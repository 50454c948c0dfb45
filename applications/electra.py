"""ELECTRA: an encoder that learns by telling the tokens of a text from replaced ones.

Clark et al. 2020, arXiv:2003.10555. Its code: github.com/google-research/electra.

Letters: B sequences, T tokens, E width of an embedding, D width of a token, V
vocabulary.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.electra import ELECTRA_FAMILY
from keras_attention.checks import check_rate
from keras_attention.layers.text_embedding import TextEmbedding
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.tasks.pretraining_heads import ReplacedTokenDetection
from keras_attention.tasks.task_head import EncodedText
from keras_attention.tasks.text_heads import ENCODER_HEADS
from keras_attention.tasks.text_inputs import attach_head
from keras_attention.tasks.text_inputs import text_inputs
from keras_attention.tasks.text_inputs import TextInputs


@keras.saving.register_keras_serializable("keras_attention")
class ELECTRA(TextInputs, Application):
    """Reads a text, or two, in both directions, and knows which tokens are not its own.

    Clark et al. 2020, Section 2 and Figure 2:

        x = norm(embedding(token_ids) + positions + segments)       (B, T, E)
        x = x W + b, where the tables are narrower or wider         (B, T, D)
        x = 12 times: self-attention, feed-forward network          (B, T, D)
        replaced = activation(x W + b) w + c                        (B, T)

    A small model, the generator, fills masked places with likely tokens; the other, the
    discriminator, tells which were replaced, so that it learns from all tokens. Both
    are of this class and published each by itself: the generator has the head
    `"masked_language_model"`, the discriminator, which is what to fine-tune, the head
    `"replaced_token_detection"`:

        model = ELECTRA.from_preset(
            "hf://google/electra-base-discriminator", num_classes=2
        )
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))
        model.fit(texts, labels)

    Args:
        tokenizer: What turns texts into token ids, such as a `PublishedTokenizer`.
            Loaded with a published checkpoint.
        vocabulary_size: V.
        max_length: Number of positions.
        num_segments: Number of kinds of segments, two for pairs of texts.
        table_dim: E, the width of the tables. Where it is another than D, a projection
            brings it there; a generator has the tables of its discriminator.
        hidden_dim: D.
        num_layers: Number of blocks.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks.
        activation: Activation of the feed-forward networks, and of the layer that tells
            which tokens were replaced; see `FeedForward`.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training, from 0 to 1, of the embeddings and of
            what each branch adds.
        attention_dropout: Fraction of attention weights dropped.
        classifier_dropout: Fraction dropped before and within a classifier. Defaults to
            `dropout`.
        choice_activation: Activation of the layer in front of the number of a choice
            (`summary_activation`).
        choice_dropout: Fraction dropped behind that layer.
        head: What follows the encoder: `None`, `"replaced_token_detection"`,
            `"masked_language_model"`, `"classification"`, `"regression"`,
            `"multi_label"`, `"token_classification"`, `"question_answering"` or
            `"multiple_choice"`; see `BERT`.
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
        As `BERT` does; with `"replaced_token_detection"` logits `(B, T)`, positive for
        tokens that were probably replaced; for `None` the tokens `(B, T, D)`.

    Raises:
        ValueError: An argument is out of its range, or the sequence is longer than
            `max_length`.

    Example:

    >>> model = ELECTRA(
    ...     vocabulary_size=20, table_dim=4, hidden_dim=8, num_layers=3, num_heads=2,
    ...     mlp_dim=16, head="replaced_token_detection",
    ... )
    >>> ids, ones = np.array([[2, 7, 5, 3]]), np.ones((1, 4))
    >>> inputs = {"token_ids": ids, "padding_mask": ones, "segment_ids": 0 * ids}
    >>> model.predict(inputs, verbose=0).shape
    (1, 4)
    """

    # Appendix A, Table 6, and the published files. Parameters without head.
    presets_table = {
        f"electra_{size}": {
            "description": f"{layers} blocks of width {width}.",
            "parameters": parameters,
            "table_dim": table,
            "num_layers": layers,
            "hidden_dim": width,
            "num_heads": width // 64,
            "mlp_dim": 4 * width,
        }
        for size, layers, width, table, parameters in (
            ("tiny", 2, 128, 128, 4_369_408),
            ("small", 12, 256, 128, 13_483_008),
            ("base", 12, 768, 768, 108_891_648),
            ("large", 24, 1024, 1024, 334_092_288),
            ("small_generator", 12, 256, 128, 13_483_008),
            ("base_generator", 12, 256, 768, 33_511_168),
            ("large_generator", 24, 256, 1024, 50_999_552),
        )
    }
    families = (ELECTRA_FAMILY,)
    assets = ("tokenizer",)
    task_heads = (*ENCODER_HEADS, ReplacedTokenDetection.name)

    def __init__(
        self,
        *,
        tokenizer=None,
        vocabulary_size=30522,
        max_length=512,
        num_segments=2,
        table_dim=768,
        hidden_dim=768,
        num_layers=12,
        num_heads=12,
        mlp_dim=3072,
        activation="gelu",
        epsilon=1e-12,
        dropout=0.1,
        attention_dropout=0.1,
        classifier_dropout=None,
        choice_activation="gelu",
        choice_dropout=0.1,
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
        if classifier_dropout is None:
            classifier_dropout = dropout
        check_rate(classifier_dropout=classifier_dropout, choice_dropout=choice_dropout)
        initializer = keras.initializers.TruncatedNormal(
            stddev=initializer_range, seed=seed
        )
        embedding = TextEmbedding(
            vocabulary_size,
            hidden_dim,
            max_length,
            num_segments,
            None if table_dim == hidden_dim else table_dim,
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
        encoder = TransformerEncoder(block, num_layers, name="encoder")

        inputs, (token_ids, padding_mask, segment_ids) = text_inputs(
            head, "token_ids", "padding_mask", "segment_ids"
        )
        x = embedding(token_ids, segment_ids)  # (B, T, D)
        x = encoder(x, mask=padding_mask)  # (B, T, D)
        # Its code has one layer in front of classes, with dropout on both sides, and
        # another in front of choices.
        has_choices = head == "multiple_choice"
        encoded = EncodedText(
            x,
            embedding,
            token_ids=inputs["token_ids"],
            pooler=choice_activation if has_choices else "gelu",
            pooler_dropout=0.0 if has_choices else classifier_dropout,
            has_pooled_output=False,
            activation=activation if head == ReplacedTokenDetection.name else "gelu",
            epsilon=epsilon,
            tie_embeddings=tie_embeddings,
            num_classes=num_classes,
            dropout=choice_dropout if has_choices else classifier_dropout,
            initializer=initializer,
            seed=seed,
        )
        super().__init__(inputs, attach_head(head, encoded), name=name)
        self.embedding, self.encoder = embedding, encoder
