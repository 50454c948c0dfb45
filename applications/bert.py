"""BERT: a Transformer's encoder that is trained to fill in masked words.

Devlin et al. 2019, arXiv:1810.04805. Its code: github.com/google-research/bert.

Letters: B sequences, T tokens, D width of a token, V vocabulary.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.bert import BERT_FAMILY
from keras_attention.checkpoints.labels import count_classes
from keras_attention.checks import check_choice
from keras_attention.checks import check_rate
from keras_attention.layers.channel_bias import ChannelBias
from keras_attention.layers.token_and_position_embedding import (
    TokenAndPositionEmbedding,
)
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.ops.activations import ACTIVATIONS
from keras_attention.tasks.text_inputs import TextInputs
from keras_attention.tokenizers.loading import load_tokenizer

CLASSIFIERS = ("classification", "token_classification")
POOLED = (None, "pretraining", "next_sentence", "classification")
MASKED = ("pretraining", "masked_language_model")
HEADS = tuple(
    dict.fromkeys((*POOLED, *MASKED, "token_classification", "question_answering"))
)


@keras.saving.register_keras_serializable("keras_attention")
class BERT(TextInputs, Application):
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
            - `"classification"` of the whole text or pair of texts;
            - `"token_classification"` of each token;
            - `"question_answering"`: where in the second text the answer begins and
              ends.
        tie_embeddings: Whether the logits of masked tokens come from the table of
            tokens, transposed.
        num_classes: Number of classes of a classifier; 1 for a regression. Defaults to
            2.
        class_names: Their names.
        padding_id: Token id of padding. Here it is `padding_mask` that counts; a
            checkpoint holds it for others.
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
        and `end` `(B, T)`.

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
            "description": f"{layers} blocks of width {width}, {size} parameters.",
            "num_layers": layers,
            "hidden_dim": width,
            "num_heads": width // 64,
            "mlp_dim": 4 * width,
        }
        for name, layers, width, size in (
            ("bert_tiny", 2, 128, "4,385,920"),
            ("bert_mini", 4, 256, "11,170,560"),
            ("bert_small", 4, 512, "28,763,648"),
            ("bert_medium", 8, 512, "41,373,184"),
            ("bert_base", 12, 768, "109,482,240"),
            ("bert_large", 24, 1024, "335,141,888"),
        )
    }
    families = (BERT_FAMILY,)
    heads = {
        "head": [
            "pooler",
            "masked_language_model_dense",
            "masked_language_model_norm",
            "masked_language_model_head",
            "masked_language_model_bias",
            "next_sentence_head",
            "classifier",
            "question_answering_head",
        ],
        "num_classes": "classifier",
        "tie_embeddings": ["masked_language_model_head", "masked_language_model_bias"],
    }

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
        seed=None,
        name=None,
    ):
        check_choice(HEADS, head=head)
        check_rate(dropout=dropout)
        num_classes = count_classes(num_classes, class_names, head, CLASSIFIERS)
        if classifier_dropout is None:
            dropout_before_classes = dropout
        else:
            check_rate(classifier_dropout=classifier_dropout)
            dropout_before_classes = classifier_dropout
        embedding = TokenAndPositionEmbedding(
            vocabulary_size, hidden_dim, max_length, name="embedding"
        )
        block = TransformerEncoderBlock(
            num_heads,
            mlp_dim,
            norm_order="post",
            activation=activation,
            dropout=dropout,
            attention_dropout=attention_dropout,
            epsilon=epsilon,
            seed=seed,
        )
        encoder = TransformerEncoder(block, num_layers, name="encoder")

        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
        segment_ids = keras.Input((None,), dtype="int32", name="segment_ids")
        x = embedding(token_ids) + keras.layers.Embedding(
            num_segments,
            hidden_dim,
            embeddings_initializer=embedding.initializer,
            name="segment_embedding",
        )(segment_ids)  # (B, T, D)
        x = _norm(epsilon, "embedding_norm")(x)
        x = keras.layers.Dropout(dropout, seed=seed, name="dropout")(x)
        x = encoder(x, mask=padding_mask)  # (B, T, D)

        outputs = {"tokens": x}
        if head in POOLED:
            pooler = keras.layers.Dense(hidden_dim, activation="tanh", name="pooler")
            pooled = pooler(x[:, 0])  # (B, D)
            outputs["pooled"] = pooled
        if head in MASKED:
            y = keras.layers.Dense(hidden_dim, name="masked_language_model_dense")(x)
            y = ACTIVATIONS[activation](y)
            y = _norm(epsilon, "masked_language_model_norm")(y)
            if tie_embeddings:
                y = embedding.token_embedding(y, reverse=True)
            else:
                y = keras.layers.Dense(
                    vocabulary_size, use_bias=False, name="masked_language_model_head"
                )(y)
            y = ChannelBias(name="masked_language_model_bias")(y)  # (B, T, V)
            outputs = y
        if head in ("next_sentence", "pretraining"):
            follows = keras.layers.Dense(2, name="next_sentence_head")(pooled)  # (B, 2)
            outputs = follows
        if head == "pretraining":
            outputs = {"masked_language_model": y, "next_sentence": follows}
        if head in CLASSIFIERS:
            y = pooled if head == "classification" else x
            y = keras.layers.Dropout(
                dropout_before_classes, seed=seed, name="classifier_dropout"
            )(y)
            outputs = keras.layers.Dense(num_classes, name="classifier")(y)
        if head == "question_answering":
            y = keras.layers.Dense(2, name="question_answering_head")(x)  # (B, T, 2)
            outputs = {"start": y[..., 0], "end": y[..., 1]}
        inputs = {
            "token_ids": token_ids,
            "padding_mask": padding_mask,
            "segment_ids": segment_ids,
        }
        super().__init__(inputs, outputs, name=name)

        self.embedding, self.encoder = embedding, encoder
        self.head, self.max_length = head, max_length
        self.tokenizer = tokenizer
        self.class_names = class_names

    @classmethod
    def read_assets(cls, folder, given=()):
        """Reads the tokenizer of a published checkpoint.

        Args:
            folder: Its folder.
            given: Names of arguments that are not read.

        Returns:
            Dict with `tokenizer`, which is `None` without such files.
        """
        if "tokenizer" in given:
            return {}
        return {"tokenizer": load_tokenizer(folder, has_segments=True)}


def _norm(epsilon, name):
    return keras.layers.LayerNormalization(epsilon=epsilon, name=name)
