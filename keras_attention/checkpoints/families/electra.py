"""ELECTRA as the library transformers publishes it."""

from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.copies import POSITION_IDS
from keras_attention.checkpoints.families.bert import block_rules
from keras_attention.checkpoints.families.common import encoder_architectures
from keras_attention.checkpoints.families.common import encoder_fields
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.common import read_head
from keras_attention.checkpoints.families.common import SEQUENCE_HEADS
from keras_attention.checkpoints.families.common import tables
from keras_attention.checkpoints.families.common import write_head
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import TRANSPOSED

EMBEDDINGS = "electra.embeddings."
WORDS, REPLACED = "generator_predictions.", "discriminator_predictions."
LAST_OF_WORDS = "generator_lm_head."


def rules(arguments):
    """The table; the layer in front of classes has its name from what follows."""
    has_choices = arguments["head"] == "multiple_choice"
    of_texts = arguments["head"] in SEQUENCE_HEADS
    pooler = "sequence_summary.summary" if has_choices else "classifier.dense"
    return (
        *tables(EMBEDDINGS),
        *norm(EMBEDDINGS + "LayerNorm", "embedding/norm"),
        *linear("electra.embeddings_project", "embedding/projection/"),
        *block_rules("electra."),
        *linear(WORDS + "dense", "masked_language_model_dense/"),
        *norm(WORDS + "LayerNorm", "masked_language_model_norm"),
        Rule(
            LAST_OF_WORDS + "bias",
            "masked_language_model_bias/bias",
            sized_by="vocabulary_size",
        ),
        Rule(
            LAST_OF_WORDS + "weight",
            "masked_language_model_head/kernel",
            TRANSPOSED,
            sized_by="vocabulary_size",
        ),
        *linear(REPLACED + "dense", "replaced_token_dense/"),
        *linear(REPLACED + "dense_prediction", "replaced_token_head/"),
        *linear(pooler, "pooler/"),
        *linear("classifier.out_proj" if of_texts else "classifier", "classifier/"),
        *linear("qa_outputs", "question_answering_head/"),
    )


def harmless(arguments):
    """The numbers of positions, and the other name of the tied table."""
    found = {"embeddings.position_ids": POSITION_IDS}
    if arguments["tie_embeddings"]:
        found[LAST_OF_WORDS + "weight"] = Copy("embeddings.word_embeddings.weight")
    return found


# Those of BERT with other defaults: of the smallest ELECTRA.
SIZES = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024}

ELECTRA_FAMILY = Family(
    model_type="electra",
    architectures=encoder_architectures(
        "Electra",
        more={"ElectraForPreTraining": {"head": "replaced_token_detection"}},
    ),
    fields=(
        Field("max_position_embeddings", "max_length", 512),
        Field("type_vocab_size", "num_segments", 2),
        Field("embedding_size", "table_dim", 128),
        Field("summary_activation", "choice_activation", "gelu", ACTIVATIONS),
        Field("summary_last_dropout", "choice_dropout", 0.1),
        *(
            field.with_default(SIZES.get(field.name, field.default))
            for field in encoder_fields()
        ),
    ),
    rules=rules,
    fixed={
        "position_embedding_type": "absolute",
        "summary_type": "first",
        "summary_use_proj": True,
    },
    prefix="electra.",
    harmless=harmless,
    read=read_head,
    write=write_head,
)
