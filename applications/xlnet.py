"""XLNet: a language model of all orders in which a text can be read.

Yang et al. 2019, arXiv:1906.08237. Its code: github.com/zihangdai/xlnet.

Letters: B sequences, T tokens, M tokens that are predicted, P tokens of a memory, D
width of a token, V vocabulary.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.xlnet import XLNET_FAMILY
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import key_dim_of
from keras_attention.layers.relative_attention import RelativeAttention
from keras_attention.layers.relative_encoder import MEMORY
from keras_attention.layers.relative_encoder import RelativeEncoder
from keras_attention.layers.relative_encoder_block import RelativeEncoderBlock
from keras_attention.layers.text_embedding import TextEmbedding
from keras_attention.tasks.segment_reader import SegmentReader
from keras_attention.tasks.task_head import EncodedText
from keras_attention.tasks.text_inputs import attach_head
from keras_attention.tasks.text_inputs import text_inputs
from keras_attention.tasks.text_inputs import TextInputs

PERMUTED = "permutation_language_model"
SEARCHED = "question_answering_beam_search"


@keras.saving.register_keras_serializable("keras_attention")
class XLNet(SegmentReader, TextInputs, Application):
    """Reads a text in both directions, and learned to from all orders of its tokens.

    Yang et al. 2019, Section 2.3 and Figure 1:

        h = embedding(token_ids)                                    (B, T, D)
        g = w, at the places that are predicted                     (B, M, D)
        12 times: h reads h of all that comes before it and itself, g the same without
        itself, each with a feed-forward network                    (B, T, D), (B, M, D)
        logits = g embedding^T + b                                  (B, M, V)

    Which token comes before which is drawn anew for each text, so in the end each has
    been predicted from those on both sides. Other tasks have h alone and read
    all. Distances and segments add to the scores of attention, so there are no
    positions that end; see `RelativeAttention`. It reads and writes the checkpoints of
    the library transformers, and learns from texts and pairs of texts:

        model = XLNet.from_preset("hf://xlnet/xlnet-base-cased", num_classes=2)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))
        model.fit(texts, labels)

    A text stands for itself by its last token, so padding belongs in front, where its
    tokenizer puts it. Longer texts are read in segments by `read_segment`.

    Args:
        tokenizer: What turns texts into token ids, such as a `PublishedTokenizer`.
            Loaded with a published checkpoint.
        vocabulary_size: V.
        max_length: Most tokens of a text that is tokenized here. Token ids may be more.
        hidden_dim: D.
        num_layers: Number of blocks.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training, from 0 to 1: of the embeddings, of
            distances, of attention weights, in feed-forward networks, of what each
            branch adds, and of the last block's outputs.
        use_causal_mask: Whether a token reads only what stands before it (`attn_type`
            "uni" in published files).
        same_length: Whether, with a causal mask, each token reads as many others as the
            memory has.
        max_distance: The distance from which on all are alike (`clamp_len`), or `None`.
        second_half_reversed: Whether the second half of a batch holds texts that were
            reversed (`bi_data`).
        memory_length: Most tokens of a memory, for `read_segment`; `None` for no limit.
        reused_length: How many tokens of a segment, from its first on, are remembered;
            `None` for all.
        pooler_activation: Activation behind the layer that a classifier has in front.
        classifier_dropout: Fraction dropped before a classifier of texts.
        head: What follows the encoder: `None`; `"permutation_language_model"`, which
            predicts some tokens from those before them in a drawn order;
            `"language_model"`, which tells the token at each place from vectors that
            have read it, as the published class does without target places;
            `"classification"`, `"regression"`, `"multi_label"`,
            `"token_classification"`, `"question_answering"`,
            `"question_answering_beam_search"`, which tells the end of an answer from
            its beginning and whether there is one, or `"multiple_choice"`.
        num_answer_starts: Among how many beginnings `answer` searches, where the end
            depends on the beginning (`start_n_top`).
        num_answer_ends: Among how many ends of each (`end_n_top`).
        tie_embeddings: Whether the logits of tokens come from the table of tokens,
            transposed.
        num_classes: Number of classes of a classifier, by default 2, or of numbers of a
            regression, by default 1.
        class_names: Their names.
        padding_id: Token id of padding. Here it is `padding_mask` that counts; a
            checkpoint holds it for others.
        initializer_range: Standard deviation of the first values of all weights but
            norms and biases, drawn from a truncated normal distribution.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        inputs: Dict with `token_ids`, integers `(B, T)`; `padding_mask`, `(B, T)`, True
            (or 1) for a token that is no padding; and `segment_ids`, `(B, T)`, of which
            it matters only which are the same. With `"permutation_language_model"` also
            `permutation_mask`, `(B, T, T)`, True where the first token may read the
            second; and `target_positions`, `(B, M)`, the places of the tokens that are
            predicted, with -1 for none. With `"question_answering_beam_search"` also
            `answer_mask` and `start_positions`; see `AnswerSpans`. `fit`, `evaluate`
            and `predict` also take texts; see `TextInputs`.

    Returns:
        Tokens `(B, T, D)`, logits `(B, T, V)` or `(B, M, V)`, `(B, num_classes)`,
        `(B, T, num_classes)` or `(B, C)`, or a dict with the logits `start` and `end`,
        `(B, T)` each, or with what `AnswerSpans` gives.

    Raises:
        ValueError: An argument is out of its range.

    Example:

    >>> model = XLNet(
    ...     vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=16,
    ...     head="classification", num_classes=3,
    ... )
    >>> ids, ones = np.array([[7, 5, 4, 3]]), np.ones((1, 4))
    >>> inputs = {"token_ids": ids, "padding_mask": ones, "segment_ids": 0 * ids}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3)
    """

    # Section 3.1 and the published files. Parameters without head.
    presets_table = {
        "xlnet_tiny": {
            "description": "2 blocks of width 128, to train in minutes.",
            "parameters": 4_525_696,
            "num_layers": 2,
            "hidden_dim": 128,
            "num_heads": 2,
            "mlp_dim": 512,
        },
        "xlnet_base": {
            "description": "12 blocks of width 768.",
            "parameters": 116_718_336,
        },
        "xlnet_large": {
            "description": "24 blocks of width 1024.",
            "parameters": 360_268_800,
            "num_layers": 24,
            "hidden_dim": 1024,
            "num_heads": 16,
            "mlp_dim": 4096,
        },
    }
    families = (XLNET_FAMILY,)
    assets = ("tokenizer",)
    task_heads = (
        None,
        PERMUTED,
        "language_model",
        "classification",
        "regression",
        "multi_label",
        "token_classification",
        "question_answering",
        SEARCHED,
        "multiple_choice",
    )

    def __init__(
        self,
        *,
        tokenizer=None,
        vocabulary_size=32000,
        max_length=512,
        hidden_dim=768,
        num_layers=12,
        num_heads=12,
        mlp_dim=3072,
        activation="gelu",
        epsilon=1e-12,
        dropout=0.1,
        use_causal_mask=False,
        same_length=False,
        max_distance=None,
        second_half_reversed=False,
        memory_length=None,
        reused_length=None,
        pooler_activation="tanh",
        classifier_dropout=0.1,
        head=None,
        num_answer_starts=5,
        num_answer_ends=5,
        tie_embeddings=True,
        num_classes=None,
        class_names=None,
        padding_id=5,
        initializer_range=0.02,
        seed=None,
        name=None,
    ):
        num_classes = self.check_head(head, num_classes, class_names)
        check_rate(dropout=dropout, classifier_dropout=classifier_dropout)
        lengths = {"memory_length": memory_length, "reused_length": reused_length}
        check_positive(**{k: v for k, v in lengths.items() if v is not None})
        check_positive(
            num_answer_starts=num_answer_starts, num_answer_ends=num_answer_ends
        )
        initializer = keras.initializers.TruncatedNormal(
            stddev=initializer_range, seed=seed
        )
        embedding = TextEmbedding(
            vocabulary_size,
            hidden_dim,
            counted=None,
            use_norm=False,
            initializer=initializer,
            name="embedding",
        )
        block = RelativeEncoderBlock(
            num_heads,
            mlp_dim,
            norm_order="post",
            activation=activation,
            dropout=dropout,
            mlp_dropout=dropout,
            epsilon=epsilon,
            attention=RelativeAttention(
                num_heads,
                key_dim_of(hidden_dim, num_heads, None, type(self).__name__),
                hidden_dim,
                use_segments=True,
                max_distance=max_distance,
                second_half_reversed=second_half_reversed,
                dropout=dropout,
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
            use_causal_mask=use_causal_mask,
            window=MEMORY if use_causal_mask and same_length else None,
            query_start="learned" if head == PERMUTED else "kept",
            dropout=dropout,
            initializer=initializer,
            seed=seed,
            name="encoder",
        )

        names = ["token_ids", "padding_mask", "segment_ids"]
        if head == PERMUTED:
            names += ["permutation_mask", "target_positions"]
        of_answers = ["answer_mask", "start_positions"] if head == SEARCHED else []
        inputs, read = text_inputs(head, *names, *of_answers)
        read = dict(zip(names, read, strict=False))
        x = embedding(read.pop("token_ids"))  # (B, T, D)
        x = encoder(x, **read)  # (B, T, D), or (B, M, D) of the second stream
        encoded = EncodedText(
            x,
            embedding,
            token_ids=inputs["token_ids"],
            padding_mask=inputs["padding_mask"],
            **{name: inputs[name] for name in of_answers},
            pooled_from="end",
            pooler=pooler_activation,
            has_pooled_output=False,
            epsilon=epsilon,
            tie_embeddings=tie_embeddings,
            num_classes=num_classes,
            dropout=0.0 if head == "token_classification" else classifier_dropout,
            initializer=initializer,
            seed=seed,
        )
        super().__init__(inputs, attach_head(head, encoded), name=name)
        self.embedding, self.encoder = embedding, encoder
