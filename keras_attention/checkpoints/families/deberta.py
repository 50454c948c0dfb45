"""DeBERTa, versions 1 to 3, as the library transformers publishes them."""

import dataclasses

from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.copies import POSITION_IDS
from keras_attention.checkpoints.copies import UNUSED
from keras_attention.checkpoints.families.bert import BERT_FAMILY
from keras_attention.checkpoints.families.common import encoder_architectures
from keras_attention.checkpoints.families.common import encoder_fields
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.common import query_key_value
from keras_attention.checkpoints.families.common import read_head
from keras_attention.checkpoints.families.common import write_head
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import CONVOLUTION_1D
from keras_attention.checkpoints.rules import each
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import TRANSPOSED

BLOCK, OURS = "deberta.encoder.layer.{i}.", "encoder/block_{i}/"
ATTENTION = BLOCK + "attention.self."
SCORES = OURS + "self_attention/position_scores/"
# The first block has the table of distances that all share.
TABLE = "encoder/block_0/self_attention/position_scores/distances/"
# How transformers names the head for masked words, and how the authors do.
WORDS, THEIR_WORDS = "cls.predictions.", "lm_predictions.lm_head."
TERMS = {"c2p": "content_to_position", "p2c": "position_to_content"}
NORM_OF_DISTANCES = {"none": False, "layer_norm": True}


def common_rules(arguments):
    """Those of BERT but for attention, the pooler and the table of distances."""
    names = ("self_attention/query", "pooler/", "next_sentence")
    kept = [
        rule
        for rule in BASE.rules_for(arguments)
        if not any(name in rule.paths_as_written[0] for name in names)
    ]
    return (
        *kept,
        Rule("deberta.encoder.rel_embeddings.weight", TABLE + "table"),
        *linear("pooler.dense", "pooler/"),
    )


def first_rules(arguments):
    """The table of the first version, whose keys have no biases."""
    heads = arguments["num_heads"]
    return (
        *common_rules(arguments),
        Rule(
            ATTENTION + "in_proj.weight",
            OURS + "self_attention/query_key_value_kernel",
            by_heads(heads),
        ),
        Rule(
            (ATTENTION + "q_bias", ATTENTION + "v_bias"),
            OURS + "self_attention/query_value_bias",
            side_by_side(parts=2),
        ),
        Rule(
            ATTENTION + "pos_proj.weight", SCORES + "key_projection/kernel", TRANSPOSED
        ),
        *linear(ATTENTION + "pos_q_proj", SCORES + "query_projection/"),
    )


def rules(arguments):
    """The table of the second version and of the third."""
    names = ("query_proj", "key_proj", "value_proj")
    return (
        *common_rules(arguments),
        *query_key_value(ATTENTION, OURS + "self_attention", names),
        *linear(ATTENTION + "pos_key_proj", SCORES + "key_projection/"),
        *linear(ATTENTION + "pos_query_proj", SCORES + "query_projection/"),
        *norm("deberta.encoder.LayerNorm", TABLE + "norm"),
        Rule(
            "deberta.encoder.conv.conv.weight",
            "encoder/convolution/convolution/kernel",
            CONVOLUTION_1D,
        ),
        Rule("deberta.encoder.conv.conv.bias", "encoder/convolution/convolution/bias"),
        *norm("deberta.encoder.conv.LayerNorm", "encoder/convolution/norm"),
    )


def by_heads(num_heads):
    """A kernel whose rows are of query, key and value in each head."""

    def load(kernel):
        rows, width = kernel.shape
        kernel = kernel.reshape(num_heads, 3, -1, width)
        return kernel.swapaxes(0, 1).reshape(rows, width).T

    def save(kernel):
        width, columns = kernel.shape
        kernel = kernel.T.reshape(3, num_heads, -1, width)
        return kernel.swapaxes(0, 1).reshape(columns, width)

    return each(load, save)


def harmless(arguments):
    """The other head for masked words, and what the authors' files have besides."""
    names = {
        "dense.weight": "transform.dense.weight",
        "dense.bias": "transform.dense.bias",
        "LayerNorm.weight": "transform.LayerNorm.weight",
        "LayerNorm.bias": "transform.LayerNorm.bias",
        "bias": "bias",
    }
    found = {THEIR_WORDS + key: Copy(WORDS + name) for key, name in names.items()}
    found |= {
        "embeddings.position_ids": POSITION_IDS,
        # Of a discriminator, with which the third version was trained.
        "mask_predictions.dense.weight": UNUSED,
        "mask_predictions.dense.bias": UNUSED,
        "mask_predictions.LayerNorm.weight": UNUSED,
        "mask_predictions.LayerNorm.bias": UNUSED,
        "mask_predictions.classifier.weight": UNUSED,
        "mask_predictions.classifier.bias": UNUSED,
    }
    if not arguments["use_absolute_positions"]:
        found["embeddings.position_embeddings.weight"] = UNUSED
    if not arguments["tie_embeddings"]:
        return {**found, WORDS + "bias": UNUSED}
    return {
        **found,
        WORDS + "decoder.weight": Copy("embeddings.word_embeddings.weight"),
        WORDS + "decoder.bias": Copy(WORDS + "bias"),
    }


def read_first(config):
    """The terms, which a file may name in one string, and what -1 stands for."""
    terms = config.get("pos_att_type") or []
    terms = terms.lower().split("|") if isinstance(terms, str) else terms
    names = [term.strip() for term in terms if term.strip()]
    is_relative = config.get("relative_attention", False)
    if is_relative != bool(names) or not TERMS.keys() >= set(names):
        raise ValueError(
            f"config.json has relative_attention={is_relative} with pos_att_type="
            f"{config.get('pos_att_type')!r}. Known: relative_attention=True with c2p, "
            "p2c or both, and False with none."
        )
    width = config.get("hidden_size", 0) // config.get("num_attention_heads", 1)
    if config.get("attention_head_size", width) != width:
        raise ValueError(
            "config.json has heads of another width than hidden_size over "
            f"num_attention_heads: attention_head_size={config['attention_head_size']}."
        )
    farthest = config.get("max_relative_positions", -1)
    return {
        "position_terms": sorted(TERMS[name] for name in names) or None,
        "max_distance": farthest if farthest > 0 else None,
        **read_head(config),
    }


def write_first(arguments):
    terms = arguments["position_terms"]
    names = {ours: theirs for theirs, ours in TERMS.items()}
    return {
        "relative_attention": terms is not None,
        "pos_att_type": [names[term] for term in terms or ()],
        "max_relative_positions": arguments["max_distance"] or -1,
        **write_head(arguments),
    }


def read(config):
    """What the second version has besides, where -1 and 0 stand for none."""
    buckets = config.get("position_buckets", -1)
    return {
        **read_first(config),
        "num_buckets": buckets if buckets > 0 else None,
        "convolution_width": config.get("conv_kernel_size") or None,
    }


def write(arguments):
    return {
        **write_first(arguments),
        "position_buckets": arguments["num_buckets"] or -1,
        "conv_kernel_size": arguments["convolution_width"] or 0,
    }


def fields(vocabulary_size, hidden_size, num_layers):
    """The fields of both versions, with the sizes of their libraries' defaults."""
    sizes = {
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": hidden_size // 64,
        "intermediate_size": 4 * hidden_size,
    }
    others = ("classifier_dropout",)
    return (
        Field("max_position_embeddings", "max_length", 512),
        Field("type_vocab_size", "num_segments", 0),
        Field("position_biased_input", "use_absolute_positions", True),
        Field("pooler_hidden_act", "pooler_activation", "gelu", ACTIVATIONS),
        Field("pooler_dropout", "pooler_dropout", 0.0),
        Field("cls_dropout", "classifier_dropout", None),
        *(
            field.with_default(sizes.get(field.name, field.default))
            for field in encoder_fields(epsilon=1e-7, vocabulary_size=vocabulary_size)
            if field.name not in others
        ),
    )


# What `read_first` reads; `legacy` only says under which names the head for masked
# words is.
READ = (
    "relative_attention",
    "pos_att_type",
    "max_relative_positions",
    "attention_head_size",
    "legacy",
    "pooler_hidden_size",
)
BASE = BERT_FAMILY.like(
    model_type="deberta",
    renamed={"bert.": "deberta."},
    classes=("Bert", "Deberta"),
)
DEBERTA_FAMILY = dataclasses.replace(
    BASE,
    architectures={
        name: wanted
        for name, wanted in encoder_architectures("Deberta").items()
        if not name.endswith("MultipleChoice")  # which there is not
    },
    fields=fields(50265, 768, 12),
    rules=first_rules,
    harmless=harmless,
    ignored=READ,
    fixed={"talking_head": False},
    read=read_first,
    write=write_first,
)
DEBERTA_V2_FAMILY = dataclasses.replace(
    DEBERTA_FAMILY,
    model_type="deberta-v2",
    architectures=encoder_architectures("DebertaV2"),
    fields=(
        *fields(128100, 1536, 24),
        Field("norm_rel_ebd", "norm_distances", "none", NORM_OF_DISTANCES),
        Field("share_att_key", "share_projections", False),
        Field("conv_act", "convolution_activation", "tanh", ACTIVATIONS),
        Field("conv_groups", "convolution_groups", 1),
    ),
    rules=rules,
    ignored=(*READ, "position_buckets", "conv_kernel_size"),
    fixed={},
    read=read,
    write=write,
)
