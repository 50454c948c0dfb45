"""GPT-2 as the library transformers publishes it.

Its projections are stored as (inputs, outputs), unlike those of every other family.
"""

from keras_attention.checkpoints.copies import CAUSAL_MASK
from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.copies import UNUSED
from keras_attention.checkpoints.families.common import fused_query_key_value
from keras_attention.checkpoints.families.common import INITIALIZER_RANGE
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.common import read_head
from keras_attention.checkpoints.families.common import SEQUENCE_HEADS
from keras_attention.checkpoints.families.common import write_head
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import SAME
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import TRANSPOSED

BLOCK, OURS = "transformer.h.{i}.", "decoder/block_{i}/"

RULES = (
    Rule(
        "transformer.wte.weight",
        "embedding/token_embedding/embeddings",
        sized_by="vocabulary_size",
    ),
    Rule(
        "transformer.wpe.weight",
        "embedding/position_embedding/table",
        sized_by="max_length",
    ),
    *norm(BLOCK + "ln_1", OURS + "self_attention_residual/norm"),
    *fused_query_key_value(BLOCK + "attn.c_attn", OURS + "self_attention"),
    *linear(BLOCK + "attn.c_proj", OURS + "self_attention/output_", SAME),
    *norm(BLOCK + "ln_2", OURS + "feed_forward_residual/norm"),
    *linear(BLOCK + "mlp.c_fc", OURS + "feed_forward/hidden_", SAME),
    *linear(BLOCK + "mlp.c_proj", OURS + "feed_forward/output_", SAME),
    *norm("transformer.ln_f", "decoder/norm"),
    Rule(
        "lm_head.weight",
        "next_token_head/kernel",
        TRANSPOSED,
        sized_by="vocabulary_size",
    ),
    Rule("score.weight", "classifier/kernel", TRANSPOSED),
)


def rules(arguments):
    """The table; the query of cross-attention is apart, key and value are not."""
    width = arguments["hidden_dim"]
    reading = OURS + "cross_attention"
    kinds = ("weight", "kernel"), ("bias", "bias")
    return (
        *RULES,
        *norm(BLOCK + "ln_cross_attn", f"{reading}_residual/norm"),
        *(
            Rule(
                tuple(
                    f"{BLOCK}crossattention.{part}.{theirs}"
                    for part in ("q_attn", "c_attn")
                ),
                f"{reading}/query_key_value_{ours}",
                side_by_side(sizes=(width, 2 * width)),
            )
            for theirs, ours in kinds
        ),
        *linear(BLOCK + "crossattention.c_proj", f"{reading}/output_", SAME),
    )


def harmless(arguments):
    """Masks that are buffers, and the other name of the tied table."""
    found = {"h.{i}.attn.bias": CAUSAL_MASK, "h.{i}.attn.masked_bias": UNUSED}
    # Buffers of a layer that needs no mask.
    found |= {"h.{i}.crossattention.bias": CAUSAL_MASK}
    found |= {"h.{i}.crossattention.masked_bias": UNUSED}
    if arguments["tie_embeddings"]:
        found["lm_head.weight"] = Copy("wte.weight")
    return found


def write(arguments):
    end = arguments["end_id"]
    # The token that ends a text also begins one.
    config = {"bos_token_id": end[0] if isinstance(end, list) and end else end}
    return {**config, **write_head(arguments)}


GPT2_FAMILY = Family(
    model_type="gpt2",
    architectures={
        "GPT2Model": {"head": None},
        "GPT2LMHeadModel": {"head": "next_token"},
        "GPT2ForSequenceClassification": {"head": SEQUENCE_HEADS},
    },
    fields=(
        Field("vocab_size", "vocabulary_size", 50257),
        Field("n_positions", "max_length", 1024),
        Field("n_embd", "hidden_dim", 768),
        Field("n_layer", "num_layers", 12),
        Field("n_head", "num_heads", 12),
        Field("n_inner", "mlp_dim", None),
        Field("activation_function", "activation", "gelu_new", ACTIVATIONS),
        Field("layer_norm_epsilon", "epsilon", 1e-5),
        Field("resid_pdrop", "dropout", 0.1),
        Field("attn_pdrop", "attention_dropout", 0.1),
        Field("embd_pdrop", "embedding_dropout", 0.1),
        Field(
            "scale_attn_weights",
            "unscaled_attention",
            True,
            {True: False, False: True},
        ),
        Field("scale_attn_by_inverse_layer_idx", "scale_by_layer", False),
        Field("add_cross_attention", "use_cross_attention", False),
        Field("tie_word_embeddings", "tie_embeddings", True),
        Field("eos_token_id", "end_id", 50256),
        Field("pad_token_id", "padding_id", None),
        INITIALIZER_RANGE,
    ),
    rules=rules,
    # The softmax is float32 here in any case, and each token reads its past alone; the
    # summary is a head of its own.
    ignored=(
        "is_decoder",
        "n_ctx",
        "reorder_and_upcast_attn",
        "summary_type",
        "summary_use_proj",
        "summary_activation",
        "summary_proj_to_labels",
        "summary_first_dropout",
    ),
    prefix="transformer.",
    harmless=harmless,
    read=read_head,
    write=write,
)
