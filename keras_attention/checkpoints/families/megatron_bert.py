"""Megatron's BERT as the library transformers publishes it."""

import dataclasses

from keras_attention.checkpoints.families.bert import BERT_FAMILY

# Norms stand in front of what they stand behind in BERT, under other names.
BLOCK = "bert.encoder.layer.{i}."
RENAMED = {
    BLOCK + "attention.output.LayerNorm": BLOCK + "attention.ln",
    BLOCK + "output.LayerNorm": BLOCK + "ln",
    "bert.embeddings.LayerNorm": "bert.encoder.ln",
}


def rules(arguments):
    """Those of BERT; that of the embeddings is the last one."""
    return [
        rule.moved({"embedding/norm": "encoder/norm"})
        for rule in BASE.rules_for(arguments)
    ]


BASE = BERT_FAMILY.like(
    model_type="megatron-bert",
    renamed=RENAMED,
    classes=("Bert", "MegatronBert"),
    defaults={
        "vocab_size": 29056,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
)
MEGATRON_BERT_FAMILY = dataclasses.replace(
    BASE,
    rules=rules,
    fields=tuple(f for f in BASE.fields if f.name != "classifier_dropout"),
    # Only training asks for it.
    beside=("classifier_dropout",),
)
