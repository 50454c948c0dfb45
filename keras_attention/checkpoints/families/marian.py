"""Marian's translation models as the library transformers publishes them.

The tables of positions are not in the files, or need not be.
"""

import numpy as np

from keras_attention.checkpoints.copies import Buffer
from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.common import query_key_value
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import AXIS_IN_FRONT
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import TRANSPOSED

# What a model of this kind has besides the fields of its config.json.
ALWAYS = {
    "norm_order": "post",
    "epsilon": 1e-5,
    "positions": "marian",
    "use_attention_bias": True,
}
# The arguments that say how many rows the tables of tokens have.
SOURCES, TARGETS = "source_vocabulary_size", "target_vocabulary_size"


def stack_rules(side):
    """The rules of the blocks of the encoder or the decoder, as BART names them."""
    theirs, ours = f"model.{side}.layers.{{i}}.", f"{side}/block_{{i}}/"
    attentions = {"self_attn": "self_attention"}
    if side == "decoder":
        attentions["encoder_attn"] = "cross_attention"
    rules = []
    for attention, name in attentions.items():
        layer, parts = f"{theirs}{attention}", ("q_proj", "k_proj", "v_proj")
        rules += query_key_value(f"{layer}.", ours + name, parts)
        rules += linear(f"{layer}.out_proj", f"{ours}{name}/output_")
        rules += norm(f"{layer}_layer_norm", f"{ours}{name}_residual/norm")
    rules += linear(f"{theirs}fc1", f"{ours}feed_forward/hidden_")
    rules += linear(f"{theirs}fc2", f"{ours}feed_forward/output_")
    rules += norm(f"{theirs}final_layer_norm", f"{ours}feed_forward_residual/norm")
    return rules


def token_rules(arguments, shared):
    """The rules of the tables of tokens, or of the one that sources and targets share.

    Args:
        arguments: Dict of all arguments.
        shared: The published name of that one.

    Returns:
        List of rules.
    """
    if arguments["share_embeddings"]:
        return [Rule(shared, "token_embedding/embeddings", sized_by=SOURCES)]
    return [
        Rule(
            f"model.{side}.embed_tokens.weight",
            f"{ours}_embedding/embeddings",
            sized_by=f"{ours}_vocabulary_size",
        )
        for side, ours in (("encoder", "source"), ("decoder", "target"))
    ]


def rules(arguments):
    """The table; one vocabulary has one table of tokens."""
    tokens = token_rules(arguments, "model.shared.weight")
    bias = "output_bias/bias" if arguments["tie_output"] else "output/bias"
    return (
        *tokens,
        *stack_rules("encoder"),
        *stack_rules("decoder"),
        Rule("lm_head.weight", "output/kernel", TRANSPOSED, sized_by=TARGETS),
        Rule("final_logits_bias", bias, AXIS_IN_FRONT, sized_by=TARGETS),
    )


def read(config):
    is_tied = config.get("tie_word_embeddings", True)
    is_shared = config.get("share_encoder_decoder_embeddings", True)
    size = config.get("vocab_size", 58101)
    target_size = None if is_shared else config.get("decoder_vocab_size")
    padding_id = config.get("pad_token_id", 58100)
    return {
        **ALWAYS,
        "use_output_bias": True,
        "target_vocabulary_size": target_size or size,
        "share_embeddings": is_shared and is_tied,
        "tie_output": is_tied,
        "forbidden_ids": [padding_id],
    }


def write(arguments):
    sizes = vocabulary_sizes(arguments)
    return {
        **decoder_fields(arguments),
        "vocab_size": sizes[0],
        "decoder_vocab_size": sizes[1],
        "share_encoder_decoder_embeddings": arguments["share_embeddings"],
        "tie_word_embeddings": arguments["tie_output"],
        "bos_token_id": None,
        "forced_eos_token_id": arguments["end_id"],
        "is_encoder_decoder": True,
    }


def vocabulary_sizes(arguments):
    """How many tokens a model with these arguments has, the sources' first."""
    sizes = []
    for side in ("source", "target"):
        size, vocabulary = (
            arguments[f"{side}_vocabulary{kind}"] for kind in ("_size", "")
        )
        if size is None and vocabulary is not None:
            size = len(vocabulary)
        sizes.append(size)
    return sizes[0], sizes[1] or sizes[0]


def decoder_fields(arguments):
    """The sizes of the decoder, which are those of the encoder by default."""
    return {
        "decoder_layers": arguments["num_decoder_layers"] or arguments["num_layers"],
        "decoder_attention_heads": (
            arguments["num_decoder_heads"] or arguments["num_heads"]
        ),
        "decoder_ffn_dim": arguments["decoder_mlp_dim"] or arguments["mlp_dim"],
    }


def sized_fields(num_layers, activation, scale, padding_id, start_id, end_id):
    """The fields that Marian and fairseq have in common, with their defaults."""
    return (
        Field("d_model", "hidden_dim", 1024),
        Field("encoder_layers", "num_layers", num_layers),
        Field("encoder_attention_heads", "num_heads", 16),
        Field("encoder_ffn_dim", "mlp_dim", 4096),
        Field("decoder_layers", "num_decoder_layers", num_layers),
        Field("decoder_attention_heads", "num_decoder_heads", 16),
        Field("decoder_ffn_dim", "decoder_mlp_dim", 4096),
        Field("activation_function", "activation", activation, ACTIVATIONS),
        Field("dropout", "dropout", 0.1),
        Field("attention_dropout", "attention_dropout", 0.0),
        Field("activation_dropout", "mlp_dropout", 0.0),
        Field("scale_embedding", "scale_embeddings", scale),
        Field("max_position_embeddings", "max_length", 1024),
        Field("pad_token_id", "padding_id", padding_id),
        Field("decoder_start_token_id", "start_id", start_id),
        Field("eos_token_id", "end_id", end_id),
    )


# Fields of which only one value is known; the first five are of older files.
FIXED = {
    "normalize_before": False,
    "normalize_embedding": False,
    "add_final_layer_norm": False,
    "add_bias_logits": False,
    "static_position_embeddings": True,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
}
IGNORED = ("num_hidden_layers", "init_std", "classif_dropout", "classifier_dropout")


def sinusoids(shape, arguments):
    """The table of positions: sines in the first half, cosines in the second.

    Vaswani et al. 2017, Section 3.5, with the wave lengths 10000^(2i / D).
    """
    length, width = shape
    angles = np.arange(length)[:, None] / 10000.0 ** (np.arange(0, width, 2) / width)
    return np.concatenate([np.sin(angles), np.cos(angles[:, : width // 2])], axis=1)


def tables_of_positions(values):
    """Those that a file may have, which are computed here."""
    sides = ("encoder", "decoder")
    return {f"model.{side}.embed_positions.weight": Buffer(values) for side in sides}


def harmless(arguments):
    """Tables of positions, and copies of tied weights."""
    found = tables_of_positions(sinusoids)
    if arguments["share_embeddings"]:
        of = Copy("model.shared.weight")
        found["model.encoder.embed_tokens.weight"] = of
        found["model.decoder.embed_tokens.weight"] = of
        target = "model.shared.weight"
    else:
        target = "model.decoder.embed_tokens.weight"
        found["model.shared.weight"] = Copy("model.encoder.embed_tokens.weight")
    if arguments["tie_output"]:
        found["lm_head.weight"] = Copy(target)
    return found


MARIAN_FAMILY = Family(
    model_type="marian",
    architectures={"MarianMTModel": {}},
    fields=(
        Field("vocab_size", "source_vocabulary_size", 58101),
        *sized_fields(12, "gelu", False, 58100, 58100, 0),
    ),
    rules=rules,
    fixed=FIXED,
    ignored=(
        *IGNORED,
        "decoder_vocab_size",
        "share_encoder_decoder_embeddings",
        "tie_word_embeddings",
    ),
    harmless=harmless,
    read=read,
    write=write,
)
