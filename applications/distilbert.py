"""DistilBERT: half of BERT's blocks, taught by the whole.

Sanh et al. 2019, arXiv:1910.01108.

Letters: B sequences, T tokens, D width of a token, V vocabulary.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.distilbert import DISTILBERT_FAMILY
from keras_attention.checks import check_rate
from keras_attention.layers.text_embedding import TextEmbedding
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.tasks.task_head import EncodedText
from keras_attention.tasks.text_inputs import attach_head
from keras_attention.tasks.text_inputs import text_inputs
from keras_attention.tasks.text_inputs import TextInputs

EPSILON = 1e-12  # no field of a published config says it


@keras.saving.register_keras_serializable("keras_attention")
class DistilBERT(TextInputs, Application):
    """Reads a text, or two, in both directions, as BERT does; see there.

    Sanh et al. 2019, Section 3: half as many blocks, no segments and no pooler.

        x = norm(embedding(token_ids) + positions)                  (B, T, D)
        x = 6 times: self-attention, feed-forward network           (B, T, D)

    It reads and writes the checkpoints of the library transformers, and learns from
    texts:

        preset = "hf://distilbert/distilbert-base-uncased"
        model = DistilBERT.from_preset(preset, num_classes=2)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))
        model.fit(texts, labels)

    Args:
        tokenizer: What turns texts into token ids, such as a `PublishedTokenizer`.
            Loaded with a published checkpoint.
        vocabulary_size: V.
        max_length: Number of positions.
        hidden_dim: D.
        num_layers: Number of blocks.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        dropout: Fraction dropped in training, from 0 to 1, of the embeddings and of
            what each branch adds.
        attention_dropout: Fraction of attention weights dropped.
        classifier_dropout: Fraction dropped before a classifier.
        question_answering_dropout: Fraction dropped before answers are found.
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
        inputs: Dict with `token_ids`, integers `(B, T)`, and `padding_mask`, `(B, T)`,
            True (or 1) for a token that is no padding. `fit`, `evaluate` and `predict`
            also take texts; see `TextInputs`.

    Returns:
        For `None` tokens `(B, T, D)`; for the others what `BERT` returns.

    Raises:
        ValueError: An argument is out of its range, or the sequence is longer than
            `max_length`.

    Example:

    >>> model = DistilBERT(
    ...     vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=16,
    ...     head="classification", num_classes=3,
    ... )
    >>> ids, ones = np.array([[2, 7, 5, 3]]), np.ones((1, 4))
    >>> inputs = {"token_ids": ids, "padding_mask": ones}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3)
    """

    # Table 3, which rounds to 66 million. Parameters without head.
    presets_table = {
        "distilbert_base": {
            "description": "6 blocks of width 768.",
            "parameters": 66_362_880,
        },
    }
    assets = ("tokenizer",)
    families = (DISTILBERT_FAMILY,)

    def __init__(
        self,
        *,
        tokenizer=None,
        vocabulary_size=30522,
        max_length=512,
        hidden_dim=768,
        num_layers=6,
        num_heads=12,
        mlp_dim=3072,
        activation="gelu",
        dropout=0.1,
        attention_dropout=0.1,
        classifier_dropout=0.2,
        question_answering_dropout=0.1,
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
        check_rate(
            classifier_dropout=classifier_dropout,
            question_answering_dropout=question_answering_dropout,
        )
        embedding = TextEmbedding(
            vocabulary_size,
            hidden_dim,
            max_length,
            epsilon=EPSILON,
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
            epsilon=EPSILON,
            kernel_initializer=initializer,
            seed=seed,
        )
        encoder = TransformerEncoder(block, num_layers, name="encoder")

        inputs, (token_ids, padding_mask) = text_inputs(
            head, "token_ids", "padding_mask"
        )
        x = embedding(token_ids)  # (B, T, D)
        x = encoder(x, mask=padding_mask)  # (B, T, D)
        encoded = EncodedText(
            x,
            embedding,
            token_ids=inputs["token_ids"],
            pooler="relu",
            has_pooled_output=False,
            activation=activation,
            epsilon=EPSILON,
            tie_embeddings=tie_embeddings,
            num_classes=num_classes,
            dropout=dropout if head == "token_classification" else classifier_dropout,
            answer_dropout=question_answering_dropout,
            initializer=initializer,
            seed=seed,
        )
        super().__init__(inputs, attach_head(head, encoded), name=name)
        self.embedding, self.encoder = embedding, encoder
