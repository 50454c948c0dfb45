"""DistilBERT as the library transformers publishes it."""

from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.copies import POSITION_IDS
from keras_attention.checkpoints.families.common import encoder_architectures
from keras_attention.checkpoints.families.common import INITIALIZER_RANGE
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.common import query_key_value
from keras_attention.checkpoints.families.common import read_head
from keras_attention.checkpoints.families.common import write_head
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import TRANSPOSED

EMBEDDINGS = "distilbert.embeddings."
BLOCK, OURS = "distilbert.transformer.layer.{i}.", "encoder/block_{i}/"
TOKENS = "word_embeddings.weight"


def rules(arguments):
    """The table; where logits are of the embeddings, their bias stands alone."""
    return (
        Rule(
            EMBEDDINGS + TOKENS,
            "embedding/token_embedding/embeddings",
            sized_by="vocabulary_size",
        ),
        Rule(
            EMBEDDINGS + "position_embeddings.weight",
            "embedding/position_embedding/table",
            sized_by="max_length",
        ),
        *norm(EMBEDDINGS + "LayerNorm", "embedding/norm"),
        *query_key_value(
            BLOCK + "attention.", OURS + "self_attention", ("q_lin", "k_lin", "v_lin")
        ),
        *linear(BLOCK + "attention.out_lin", OURS + "self_attention/output_"),
        *norm(BLOCK + "sa_layer_norm", OURS + "self_attention_residual/norm"),
        *linear(BLOCK + "ffn.lin1", OURS + "feed_forward/hidden_"),
        *linear(BLOCK + "ffn.lin2", OURS + "feed_forward/output_"),
        *norm(BLOCK + "output_layer_norm", OURS + "feed_forward_residual/norm"),
        *linear("vocab_transform", "masked_language_model_dense/"),
        *norm("vocab_layer_norm", "masked_language_model_norm"),
        Rule(
            "vocab_projector.bias",
            "masked_language_model_bias/bias",
            sized_by="vocabulary_size",
        ),
        Rule(
            "vocab_projector.weight",
            "masked_language_model_head/kernel",
            TRANSPOSED,
            sized_by="vocabulary_size",
        ),
        *linear("pre_classifier", "pooler/"),
        *linear("classifier", "classifier/"),
        *linear("qa_outputs", "question_answering_head/"),
    )


def harmless(arguments):
    found = {"embeddings.position_ids": POSITION_IDS}
    if arguments["tie_embeddings"]:
        found["vocab_projector.weight"] = Copy("embeddings." + TOKENS)
    return found


DISTILBERT_FAMILY = Family(
    model_type="distilbert",
    architectures=encoder_architectures("DistilBert"),
    fields=(
        Field("vocab_size", "vocabulary_size", 30522),
        Field("max_position_embeddings", "max_length", 512),
        Field("dim", "hidden_dim", 768),
        Field("n_layers", "num_layers", 6),
        Field("n_heads", "num_heads", 12),
        Field("hidden_dim", "mlp_dim", 3072),
        Field("activation", "activation", "gelu", ACTIVATIONS),
        Field("dropout", "dropout", 0.1),
        Field("attention_dropout", "attention_dropout", 0.1),
        Field("seq_classif_dropout", "classifier_dropout", 0.2),
        Field("qa_dropout", "question_answering_dropout", 0.1),
        Field("tie_word_embeddings", "tie_embeddings", True),
        Field("pad_token_id", "padding_id", 0),
        INITIALIZER_RANGE,
    ),
    rules=rules,
    fixed={"sinusoidal_pos_embds": False},
    ignored=("tie_weights_",),
    prefix="distilbert.",
    harmless=harmless,
    read=read_head,
    write=write_head,
)
