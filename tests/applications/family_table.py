"""The families of published text encoders, a row each: what `test_families.py` runs."""

import dataclasses

import numpy as np

from keras_attention import applications
from published import MASK

RNG = np.random.default_rng(3)
IDS = RNG.integers(4, 41, MASK.shape)
SEGMENTS = RNG.integers(0, 3, MASK.shape)
CHOICES = 2
# What RoBERTa's kin read of padding, they read of the ids.
PADDED_IDS = np.where(MASK, IDS, 3)

BERT_CONFIG = {
    "vocab_size": 41,
    "max_position_embeddings": 13,
    "type_vocab_size": 3,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "hidden_act": "gelu_new",
    "layer_norm_eps": 0.05,
    "classifier_dropout": 0.3,
    "pad_token_id": 3,
}
DISTILBERT_CONFIG = {
    "vocab_size": 41,
    "max_position_embeddings": 13,
    "dim": 12,
    "n_layers": 2,
    "n_heads": 3,
    "hidden_dim": 20,
    "activation": "relu",
    "seq_classif_dropout": 0.3,
    "pad_token_id": 3,
}
# Head, end of the published class, changes of the config, and outputs there.
HEADS = {
    "masked_language_model": ("ForMaskedLM", {}, {None: "logits"}),
    "untied": ("ForMaskedLM", {"tie_word_embeddings": False}, {None: "logits"}),
    "classification": (
        "ForSequenceClassification",
        {"num_labels": 4},
        {None: "logits"},
    ),
    "regression": ("ForSequenceClassification", {"num_labels": 1}, {None: "logits"}),
    "multi_label": (
        "ForSequenceClassification",
        {"num_labels": 3, "problem_type": "multi_label_classification"},
        {None: "logits"},
    ),
    "token_classification": (
        "ForTokenClassification",
        {"num_labels": 5},
        {None: "logits"},
    ),
    "question_answering": (
        "ForQuestionAnswering",
        {},
        {"start": "start_logits", "end": "end_logits"},
    ),
    "multiple_choice": ("ForMultipleChoice", {}, {None: "logits"}),
}
BERT_HEADS = {
    "pretraining": (
        "ForPreTraining",
        {"hidden_act": "relu"},
        {
            "masked_language_model": "prediction_logits",
            "next_sentence": "seq_relationship_logits",
        },
    ),
    "next_sentence": ("ForNextSentencePrediction", {}, {None: "logits"}),
}
# Arguments that no family's published config says otherwise, none at its default.
ARGUMENTS = {
    "vocabulary_size": 9,
    "max_length": 8,
    "hidden_dim": 4,
    "num_layers": 1,
    "num_heads": 2,
    "mlp_dim": 6,
    "activation": "relu",
    "dropout": 0.2,
    "attention_dropout": 0.3,
    "classifier_dropout": 0.4,
    "head": "token_classification",
    "tie_embeddings": False,
    "num_classes": 3,
    "class_names": ["x", "y", "z"],
    "padding_id": 5,
    "seed": 2,
    "name": "mine",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A family of encoders of texts.

    Args:
        model: Our class.
        published: How its published classes begin.
        config: An odd configuration.
        heads: Its heads, as in `HEADS`.
        has_segments: Whether it reads segments.
        missing: Names that transformers finds missing in what we write untied.
        arguments: More arguments of ours.
        preset_words: Number of words of its presets.
    """

    model: type
    published: str
    config: dict
    heads: dict
    has_segments: bool = False
    missing: frozenset = frozenset()
    arguments: dict = dataclasses.field(default_factory=dict)
    preset_words: int = 30522

    def inputs(self, head):
        """What our model and theirs read, with choices where the head has some."""
        ids = PADDED_IDS
        ours = {"token_ids": ids, "padding_mask": MASK}
        theirs = {"input_ids": ids, "attention_mask": MASK}
        if self.has_segments:
            ours["segment_ids"] = theirs["token_type_ids"] = SEGMENTS
        if head == "multiple_choice":  # rows read forward and backward
            ours, theirs = (
                {name: np.stack([x, x[::-1]], axis=1) for name, x in side.items()}
                for side in (ours, theirs)
            )
        return ours, theirs


ROWS = [
    Row(
        applications.BERT,
        "Bert",
        BERT_CONFIG,
        {**HEADS, **BERT_HEADS},
        has_segments=True,
        missing=frozenset({"cls.predictions.bias"}),
        arguments={"num_segments": 3, "epsilon": 0.1},
    ),
    Row(
        applications.RoBERTa,
        "Roberta",
        BERT_CONFIG | {"max_position_embeddings": 17},
        HEADS,
        missing=frozenset({"lm_head.bias"}),
        arguments={"num_segments": 3, "epsilon": 0.1},
        preset_words=50265,
    ),
    Row(
        applications.CamemBERT,
        "Camembert",
        BERT_CONFIG | {"max_position_embeddings": 17},
        HEADS,
        missing=frozenset({"lm_head.bias"}),
        arguments={"num_segments": 3, "epsilon": 0.1},
        preset_words=32005,
    ),
    Row(
        applications.DistilBERT,
        "DistilBert",
        DISTILBERT_CONFIG,
        HEADS,
        arguments={"question_answering_dropout": 0.3},
    ),
]
CASES = [(row, head) for row in ROWS for head in row.heads]
