"""GPT-Neo as the library transformers publishes it."""

import numpy as np

from keras_attention.checkpoints.copies import Buffer
from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.copies import UNUSED
from keras_attention.checkpoints.families.common import INITIALIZER_RANGE
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.common import read_head
from keras_attention.checkpoints.families.common import SEQUENCE_HEADS
from keras_attention.checkpoints.families.gpt2 import write as write_gpt2
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import TRANSPOSED

BLOCK, OURS = "transformer.h.{i}.", "decoder/block_{i}/"
ATTENTION = BLOCK + "attn.attention."

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
    Rule(
        tuple(f"{ATTENTION}{name}_proj.weight" for name in "qkv"),
        OURS + "self_attention/query_key_value_kernel",
        side_by_side(TRANSPOSED),
    ),
    *linear(ATTENTION + "out_proj", OURS + "self_attention/output_"),
    *norm(BLOCK + "ln_2", OURS + "feed_forward_residual/norm"),
    *linear(BLOCK + "mlp.c_fc", OURS + "feed_forward/hidden_"),
    *linear(BLOCK + "mlp.c_proj", OURS + "feed_forward/output_"),
    *norm("transformer.ln_f", "decoder/norm"),
    Rule(
        "lm_head.weight",
        "next_token_head/kernel",
        TRANSPOSED,
        sized_by="vocabulary_size",
    ),
    Rule("score.weight", "classifier/kernel", TRANSPOSED),
)


def harmless(arguments):
    """Masks that are buffers, and the other name of the tied table."""
    found = {"h.{i}.attn.attention.masked_bias": UNUSED}
    windows = arguments["windows"] or [None]
    for number in range(arguments["num_layers"]):
        window = windows[number % len(windows)]
        found[f"h.{number}.attn.attention.bias"] = Buffer(
            lambda shape, arguments, window=window: causal_mask(shape[-1], window)
        )
    if arguments["tie_embeddings"]:
        found["lm_head.weight"] = Copy("wte.weight")
    return found


def causal_mask(length, window):
    """What each token reads: those before it, within the window."""
    mask = np.tri(length)
    return mask if window is None else mask - np.tri(length, k=-window)


def read(config):
    """The windows of the blocks, from one pattern or several and their numbers."""
    layers = config.get("num_layers", 24)
    types = config.get("attention_types") or [[["global", "local"], layers // 2]]
    kinds = [kind for pattern, count in types for kind in pattern * count]
    found = config.get("attention_layers", kinds)
    if len(kinds) != layers or found != kinds or set(kinds) > {"global", "local"}:
        raise ValueError(
            f"config.json has attention_types={types!r} and attention_layers={found!r} "
            f"for num_layers={layers}. Each block must be 'global' or 'local', alike "
            "in both."
        )
    window = config.get("window_size", 256)
    windows = [window if kind == "local" else None for kind in kinds]
    period = next(
        size
        for size in range(1, layers + 1)
        if windows == (windows[:size] * layers)[:layers]
    )
    return {
        "unscaled_attention": True,
        "use_attention_bias": False,
        "windows": windows[:period] if any(windows) else None,
        **read_head(config),
    }


def write(arguments):
    windows, layers = arguments["windows"] or [None], arguments["num_layers"]
    sizes = {window for window in windows if window is not None}
    if len(sizes) > 1:
        raise ValueError(
            f"The windows of a published GPT-Neo are all of one size. Received: "
            f"windows={arguments['windows']}"
        )
    pattern = ["global" if window is None else "local" for window in windows]
    kinds = (pattern * layers)[:layers]
    return {
        "attention_types": [[kinds, 1]],
        "attention_layers": kinds,
        "window_size": max(sizes, default=256),
        **write_gpt2(arguments),
    }


GPT_NEO_FAMILY = Family(
    model_type="gpt_neo",
    architectures={
        "GPTNeoModel": {"head": None},
        "GPTNeoForCausalLM": {"head": "next_token"},
        "GPTNeoForSequenceClassification": {"head": SEQUENCE_HEADS},
    },
    fields=(
        Field("vocab_size", "vocabulary_size", 50257),
        Field("max_position_embeddings", "max_length", 2048),
        Field("hidden_size", "hidden_dim", 2048),
        Field("num_layers", "num_layers", 24),
        Field("num_heads", "num_heads", 16),
        Field("intermediate_size", "mlp_dim", None),
        Field("activation_function", "activation", "gelu_new", ACTIVATIONS),
        Field("layer_norm_epsilon", "epsilon", 1e-5),
        Field("resid_dropout", "dropout", 0.0),
        Field("attention_dropout", "attention_dropout", 0.0),
        Field("embed_dropout", "embedding_dropout", 0.0),
        Field("tie_word_embeddings", "tie_embeddings", True),
        Field("eos_token_id", "end_id", 50256),
        Field("pad_token_id", "padding_id", None),
        INITIALIZER_RANGE,
    ),
    rules=RULES,
    # What `read` reads, and of a head that is not here.
    ignored=(
        "attention_types",
        "attention_layers",
        "window_size",
        "classifier_dropout",
        "summary_type",
        "summary_use_proj",
        "summary_activation",
        "summary_proj_to_labels",
        "summary_first_dropout",
    ),
    prefix="transformer.",
    harmless=harmless,
    read=read,
    write=write,
)
