"""RoBERTa: BERT, trained longer on more text, without the second task.

Liu et al. 2019, arXiv:1907.11692. Its code: github.com/facebookresearch/fairseq.

Letters: B sequences, T tokens, D width of a token, V vocabulary.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.roberta import ROBERTA_FAMILY
from keras_attention.checkpoints.families.roberta import XLM_ROBERTA_FAMILY
from keras_attention.checks import check_rate
from keras_attention.layers.text_embedding import TextEmbedding
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.tasks.task_head import EncodedText
from keras_attention.tasks.text_inputs import attach_head
from keras_attention.tasks.text_inputs import text_inputs
from keras_attention.tasks.text_inputs import TextInputs


class RobertaFigure(TextInputs, Application, abstract=True):
    """What RoBERTa and CamemBERT share: all but their words and their weights."""

    assets = ("tokenizer",)

    def __init__(
        self,
        *,
        tokenizer=None,
        vocabulary_size=50265,
        max_length=512,
        num_segments=1,
        hidden_dim=768,
        num_layers=12,
        num_heads=12,
        mlp_dim=3072,
        activation="gelu",
        epsilon=1e-5,
        dropout=0.1,
        attention_dropout=0.1,
        classifier_dropout=None,
        head=None,
        tie_embeddings=True,
        num_classes=None,
        class_names=None,
        padding_id=1,
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
        check_rate(classifier_dropout=classifier_dropout)
        embedding = TextEmbedding(
            vocabulary_size,
            hidden_dim,
            max_length,
            num_segments,
            counted="tokens",
            first_position=padding_id + 1,  # fairseq's, which reads ids, not a mask
            padding_id=padding_id,
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

        inputs, (token_ids, padding_mask) = text_inputs(
            head, "token_ids", "padding_mask"
        )
        x = embedding(token_ids)  # (B, T, D)
        x = encoder(x, mask=padding_mask)  # (B, T, D)
        encoded = EncodedText(
            x,
            embedding,
            token_ids=inputs["token_ids"],
            pooler_dropout=0.0 if head == "multiple_choice" else classifier_dropout,
            activation="gelu",  # whatever that of the blocks is
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
class RoBERTa(RobertaFigure):
    """Reads a text, or two, in both directions, as BERT does; see there.

    Liu et al. 2019, Section 3:

        x = norm(embedding(token_ids) + positions)                  (B, T, D)
        x = 12 times: self-attention, feed-forward network          (B, T, D)
        pooled = tanh(x[0] W + b)                                   (B, D)

    Positions count tokens and begin behind that of padding, so padding in front shifts
    nothing. All tokens are of one segment: pairs of texts are told apart by the tokens
    between them. It reads and writes the checkpoints of the library transformers, and
    learns from texts:

        model = RoBERTa.from_preset("hf://FacebookAI/roberta-base", num_classes=2)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))
        model.fit(texts, labels)

    XLM-RoBERTa is this model of a hundred languages (Conneau et al. 2020,
    arXiv:1911.02116): its checkpoints are read, too, and written as RoBERTa's.

    Args:
        tokenizer: What turns texts into token ids, such as a `PublishedTokenizer`.
            Loaded with a published checkpoint.
        vocabulary_size: V.
        max_length: Most tokens of a sequence.
        num_segments: Number of kinds of segments, of which all tokens have the first.
        hidden_dim: D.
        num_layers: Number of blocks.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training, from 0 to 1, of the embeddings and of
            what each branch adds.
        attention_dropout: Fraction of attention weights dropped.
        classifier_dropout: Fraction dropped before and within a classifier. Defaults to
            `dropout`.
        head: What follows the encoder: `None`, `"masked_language_model"`,
            `"classification"`, `"regression"`, `"multi_label"`,
            `"token_classification"`, `"question_answering"` or `"multiple_choice"`; see
            `BERT`.
        tie_embeddings: Whether the logits of masked tokens come from the table of
            tokens, transposed.
        num_classes: Number of classes of a classifier, by default 2, or of numbers of a
            regression, by default 1.
        class_names: Their names.
        padding_id: Token id of padding, which has no position that counts.
        initializer_range: Standard deviation of the first values of all kernels and
            tables, drawn from a truncated normal distribution.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        inputs: Dict with `token_ids`, integers `(B, T)`, and `padding_mask`, `(B, T)`,
            True (or 1) for a token that is no padding. `fit`, `evaluate` and `predict`
            also take texts; see `TextInputs`.

    Returns:
        As `BERT` does.

    Raises:
        ValueError: An argument is out of its range, or the sequence is longer than
            `max_length`.

    Example:

    >>> model = RoBERTa(
    ...     vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=16,
    ...     head="classification", num_classes=3,
    ... )
    >>> ids, ones = np.array([[0, 7, 5, 2]]), np.ones((1, 4))
    >>> inputs = {"token_ids": ids, "padding_mask": ones}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3)
    """

    # Section 5. Parameters without head, with the pooler that files have.
    presets_table = {
        "roberta_tiny": {
            "description": "2 blocks of width 128, to train in minutes.",
            "parameters": 6_913_152,
            "num_layers": 2,
            "hidden_dim": 128,
            "num_heads": 2,
            "mlp_dim": 512,
        },
        "roberta_base": {
            "description": "12 blocks of width 768.",
            "parameters": 124_645_632,
        },
        "roberta_large": {
            "description": "24 blocks of width 1024.",
            "parameters": 355_359_744,
            "num_layers": 24,
            "hidden_dim": 1024,
            "num_heads": 16,
            "mlp_dim": 4096,
        },
    }
    families = (ROBERTA_FAMILY, XLM_ROBERTA_FAMILY)
