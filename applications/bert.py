"""BERT: a Transformer's encoder that is trained to fill in masked words.

Devlin et al. 2019, arXiv:1810.04805. Its code: github.com/google-research/bert.

Letters: B sequences, T tokens, D width of a token, V vocabulary.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.bert import BERT_FAMILY
from keras_attention.checks import check_rate
from keras_attention.layers.text_embedding import TextEmbedding
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.tasks.task_head import EncodedText
from keras_attention.tasks.text_heads import ENCODER_HEADS
from keras_attention.tasks.text_inputs import attach_head
from keras_attention.tasks.text_inputs import text_inputs
from keras_attention.tasks.text_inputs import TextInputs


class BertFigure(TextInputs, Application, abstract=True):
    """What BERT and Megatron's share: all but the place of the norms."""

    norm_order = "post"
    assets = ("tokenizer",)
    task_heads = (*ENCODER_HEADS, "pretraining", "next_sentence", "sentence_order")

    def __init__(
        self,
        *,
        tokenizer=None,
        vocabulary_size=30522,
        max_length=512,
        num_segments=2,
        hidden_dim=768,
        num_layers=12,
        num_heads=12,
        mlp_dim=3072,
        activation="gelu",
        epsilon=1e-12,
        dropout=0.1,
        attention_dropout=0.1,
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
        check_rate(classifier_dropout=classifier_dropout)
        embedding = TextEmbedding(
            vocabulary_size,
            hidden_dim,
            max_length,
            num_segments,
            use_norm=self.norm_order == "post",
            epsilon=epsilon,
            dropout=dropout,
            initializer=initializer,
            seed=seed,
            name="embedding",
        )
        block = TransformerEncoderBlock(
            num_heads,
            mlp_dim,
            norm_order=self.norm_order,
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
        encoded = EncodedText(
            x,
            embedding,
            token_ids=inputs["token_ids"],
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
class BERT(BertFigure):
    """Reads a text, or two, in both directions: each token reads all others.

    Devlin et al. 2019, Section 3 and Figure 2:

        x = norm(embedding(token_ids) + positions + segments)       (B, T, D)
        x = 12 times: self-attention, feed-forward network          (B, T, D)
        pooled = tanh(x[0] W + b)                                   (B, D)

    and behind it the head of the task. It reads and writes the checkpoints of the
    library transformers, and learns from texts and from pairs of texts:

        model = BERT.from_preset("hf://google-bert/bert-base-uncased", num_classes=2)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))
        model.fit(texts, labels)

    Args:
        tokenizer: What turns texts into token ids, such as a `PublishedTokenizer`.
            Loaded with a published checkpoint.
        vocabulary_size: V.
        max_length: Number of positions.
        num_segments: Number of kinds of segments, two for pairs of texts.
        hidden_dim: D.
        num_layers: Number of blocks.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training, from 0 to 1, of the embeddings and of
            what each branch adds.
        attention_dropout: Fraction of attention weights dropped.
        classifier_dropout: Fraction dropped before a classifier. Defaults to `dropout`.
        head: What follows the encoder, Section 3.1 and Figure 4:

            - `None`: nothing;
            - `"masked_language_model"`: which token stands there;
            - `"next_sentence"`: whether the second text follows the first (0) or not;
            - `"pretraining"`: both;
            - `"sentence_order"`: whether the two texts were swapped (1);
            - `"classification"` of the whole text or pair of texts, `"regression"`, or
              `"multi_label"`, where several classes may be right;
            - `"token_classification"` of each token;
            - `"question_answering"`: where in the second text the answer begins and
              ends;
            - `"multiple_choice"`: which of several second texts is right.
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
        For `None` a dict with `tokens` `(B, T, D)` and `pooled` `(B, D)`. Logits for
        the others: `(B, T, V)`; `(B, 2)`; a dict of both, `masked_language_model` and
        `next_sentence`; `(B, num_classes)`; `(B, T, num_classes)`; a dict with `start`
        and `end` `(B, T)`; or one for each choice.

    Raises:
        ValueError: An argument is out of its range, or the sequence is longer than
            `max_length`.

    Example:

    >>> model = BERT(
    ...     vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=16,
    ...     head="classification", num_classes=3,
    ... )
    >>> ids, ones = np.array([[2, 7, 5, 3]]), np.ones((1, 4))
    >>> inputs = {"token_ids": ids, "padding_mask": ones, "segment_ids": 0 * ids}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3)
    """

    # Section 3, and Turc et al. 2019, arXiv:1908.08962, Table 1, for the small ones.
    # Parameters without head.
    presets_table = {
        name: {
            "description": f"{layers} blocks of width {width}.",
            "parameters": parameters,
            "num_layers": layers,
            "hidden_dim": width,
            "num_heads": width // 64,
            "mlp_dim": 4 * width,
        }
        for name, layers, width, parameters in (
            ("bert_tiny", 2, 128, 4_385_920),
            ("bert_mini", 4, 256, 11_170_560),
            ("bert_small", 4, 512, 28_763_648),
            ("bert_medium", 8, 512, 41_373_184),
            ("bert_base", 12, 768, 109_482_240),
            ("bert_large", 24, 1024, 335_141_888),
        )
    }
    families = (BERT_FAMILY,)
