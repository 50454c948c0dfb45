"""XLNet as the library transformers publishes it."""

import numpy as np

from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.families.common import INITIALIZER_RANGE
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.common import read_head
from keras_attention.checkpoints.families.common import SEQUENCE_HEADS
from keras_attention.checkpoints.families.common import write_head
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import each
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import Transform
from keras_attention.checkpoints.rules import TRANSPOSED

BLOCK, OURS = "transformer.layer.{i}.", "encoder/block_{i}/"
ATTENTION, OUR_ATTENTION = BLOCK + "rel_attn.", OURS + "self_attention/"
SCORES = OUR_ATTENTION + "position_scores/"
KINDS = {"bi": False, "uni": True}


def heads_apart(num_heads):
    """A kernel whose columns have two axes there, of heads and of their numbers."""
    return each(
        lambda kernel: kernel.reshape(len(kernel), -1),
        lambda kernel: kernel.reshape(len(kernel), num_heads, -1),
    )


def heads_joined(num_heads):
    """The last kernel of attention, transposed there, with two axes of its rows."""
    return each(
        lambda kernel: kernel.reshape(len(kernel), -1).T,
        lambda kernel: kernel.T.reshape(kernel.shape[1], num_heads, -1),
    )


# What is read of the tokens and of the beginning of an answer is one kernel there.
ABOVE_EACH_OTHER = Transform(
    lambda arrays: np.split(arrays[0].T, 2),
    lambda arrays: [np.concatenate(arrays).T],
)
SPANS = "answer_spans/"
VECTOR = each(lambda x: x.reshape(-1), lambda x: x.reshape(1, 1, -1))


def rules(arguments):
    """The table; a classifier has another name where it is of tokens."""
    heads = arguments["num_heads"]
    of_tokens = arguments["head"] == "token_classification"
    names = tuple(ATTENTION + name for name in "qkv")
    return (
        Rule(
            "transformer.word_embedding.weight",
            "embedding/token_embedding/embeddings",
            sized_by="vocabulary_size",
        ),
        Rule("transformer.mask_emb", "encoder/query_vector", VECTOR),
        Rule(
            names,
            OUR_ATTENTION + "query_key_value_kernel",
            side_by_side(heads_apart(heads)),
        ),
        Rule(ATTENTION + "o", OUR_ATTENTION + "output_kernel", heads_joined(heads)),
        Rule(ATTENTION + "r", SCORES + "projection/kernel", heads_apart(heads)),
        Rule(ATTENTION + "r_w_bias", SCORES + "content_bias"),
        Rule(ATTENTION + "r_r_bias", SCORES + "distance_bias"),
        Rule(ATTENTION + "r_s_bias", OUR_ATTENTION + "segment_bias"),
        Rule(ATTENTION + "seg_embed", OUR_ATTENTION + "segment_table"),
        *norm(ATTENTION + "layer_norm", OURS + "self_attention_residual/norm"),
        *linear(BLOCK + "ff.layer_1", OURS + "feed_forward/hidden_"),
        *linear(BLOCK + "ff.layer_2", OURS + "feed_forward/output_"),
        *norm(BLOCK + "ff.layer_norm", OURS + "feed_forward_residual/norm"),
        Rule(
            "lm_loss.weight",
            "language_model_head/kernel",
            TRANSPOSED,
            sized_by="vocabulary_size",
        ),
        Rule("lm_loss.bias", "language_model_bias/bias", sized_by="vocabulary_size"),
        *linear("sequence_summary.summary", "pooler/"),
        *linear("classifier" if of_tokens else "logits_proj", "classifier/"),
        *linear("qa_outputs", "question_answering_head/"),
        *linear("start_logits.dense", SPANS + "start/"),
        Rule(
            "end_logits.dense_0.weight",
            (SPANS + "end_tokens/kernel", SPANS + "end_starts/kernel"),
            ABOVE_EACH_OTHER,
        ),
        Rule("end_logits.dense_0.bias", SPANS + "end_tokens/bias"),
        *norm("end_logits.LayerNorm", SPANS + "end_norm"),
        *linear("end_logits.dense_1", SPANS + "end/"),
        *linear("answer_class.dense_0", SPANS + "class_hidden/"),
        Rule("answer_class.dense_1.weight", SPANS + "class_output/kernel", TRANSPOSED),
    )


def harmless(arguments):
    """The other name of the tied table."""
    if not arguments["tie_embeddings"]:
        return {}
    return {"lm_loss.weight": Copy("word_embedding.weight")}


def read(config):
    """What -1, 0 and nothing stand for, and the vocabulary's name in old files."""
    width, heads = config.get("d_model", 1024), config.get("n_head", 16)
    key_dim = config.get("d_head") or width // heads
    if key_dim * heads != width:
        raise ValueError(
            "config.json has heads of another width than d_model over n_head: "
            f"d_head={key_dim}, d_model={width}, n_head={heads}."
        )
    found = {
        "max_distance": max(config.get("clamp_len", -1), 0) or None,
        "memory_length": config.get("mem_len", 512) or None,
        "reused_length": config.get("reuse_len") or None,
        **read_head(config),
    }
    if "n_token" in config:
        found["vocabulary_size"] = config["n_token"]
    return found


def write(arguments):
    return {
        "clamp_len": arguments["max_distance"] or -1,
        "mem_len": arguments["memory_length"],
        "reuse_len": arguments["reused_length"],
        "d_head": arguments["hidden_dim"] // arguments["num_heads"],
        **write_head(arguments),
    }


XLNET_FAMILY = Family(
    model_type="xlnet",
    architectures={
        "XLNetModel": {"head": None},
        "XLNetLMHeadModel": {"head": ("language_model", "permutation_language_model")},
        "XLNetForSequenceClassification": {"head": SEQUENCE_HEADS},
        "XLNetForTokenClassification": {"head": "token_classification"},
        "XLNetForQuestionAnsweringSimple": {"head": "question_answering"},
        "XLNetForQuestionAnswering": {"head": "question_answering_beam_search"},
        "XLNetForMultipleChoice": {"head": "multiple_choice"},
    },
    fields=(
        Field("vocab_size", "vocabulary_size", 32000),
        Field("d_model", "hidden_dim", 1024),
        Field("n_layer", "num_layers", 24),
        Field("n_head", "num_heads", 16),
        Field("d_inner", "mlp_dim", 4096),
        Field("ff_activation", "activation", "gelu", ACTIVATIONS),
        Field("layer_norm_eps", "epsilon", 1e-12),
        Field("dropout", "dropout", 0.1),
        Field("attn_type", "use_causal_mask", "bi", KINDS),
        Field("same_length", "same_length", False),
        Field("bi_data", "second_half_reversed", False),
        Field("summary_activation", "pooler_activation", "tanh", ACTIVATIONS),
        Field("summary_last_dropout", "classifier_dropout", 0.1),
        Field("start_n_top", "num_answer_starts", 5),
        Field("end_n_top", "num_answer_ends", 5),
        Field("tie_word_embeddings", "tie_embeddings", True),
        Field("pad_token_id", "padding_id", 5),
        INITIALIZER_RANGE,
    ),
    rules=rules,
    fixed={"untie_r": True, "summary_type": "last", "summary_use_proj": True},
    # What `read` reads, and what is asked for in a call here.
    ignored=(
        "clamp_len",
        "mem_len",
        "reuse_len",
        "d_head",
        "n_token",
        "use_mems_eval",
        "use_mems_train",
    ),
    prefix="transformer.",
    harmless=harmless,
    # How long texts may be that are tokenized here, and which stream the head reads.
    beside=("max_length", "head"),
    read=read,
    write=write,
)
