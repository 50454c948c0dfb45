"""BERT as the library transformers publishes it."""

from keras_attention.checkpoints.family import ACTIVATIONS
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.family import Field
from keras_attention.checkpoints.labels import read_labels
from keras_attention.checkpoints.labels import write_labels
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import TRANSPOSED

EMBEDDINGS = "bert.embeddings."
BLOCK, OURS = "bert.encoder.layer.{i}.", "encoder/block_{i}/"
ATTENTION = BLOCK + "attention.self."
HEAD = "cls.predictions."
CLASSIFIERS = ("classification", "token_classification")


def rules(arguments):
    """The table; where logits are of the embeddings, their bias has another name."""
    tied = arguments["tie_embeddings"]
    return (
        Rule(
            EMBEDDINGS + "word_embeddings.weight",
            "embedding/token_embedding/embeddings",
        ),
        Rule(
            EMBEDDINGS + "position_embeddings.weight",
            "embedding/position_embedding/table",
        ),
        Rule(
            EMBEDDINGS + "token_type_embeddings.weight",
            "segment_embedding/embeddings",
        ),
        *norm(EMBEDDINGS + "LayerNorm", "embedding_norm"),
        Rule(
            tuple(ATTENTION + f"{part}.weight" for part in ("query", "key", "value")),
            OURS + "self_attention/query_key_value_kernel",
            side_by_side(TRANSPOSED),
        ),
        Rule(
            tuple(ATTENTION + f"{part}.bias" for part in ("query", "key", "value")),
            OURS + "self_attention/query_key_value_bias",
            side_by_side(),
        ),
        *dense(BLOCK + "attention.output.dense", OURS + "self_attention/output_"),
        *norm(
            BLOCK + "attention.output.LayerNorm", OURS + "self_attention_residual/norm"
        ),
        *dense(BLOCK + "intermediate.dense", OURS + "feed_forward/hidden_"),
        *dense(BLOCK + "output.dense", OURS + "feed_forward/output_"),
        *norm(BLOCK + "output.LayerNorm", OURS + "feed_forward_residual/norm"),
        *dense("bert.pooler.dense", "pooler/", optional=True),
        *dense(HEAD + "transform.dense", "masked_language_model_dense/"),
        *norm(HEAD + "transform.LayerNorm", "masked_language_model_norm"),
        Rule(
            HEAD + ("bias" if tied else "decoder.bias"),
            "masked_language_model_bias/bias",
        ),
        Rule(HEAD + "decoder.weight", "masked_language_model_head/kernel", TRANSPOSED),
        *dense("cls.seq_relationship", "next_sentence_head/"),
        *dense("classifier", "classifier/"),
        *dense("qa_outputs", "question_answering_head/"),
    )


def dense(published, ours, **options):
    """The rules of a `Linear`."""
    return (
        Rule(published + ".weight", ours + "kernel", TRANSPOSED, **options),
        Rule(published + ".bias", ours + "bias", **options),
    )


def norm(published, ours):
    """The rules of a `LayerNorm`."""
    return (
        Rule(published + ".weight", ours + "/gamma"),
        Rule(published + ".bias", ours + "/beta"),
    )


def read(config):
    architecture = (config.get("architectures") or [""])[0]
    if not architecture.endswith("Classification"):
        return {"num_classes": None, "class_names": None}
    return read_labels(config)


def write(arguments):
    return write_labels(arguments) if arguments["head"] in CLASSIFIERS else {}


BERT_FAMILY = Family(
    model_type="bert",
    architectures={
        "BertModel": {"head": None},
        "BertForPreTraining": {"head": "pretraining"},
        "BertForMaskedLM": {"head": "masked_language_model"},
        "BertForNextSentencePrediction": {"head": "next_sentence"},
        "BertForSequenceClassification": {"head": "classification"},
        "BertForTokenClassification": {"head": "token_classification"},
        "BertForQuestionAnswering": {"head": "question_answering"},
    },
    fields=(
        Field("vocab_size", "vocabulary_size", 30522),
        Field("max_position_embeddings", "max_length", 512),
        Field("type_vocab_size", "num_segments", 2),
        Field("hidden_size", "hidden_dim", 768),
        Field("num_hidden_layers", "num_layers", 12),
        Field("num_attention_heads", "num_heads", 12),
        Field("intermediate_size", "mlp_dim", 3072),
        Field("hidden_act", "activation", "gelu", ACTIVATIONS),
        Field("layer_norm_eps", "epsilon", 1e-12),
        Field("hidden_dropout_prob", "dropout", 0.1),
        Field("attention_probs_dropout_prob", "attention_dropout", 0.1),
        Field("classifier_dropout", "classifier_dropout", None),
        Field("tie_word_embeddings", "tie_embeddings", True),
        Field("pad_token_id", "padding_id", 0),
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
    harmless=(
        r"embeddings\.position_ids",
        r"cls\.predictions\.(decoder\.(weight|bias)|bias)",
        r"(pooler\.dense|cls\.seq_relationship)\.(weight|bias)",
    ),
    read=read,
    write=write,
)
