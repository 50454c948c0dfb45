"""ALBERT as the library transformers publishes it."""

from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.copies import POSITION_IDS
from keras_attention.checkpoints.copies import UNUSED
from keras_attention.checkpoints.families.common import encoder_architectures
from keras_attention.checkpoints.families.common import encoder_fields
from keras_attention.checkpoints.families.common import last_layer
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.common import query_key_value
from keras_attention.checkpoints.families.common import read_head
from keras_attention.checkpoints.families.common import tables
from keras_attention.checkpoints.families.common import write_head
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field

EMBEDDINGS = "albert.embeddings."
GROUP = "albert.encoder.albert_layer_groups.{group}.albert_layers.{layer}."
WORDS = "predictions."


def block_rules(theirs, ours):
    """The rules of a block."""
    attention, mlp = ours + "self_attention", ours + "feed_forward"
    return (
        *query_key_value(theirs + "attention.", attention),
        *linear(theirs + "attention.dense", attention + "/output_"),
        *norm(theirs + "attention.LayerNorm", attention + "_residual/norm"),
        *linear(theirs + "ffn", mlp + "/hidden_"),
        *linear(theirs + "ffn_output", mlp + "/output_"),
        *norm(theirs + "full_layer_layer_norm", mlp + "_residual/norm"),
    )


def rules(arguments):
    """The table; the blocks of a group have two numbers there and one here."""
    groups, size = arguments["num_groups"], arguments["group_size"]
    places = [(group, layer) for group in range(groups) for layer in range(size)]
    return (
        *tables(EMBEDDINGS),
        *norm(EMBEDDINGS + "LayerNorm", "embedding/norm"),
        *linear("albert.encoder.embedding_hidden_mapping_in", "embedding/projection/"),
        *(
            rule
            for number, (group, layer) in enumerate(places)
            for rule in block_rules(
                GROUP.format(group=group, layer=layer), f"encoder/block_{number}/"
            )
        ),
        *linear("albert.pooler", "pooler/", optional=True),
        *linear(WORDS + "dense", "masked_language_model_dense/"),
        *norm(WORDS + "LayerNorm", "masked_language_model_norm"),
        *last_layer(WORDS, arguments["tie_embeddings"]),
        *linear("sop_classifier.classifier", "sentence_order_head/"),
        *linear("classifier", "classifier/"),
        *linear("qa_outputs", "question_answering_head/"),
    )


def harmless(arguments):
    """A pooler and a second task that nobody asked for, and names of tied weights."""
    parts = ("pooler", "sop_classifier.classifier")
    unused = [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    found = {"embeddings.position_ids": POSITION_IDS, **dict.fromkeys(unused, UNUSED)}
    if not arguments["tie_embeddings"]:
        return {**found, WORDS + "bias": UNUSED}
    return {
        **found,
        WORDS + "decoder.weight": Copy("embeddings.word_embeddings.weight"),
        WORDS + "decoder.bias": Copy(WORDS + "bias"),
    }


# Those of BERT by other names or with other defaults: of the largest ALBERT.
SIZES = {
    "hidden_size": 4096,
    "num_attention_heads": 64,
    "intermediate_size": 16384,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
OTHERS = ("hidden_act", "classifier_dropout")

ALBERT_FAMILY = Family(
    model_type="albert",
    architectures=encoder_architectures(
        "Albert", more={"AlbertForPreTraining": {"head": "pretraining"}}
    ),
    fields=(
        Field("max_position_embeddings", "max_length", 512),
        Field("type_vocab_size", "num_segments", 2),
        Field("embedding_size", "table_dim", 128),
        Field("num_hidden_groups", "num_groups", 1),
        Field("inner_group_num", "group_size", 1),
        Field("hidden_act", "activation", "gelu_new", ACTIVATIONS),
        Field("classifier_dropout_prob", "classifier_dropout", 0.1),
        *(
            field.with_default(SIZES.get(field.name, field.default))
            for field in encoder_fields(vocabulary_size=30000)
            if field.name not in OTHERS
        ),
    ),
    rules=rules,
    fixed={"position_embedding_type": "absolute"},
    prefix="albert.",
    harmless=harmless,
    read=read_head,
    write=write_head,
)
