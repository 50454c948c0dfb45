"""BERT as the library transformers publishes it."""

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
from keras_attention.checkpoints.fields import Field

EMBEDDINGS = "bert.embeddings."
WORDS = "cls.predictions."


def block_rules(prefix):
    """The rules of all blocks.

    Args:
        prefix: What stands before their names there.

    Returns:
        Tuple of rules.
    """
    block, ours = prefix + "encoder.layer.{i}.", "encoder/block_{i}/"
    return (
        *query_key_value(block + "attention.self.", ours + "self_attention"),
        *linear(block + "attention.output.dense", ours + "self_attention/output_"),
        *norm(
            block + "attention.output.LayerNorm", ours + "self_attention_residual/norm"
        ),
        *linear(block + "intermediate.dense", ours + "feed_forward/hidden_"),
        *linear(block + "output.dense", ours + "feed_forward/output_"),
        *norm(block + "output.LayerNorm", ours + "feed_forward_residual/norm"),
    )


def rules(arguments):
    """The table; where logits are of the embeddings, their bias has another name."""
    return (
        *tables(EMBEDDINGS),
        *norm(EMBEDDINGS + "LayerNorm", "embedding/norm"),
        *block_rules("bert."),
        *linear("bert.pooler.dense", "pooler/", optional=True),
        *linear(WORDS + "transform.dense", "masked_language_model_dense/"),
        *norm(WORDS + "transform.LayerNorm", "masked_language_model_norm"),
        *last_layer(WORDS, arguments["tie_embeddings"]),
        *linear("cls.seq_relationship", "next_sentence_head/"),
        *linear("classifier", "classifier/"),
        *linear("qa_outputs", "question_answering_head/"),
    )


def harmless(arguments):
    """A pooler and a second task that nobody asked for, and names of tied weights."""
    parts = ("pooler.dense", "cls.seq_relationship")
    unused = [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    found = {
        "embeddings.position_ids": POSITION_IDS,
        **dict.fromkeys(unused, UNUSED),
    }
    if not arguments["tie_embeddings"]:
        return {**found, WORDS + "bias": UNUSED}
    return {
        **found,
        WORDS + "decoder.weight": Copy("embeddings.word_embeddings.weight"),
        WORDS + "decoder.bias": Copy(WORDS + "bias"),
    }


BERT_FAMILY = Family(
    model_type="bert",
    architectures=encoder_architectures(
        "Bert",
        more={
            "BertForPreTraining": {"head": "pretraining"},
            "BertForNextSentencePrediction": {"head": "next_sentence"},
        },
    ),
    fields=(
        Field("max_position_embeddings", "max_length", 512),
        Field("type_vocab_size", "num_segments", 2),
        *encoder_fields(),
    ),
    rules=rules,
    fixed={"position_embedding_type": "absolute"},
    # What Google's first files say of layers that the model does not have.
    ignored=(
        "directionality",
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
    ),
    prefix="bert.",
    harmless=harmless,
    read=read_head,
    write=write_head,
)
