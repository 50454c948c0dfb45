"""The families of published text encoders, a row each: what `test_families.py` runs."""

import dataclasses

import numpy as np

from keras_attention import applications
from published import MASK

RNG = np.random.default_rng(3)
IDS = RNG.integers(4, 41, MASK.shape)
SEGMENTS = RNG.integers(0, 3, MASK.shape)
CHOICES = 2
# DeBERTa of transformers reads all tokens alike from padding, so none stands first.
PADDING_INSIDE = np.where(np.arange(3)[:, None] < 2, MASK, [[1, 1, 0, 0, 1, 1, 1]])

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
ALBERT_HEADS = {
    "pretraining": (
        "ForPreTraining",
        {"hidden_act": "relu"},
        {
            "masked_language_model": "prediction_logits",
            "sentence_order": "sop_logits",
        },
    ),
}
# Two groups of two blocks for six layers, and a table that is narrower.
ALBERT_CONFIG = {
    **{k: v for k, v in BERT_CONFIG.items() if k != "classifier_dropout"},
    "classifier_dropout_prob": 0.3,
    "embedding_size": 5,
    "num_hidden_layers": 3,
    "num_hidden_groups": 2,
    "inner_group_num": 2,
}
# A table that is narrower, and what stands in front of choices.
ELECTRA_CONFIG = {
    **BERT_CONFIG,
    "embedding_size": 5,
    "summary_activation": "relu",
    "summary_last_dropout": 0.2,
}
ELECTRA_HEADS = {
    "replaced_token_detection": (
        "ForPreTraining",
        {"hidden_act": "relu", "embedding_size": 12},
        {None: "logits"},
    ),
}
MEGATRON_CONFIG = {k: v for k, v in BERT_CONFIG.items() if k != "classifier_dropout"}
# Distances beyond the span, one term alone and both, own projections and shared ones.
DEBERTA_CONFIG = {
    **{k: v for k, v in BERT_CONFIG.items() if k != "classifier_dropout"},
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "max_relative_positions": 4,
    "position_biased_input": False,
    "pooler_hidden_act": "tanh",
    "pooler_dropout": 0.2,
    "cls_dropout": 0.3,
}
DEBERTA_V2_CONFIG = {
    "max_relative_positions": 9,
    "position_buckets": 4,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
}
DEBERTA_V2_HEADS = {
    "convolution": (
        "ForTokenClassification",
        {"conv_kernel_size": 3, "conv_act": "gelu", "conv_groups": 2, "num_labels": 5},
        {None: "logits"},
    ),
    "own_projections": (
        "ForTokenClassification",
        {
            "share_att_key": False,
            "pos_att_type": ["p2c"],
            "position_buckets": -1,
            "norm_rel_ebd": "none",
            "position_biased_input": True,
            "num_labels": 5,
        },
        {None: "logits"},
    ),
    "their_words": ("ForMaskedLM", {"legacy": False}, {None: "logits"}),
}
DEBERTA_ARGUMENTS = {
    "num_segments": 3,
    "epsilon": 0.1,
    "use_absolute_positions": True,
    "position_terms": ["position_to_content"],
    "max_distance": 5,
    "pooler_activation": "tanh",
    "pooler_dropout": 0.3,
}
# Clamped distances, a wider norm, and what a summary has of its own.
XLNET_CONFIG = {
    "vocab_size": 41,
    "d_model": 12,
    "n_layer": 2,
    "n_head": 3,
    "d_inner": 20,
    "ff_activation": "gelu_new",
    "layer_norm_eps": 0.05,
    "clamp_len": 3,
    "mem_len": 9,
    "summary_activation": "relu",
    "pad_token_id": 3,
}
XLNET_HEADS = {
    "language_model": ("LMHeadModel", {}, {None: "logits"}),
    "untied_language_model": (
        "LMHeadModel",
        {"tie_word_embeddings": False},
        {None: "logits"},
    ),
    **{
        name: head
        for name, head in HEADS.items()
        if name not in ("masked_language_model", "untied")
    },
    "question_answering": (
        "ForQuestionAnsweringSimple",
        *HEADS["question_answering"][1:],
    ),
}
# Variants of a head.
SAME_HEAD = {
    "untied_language_model": "language_model",
    "untied": "masked_language_model",
    "their_words": "masked_language_model",
    "convolution": "token_classification",
    "own_projections": "token_classification",
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
    "initializer_range": 0.3,
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
        mask: Where the padding is in what heads read.
        words: The head that predicts words.
        pretraining: The head that is trained first.
        has_memory: Whether its blocks read a memory, too.
        left_out: Names in `ARGUMENTS` that it has not.
    """

    model: type
    published: str
    config: dict
    heads: dict
    has_segments: bool = False
    missing: frozenset = frozenset()
    arguments: dict = dataclasses.field(default_factory=dict)
    preset_words: int = 30522
    mask: np.ndarray = dataclasses.field(default_factory=lambda: MASK)
    words: str = "masked_language_model"
    pretraining: str = "masked_language_model"
    has_memory: bool = False
    left_out: frozenset = frozenset()

    def all_arguments(self):
        """An argument of each name, none at its default."""
        arguments = {**ARGUMENTS, **self.arguments}
        return {k: v for k, v in arguments.items() if k not in self.left_out}

    def inputs(self, head, mask=None):
        """What our model and theirs read, with choices where the head has some."""
        mask = self.mask if mask is None else mask
        ids = np.where(mask, IDS, 3)  # what RoBERTa's kin read of padding
        ours = {"token_ids": ids, "padding_mask": mask}
        theirs = {"input_ids": ids, "attention_mask": mask}
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
        applications.ALBERT,
        "Albert",
        ALBERT_CONFIG,
        {**HEADS, **ALBERT_HEADS},
        has_segments=True,
        missing=frozenset({"predictions.bias"}),
        arguments={
            "num_segments": 3,
            "epsilon": 0.1,
            "table_dim": 3,
            "num_layers": 4,
            "num_groups": 2,
            "group_size": 3,
        },
        preset_words=30000,
    ),
    Row(
        applications.ELECTRA,
        "Electra",
        ELECTRA_CONFIG,
        {**HEADS, **ELECTRA_HEADS},
        has_segments=True,
        arguments={
            "num_segments": 3,
            "epsilon": 0.1,
            "table_dim": 3,
            "choice_activation": "relu",
            "choice_dropout": 0.2,
        },
    ),
    Row(
        applications.MegatronBERT,
        "MegatronBert",
        MEGATRON_CONFIG,
        {**HEADS, **BERT_HEADS},
        has_segments=True,
        missing=frozenset({"cls.predictions.bias"}),
        arguments={"num_segments": 3, "epsilon": 0.1, "classifier_dropout": None},
        preset_words=29056,
    ),
    Row(
        applications.DeBERTa,
        "Deberta",
        DEBERTA_CONFIG,
        {k: v for k, v in HEADS.items() if k != "multiple_choice"},
        has_segments=True,
        missing=frozenset({"cls.predictions.bias"}),
        arguments={
            **DEBERTA_ARGUMENTS,
            "num_buckets": None,
            "norm_distances": False,
            "share_projections": False,
            "convolution_width": None,
            "convolution_groups": 1,
            "convolution_activation": "tanh",
        },
        preset_words=50265,
        mask=PADDING_INSIDE,
    ),
    Row(
        applications.DeBERTaV2,
        "DebertaV2",
        DEBERTA_CONFIG | DEBERTA_V2_CONFIG,
        {**HEADS, **DEBERTA_V2_HEADS},
        has_segments=True,
        missing=frozenset({"cls.predictions.bias"}),
        arguments={
            **DEBERTA_ARGUMENTS,
            "num_buckets": 4,
            "norm_distances": True,
            "share_projections": False,
            "convolution_width": 3,
            "convolution_groups": 2,
            "convolution_activation": "gelu",
        },
        preset_words=128100,
        mask=PADDING_INSIDE,
    ),
    Row(
        applications.DistilBERT,
        "DistilBert",
        DISTILBERT_CONFIG,
        HEADS,
        arguments={"question_answering_dropout": 0.3},
    ),
    Row(
        applications.XLNet,
        "XLNet",
        XLNET_CONFIG,
        XLNET_HEADS,
        has_segments=True,
        arguments={
            "epsilon": 0.1,
            "use_causal_mask": True,
            "same_length": True,
            "max_distance": 4,
            "second_half_reversed": True,
            "memory_length": 6,
            "reused_length": 3,
            "num_answer_starts": 2,
            "num_answer_ends": 3,
            "pooler_activation": "relu",
        },
        preset_words=32000,
        words="language_model",
        pretraining="permutation_language_model",
        has_memory=True,
        left_out=frozenset({"attention_dropout"}),
    ),
]
CASES = [(row, head) for row in ROWS for head in row.heads]
