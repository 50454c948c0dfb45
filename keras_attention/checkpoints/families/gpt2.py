"""GPT-2 as the library transformers publishes it.

Its projections are stored as (inputs, outputs), unlike those of every other family.
"""

from keras_attention.checkpoints.family import ACTIVATIONS
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.family import Field
from keras_attention.checkpoints.labels import read_labels
from keras_attention.checkpoints.labels import write_labels
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import TRANSPOSED

BLOCK, OURS = "transformer.h.{i}.", "decoder/block_{i}/"

RULES = (
    Rule("transformer.wte.weight", "embedding/token_embedding/embeddings"),
    Rule("transformer.wpe.weight", "embedding/position_embedding/table"),
    Rule(BLOCK + "ln_1.weight", OURS + "self_attention_residual/norm/gamma"),
    Rule(BLOCK + "ln_1.bias", OURS + "self_attention_residual/norm/beta"),
    Rule(BLOCK + "attn.c_attn.weight", OURS + "self_attention/query_key_value_kernel"),
    Rule(BLOCK + "attn.c_attn.bias", OURS + "self_attention/query_key_value_bias"),
    Rule(BLOCK + "attn.c_proj.weight", OURS + "self_attention/output_kernel"),
    Rule(BLOCK + "attn.c_proj.bias", OURS + "self_attention/output_bias"),
    Rule(BLOCK + "ln_2.weight", OURS + "feed_forward_residual/norm/gamma"),
    Rule(BLOCK + "ln_2.bias", OURS + "feed_forward_residual/norm/beta"),
    Rule(BLOCK + "mlp.c_fc.weight", OURS + "feed_forward/hidden_kernel"),
    Rule(BLOCK + "mlp.c_fc.bias", OURS + "feed_forward/hidden_bias"),
    Rule(BLOCK + "mlp.c_proj.weight", OURS + "feed_forward/output_kernel"),
    Rule(BLOCK + "mlp.c_proj.bias", OURS + "feed_forward/output_bias"),
    Rule("transformer.ln_f.weight", "decoder/norm/gamma"),
    Rule("transformer.ln_f.bias", "decoder/norm/beta"),
    Rule("lm_head.weight", "language_model_head/kernel", TRANSPOSED),
    Rule("score.weight", "classifier/kernel", TRANSPOSED),
)


def read(config):
    architecture = (config.get("architectures") or [""])[0]
    if not architecture.endswith("Classification"):
        return {"num_classes": None, "class_names": None}
    return read_labels(config)


def write(arguments):
    end = arguments["end_id"]
    # The token that ends a text also begins one.
    config = {"bos_token_id": end[0] if isinstance(end, list) and end else end}
    is_classifier = arguments["head"] == "classification"
    return {**config, **(write_labels(arguments) if is_classifier else {})}


GPT2_FAMILY = Family(
    model_type="gpt2",
    architectures={
        "GPT2Model": {"head": None},
        "GPT2LMHeadModel": {"head": "language_model"},
        "GPT2ForSequenceClassification": {"head": "classification"},
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
        Field("tie_word_embeddings", "tie_embeddings", True),
        Field("eos_token_id", "end_id", 50256),
        Field("pad_token_id", "padding_id", None),
    ),
    rules=RULES,
    fixed={"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False},
    # The softmax is float32 here in any case; the summary is a head of its own.
    ignored=(
        "n_ctx",
        "reorder_and_upcast_attn",
        "summary_type",
        "summary_use_proj",
        "summary_activation",
        "summary_proj_to_labels",
        "summary_first_dropout",
    ),
    prefix="transformer.",
    harmless=(r"lm_head\.weight", r"h\.\d+\.attn\.(bias|masked_bias)"),
    read=read,
    write=write,
)
