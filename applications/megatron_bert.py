"""Megatron's BERT: the norms in front of the branches, so that it can grow.

Shoeybi et al. 2019, arXiv:1909.08053.
"""

import keras

from keras_attention.applications.bert import BertFigure
from keras_attention.checkpoints.families.megatron_bert import MEGATRON_BERT_FAMILY


@keras.saving.register_keras_serializable("keras_attention")
class MegatronBERT(BertFigure):
    """Reads a text, or two, in both directions, as BERT does; see there.

    Shoeybi et al. 2019, Section 5.3 and Figure 7 (b): with the norms behind the
    branches, as in BERT, larger models become worse; in front of them they do not. The
    embeddings have no norm, and the last block is followed by one:

        x = embedding(token_ids) + positions + segments             (B, T, D)
        x = x + self_attention(norm(x)), 24 times                   (B, T, D)
        x = x + feed_forward(norm(x))
        x = norm(x)                                                 (B, T, D)

    It has the arguments of `BERT`, and reads and writes the checkpoints of the library
    transformers.

    Example:

    >>> model = MegatronBERT(
    ...     vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=16,
    ...     head="classification", num_classes=3,
    ... )
    >>> ids, ones = np.array([[2, 7, 5, 3]]), np.ones((1, 4))
    >>> inputs = {"token_ids": ids, "padding_mask": ones, "segment_ids": 0 * ids}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3)
    """

    # Table 4, which says 336 million, 1.3 and 3.9 billion; only the first was
    # published. Parameters without head, as counted here.
    presets_table = {
        name: {
            "description": f"{layers} blocks of width {width}.",
            "parameters": parameters,
            "num_layers": layers,
            "hidden_dim": width,
            "num_heads": heads,
            "mlp_dim": 4 * width,
        }
        for name, layers, width, heads, parameters in (
            ("megatron_bert_345m", 24, 1024, 16, 333_640_704),
            ("megatron_bert_1.3b", 24, 2048, 32, 1_273_358_336),
            ("megatron_bert_3.9b", 48, 2560, 40, 3_858_731_520),
        )
    }
    norm_order = "pre"
    defaults = {
        "vocabulary_size": 29056,
        "hidden_dim": 1024,
        "num_layers": 24,
        "num_heads": 16,
        "mlp_dim": 4096,
    }
    families = (MEGATRON_BERT_FAMILY,)
