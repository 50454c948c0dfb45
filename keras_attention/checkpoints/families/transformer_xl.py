"""Transformer-XL as the library transformers published it, up to its fourth version."""

from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.copies import UNUSED
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.common import read_head
from keras_attention.checkpoints.families.common import SEQUENCE_HEADS
from keras_attention.checkpoints.families.common import write_head
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import TRANSPOSED

BLOCK, OURS = "transformer.layers.{i}.", "encoder/block_{i}/"
ATTENTION, OUR_ATTENTION = BLOCK + "dec_attn.", OURS + "self_attention/"
SCORES = OUR_ATTENTION + "position_scores/"
TABLES, WORDS = "transformer.word_emb.", "crit."
# What is not here: other kinds of attention, tables of one width, and what was tried.
FIXED = {
    "attn_type": 0,
    "untie_r": True,
    "pre_lnorm": False,
    "adaptive": True,
    "sample_softmax": -1,
    "ext_len": 0,
}


def rules(arguments):
    """The table; a cluster has its own table, and its own bias of logits."""
    return (
        Rule(TABLES + "emb_layers.{i}.weight", "embedding/table_{i}"),
        Rule(TABLES + "emb_projs.{i}", "embedding/projection_{i}", TRANSPOSED),
        Rule(
            ATTENTION + "qkv_net.weight",
            OUR_ATTENTION + "query_key_value_kernel",
            TRANSPOSED,
        ),
        Rule(ATTENTION + "o_net.weight", OUR_ATTENTION + "output_kernel", TRANSPOSED),
        Rule(ATTENTION + "r_net.weight", SCORES + "projection/kernel", TRANSPOSED),
        Rule(ATTENTION + "r_w_bias", SCORES + "content_bias"),
        Rule(ATTENTION + "r_r_bias", SCORES + "distance_bias"),
        *norm(ATTENTION + "layer_norm", OURS + "self_attention_residual/norm"),
        *linear(BLOCK + "pos_ff.CoreNet.0", OURS + "feed_forward/hidden_"),
        *linear(BLOCK + "pos_ff.CoreNet.3", OURS + "feed_forward/output_"),
        *norm(BLOCK + "pos_ff.layer_norm", OURS + "feed_forward_residual/norm"),
        Rule(WORDS + "cluster_weight", "embedding/softmax/cluster_table"),
        Rule(WORDS + "cluster_bias", "embedding/softmax/cluster_bias"),
        Rule(WORDS + "out_layers.{i}.weight", "embedding/softmax/table_{i}"),
        Rule(WORDS + "out_layers.{i}.bias", "embedding/softmax/bias_{i}"),
        Rule(WORDS + "out_projs.{i}", "embedding/softmax/projection_{i}", TRANSPOSED),
        Rule("score.weight", "classifier/kernel", TRANSPOSED),
    )


def harmless(arguments):
    """Wave lengths that are a buffer, and other names of tied weights."""
    found = {"pos_emb.inv_freq": UNUSED}
    if arguments["tie_embeddings"]:
        found[WORDS + "out_layers.{i}.weight"] = Copy("word_emb.emb_layers.{i}.weight")
    if arguments["share_projections"]:
        for i in range(1, len(arguments["cutoffs"]) + 1):
            found[f"{WORDS}out_projs.{i}"] = Copy(f"word_emb.emb_projs.{i}")
    return found


def read(config):
    """What 0 and -1 stand for, and what must be so."""
    clusters = len(config.get("cutoffs", ())) + 1
    shared = config.get("proj_share_all_but_first", True)
    projections = config.get("tie_projs", [False] + [shared] * (clusters - 1))
    kinds = set(projections[1:])
    if len(projections) != clusters or projections[0] or len(kinds) > 1:
        raise ValueError(
            f"config.json has tie_projs={projections!r} for {clusters} clusters. "
            "Known: False for the first, and all others alike."
        )
    if config.get("div_val", 4) == 1:
        raise ValueError(
            "config.json has div_val=1, one table for all clusters, which this library "
            "does not have. It knows tables that become narrower: div_val above 1."
        )
    return {
        "share_projections": kinds != {False},
        "max_distance": max(config.get("clamp_len", 1000), 0) or None,
        "memory_length": config.get("mem_len", 1600) or None,
        "tie_embeddings": config.get(
            "tie_word_embeddings", config.get("tie_weight", True)
        ),
        **read_head(config),
    }


def write(arguments):
    shared = arguments["share_projections"]
    end = arguments["end_id"]
    return {
        "clamp_len": arguments["max_distance"] or -1,
        "mem_len": arguments["memory_length"],
        "proj_share_all_but_first": shared,
        "tie_projs": [False] + [shared] * len(arguments["cutoffs"]),
        "tie_weight": arguments["tie_embeddings"],
        "tie_word_embeddings": arguments["tie_embeddings"],
        "bos_token_id": end[0] if isinstance(end, list) and end else end,
        **FIXED,
        **write_head(arguments),
    }


TRANSFORMER_XL_FAMILY = Family(
    model_type="transfo-xl",
    architectures={
        "TransfoXLModel": {"head": None},
        "TransfoXLLMHeadModel": {"head": "next_token"},
        "TransfoXLForSequenceClassification": {"head": SEQUENCE_HEADS},
    },
    fields=(
        Field("vocab_size", "vocabulary_size", 267735),
        Field("cutoffs", "cutoffs", (20000, 40000, 200000)),
        Field("div_val", "division", 4),
        Field("d_embed", "table_dim", 1024),
        Field("d_model", "hidden_dim", 1024),
        Field("d_head", "key_dim", 64),
        Field("n_layer", "num_layers", 18),
        Field("n_head", "num_heads", 16),
        Field("d_inner", "mlp_dim", 4096),
        Field("layer_norm_epsilon", "epsilon", 1e-5),
        Field("dropout", "dropout", 0.1),
        Field("dropatt", "attention_dropout", 0.0),
        Field("same_length", "same_length", True),
        Field("eos_token_id", "end_id", 0),
        Field("pad_token_id", "padding_id", None),
        Field("init_std", "initializer_range", 0.02),
    ),
    rules=rules,
    fixed=FIXED,
    # What `read` reads, and how a training begins and evaluates.
    ignored=(
        "clamp_len",
        "mem_len",
        "proj_share_all_but_first",
        "tie_projs",
        "tie_weight",
        "tie_word_embeddings",
        "init",
        "init_range",
        "proj_init_std",
        "tgt_len",
    ),
    prefix="transformer.",
    harmless=harmless,
    read=read,
    write=write,
)
