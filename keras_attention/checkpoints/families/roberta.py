"""RoBERTa, XLM-RoBERTa and CamemBERT as the library transformers publishes them."""

from keras_attention.checkpoints.families.bert import BERT_FAMILY
from keras_attention.checkpoints.families.common import encoder_architectures
from keras_attention.checkpoints.families.common import encoder_fields
from keras_attention.checkpoints.families.common import read_head
from keras_attention.checkpoints.families.common import SEQUENCE_HEADS
from keras_attention.checkpoints.families.common import write_head
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import renaming

RENAMED = {
    "bert.": "roberta.",
    "cls.predictions.transform.dense": "lm_head.dense",
    "cls.predictions.transform.LayerNorm": "lm_head.layer_norm",
    "cls.predictions.": "lm_head.",
}


def rules(arguments):
    """Those of BERT; the layer in front of the classes belongs to the classifier."""
    table = BASE.rules_for(arguments)
    if arguments["head"] not in SEQUENCE_HEADS:
        return table
    rename = renaming(
        {
            "roberta.pooler.dense": "classifier.dense",
            "classifier.weight": "classifier.out_proj.weight",
            "classifier.bias": "classifier.out_proj.bias",
        }
    )
    return [rule.renamed(rename) for rule in table]


def read(config):
    """Positions begin behind that of padding; the table has as many rows more."""
    rows, padding_id = (
        config.get("max_position_embeddings", 512),
        config.get("pad_token_id", 1),
    )
    return {"max_length": rows - padding_id - 1, **read_head(config)}


def write(arguments):
    rows = arguments["max_length"] + arguments["padding_id"] + 1
    return {"max_position_embeddings": rows, **write_head(arguments)}


BASE = BERT_FAMILY.like(
    model_type="roberta", renamed=RENAMED, classes=("Bert", "Roberta")
)
ROBERTA_FAMILY = BERT_FAMILY.like(
    model_type="roberta",
    renamed=RENAMED,
    classes=("Bert", "Roberta"),
    architectures=encoder_architectures("Roberta"),
    fields=(
        Field("type_vocab_size", "num_segments", 2),
        *encoder_fields(padding_id=1, vocabulary_size=50265),
    ),
    rules=rules,
    ignored=("max_position_embeddings",),
    read=read,
    write=write,
)
# The same model of a hundred languages: only its name is another.
XLM_ROBERTA_FAMILY = ROBERTA_FAMILY.like(
    model_type="xlm-roberta",
    renamed={},
    classes=("Roberta", "XLMRoberta"),
    defaults={"vocab_size": 30522},
)
# Its files, too, say `roberta.`.
CAMEMBERT_FAMILY = ROBERTA_FAMILY.like(
    model_type="camembert",
    renamed={},
    classes=("Roberta", "Camembert"),
    defaults={"vocab_size": 30522},
)
