"""Bodies of published `config.json` files: each is read, or refused for a true reason.

`published_configs.json` holds them as public copies have them.
"""

import contextlib
import json
import pathlib
import re

import pytest

from helpers import ROOT
from keras_attention import applications

pytestmark = pytest.mark.once

CONFIGS = json.loads(
    pathlib.Path(__file__).with_name("published_configs.json").read_text("utf-8")
)
# Models that are not here yet.
UNKNOWN = {
    "Salesforce/blip-image-captioning-base": "model_type='blip'",
    "trocr-base": "decoder has model_type='trocr'",
    "google-t5/t5-small": "model_type='t5'",
    "google/mobilebert-uncased": "model_type='mobilebert'",
}
TEXT = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}
SMALL = {
    **dict.fromkeys(
        "ALBERT BERT CamemBERT DeBERTa DeBERTaV2 DistilBERT ELECTRA GPT GPT2 GPTNeo "
        "RoBERTa XLNet".split(),
        {**TEXT, "vocabulary_size": 9},
    ),
    "ViT": {**TEXT, "image_size": 32},
    "TransformerXL": {
        **{**TEXT, "vocabulary_size": 9, "cutoffs": [4], "key_dim": 4, "table_dim": 8}
    },
    "ResNet": {"hidden_dims": [8], "num_layers": [1], "image_size": 32},
    "ConvNeXt": {"hidden_dims": [8], "num_layers": [1], "image_size": 32},
    "Swin": {
        **{"hidden_dim": 8, "num_layers": [1], "num_heads": [2], "mlp_dim": 8},
        "image_size": 32,
    },
    "Transformer": {
        **TEXT,
        "num_decoder_layers": 1,
        "num_decoder_heads": 2,
        "decoder_mlp_dim": 8,
        "source_vocabulary_size": 9,
        "target_vocabulary_size": 9,
        "padding_id": 0,
        "start_id": 1,
        "end_id": 2,
        "forbidden_ids": (),
    },
}
MASKED = "masked_language_model"
# Class, what it must have read, and the fields that it says it ignores.
READ = {
    "openai-community/openai-gpt": (
        "GPT",
        {"activation": "gelu_tanh", "end_id": None},
        "n_special",
    ),
    "microsoft/deberta-v3-base": (
        "DeBERTaV2",
        {
            "position_terms": ["content_to_position", "position_to_content"],
            "num_buckets": 256,
            "max_distance": None,
            "norm_distances": True,
            "share_projections": True,
            "use_absolute_positions": False,
            "head": None,
        },
        "",
    ),
    "xlnet/xlnet-base-cased": (
        "XLNet",
        {"memory_length": None, "max_distance": None, "head": "language_model"},
        "",
    ),
    "openai-community/gpt2": ("GPT2", {"num_layers": 12, "head": "next_token"}, ""),
    "gpt2-medium, an early one": ("GPT2", {"num_layers": 24}, "n_special"),
    "distilbert/distilgpt2": ("GPT2", {"num_layers": 6, "num_classes": None}, ""),
    "google-bert/bert-base-uncased": ("BERT", {"head": "masked_language_model"}, ""),
    "emilyalsentzer/Bio_ClinicalBERT": (
        "BERT",
        {"vocabulary_size": 28996, "head": None},
        "",
    ),
    "facebook/deit-base-patch16-224": (
        "ViT",
        {"class_names": ["tench", "goldfish"], "epsilon": 1e-12},
        "",
    ),
    "a child of microsoft/resnet-50": (
        "ResNet",
        {"kind": "bottleneck", "num_classes": 4, "strides_first": False},
        "padding='max_length'",
    ),
    "a child of facebook/convnext-tiny-224": (
        "ConvNeXt",
        {"layer_scale": 1e-6, "use_response_norm": False},
        "padding",
    ),
    "a child of microsoft/swin-base-patch4-window7-224": (
        "Swin",
        {"mlp_dim": 512, "version": 1, "drop_path": 0.1},
        "padding",
    ),
    "vuongnhathien/deit-base": ("ViT", {"num_classes": 3, "class_names": None}, ""),
    "Helsinki-NLP/opus-mt-en-de": (
        "Transformer",
        {"num_layers": 6, "activation": "silu"},
        "",
    ),
    "marian, unk_token_id": ("Transformer", {"padding_id": 3}, "unk_token_id"),
    "marian, extra_pos_embeddings": (
        "Transformer",
        {"padding_id": 99},
        "extra_pos_embeddings",
    ),
    "openai-community/gpt2-medium": ("GPT2", {"num_layers": 24}, "n_special"),
    "cross-encoder/ms-marco-MiniLM-L-6-v2": (
        "BERT",
        {"head": "regression", "num_classes": 1},
        "sbert_ce_default_activation_function",
    ),
    "prajjwal1/bert-tiny": ("BERT", {"num_layers": 2, "head": None}, ""),
    "deepset/bert-base-cased-squad2": (
        "BERT",
        {"head": "question_answering"},
        "language='english', name='Bert'",
    ),
    "deepset/roberta-base-squad2": (
        "RoBERTa",
        {"max_length": 512, "padding_id": 1},
        "language",
    ),
    "optimum/roberta-base-squad2": ("RoBERTa", {"max_length": 512}, "language"),
    "google/electra-small-discriminator": (
        "ELECTRA",
        {"head": "replaced_token_detection", "table_dim": 128, "hidden_dim": 256},
        "",
    ),
    "google/electra-small-generator": ("ELECTRA", {"head": MASKED}, ""),
    "google/electra-base-discriminator": (
        "ELECTRA",
        {"table_dim": 768, "choice_activation": "gelu", "classifier_dropout": None},
        "",
    ),
    "Maltehb/-l-ctra-danish-electra-small-cased": (
        "ELECTRA",
        {"vocabulary_size": 32000},
        "generator_size='0.25'",
    ),
    "albert/albert-base-v2": (
        "ALBERT",
        {"head": MASKED, "num_groups": 1, "activation": "gelu_tanh"},
        "down_scale_factor=1, gap_size=0",
    ),
    "almanach/camembert-base": (
        "CamemBERT",
        {"head": MASKED, "max_length": 512, "vocabulary_size": 32005},
        "",
    ),
    "FacebookAI/roberta-base": ("RoBERTa", {"head": MASKED, "max_length": 512}, ""),
    "FacebookAI/xlm-roberta-base": (
        "RoBERTa",
        {"head": MASKED, "vocabulary_size": 250002, "padding_id": 1},
        "",
    ),
    "distilbert/distilbert-base-uncased": (
        "DistilBERT",
        {"head": MASKED, "num_layers": 6, "mlp_dim": 3072},
        "",
    ),
    "medicalai/ClinicalBERT": ("DistilBERT", {"vocabulary_size": 119547}, ""),
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english": (
        "DistilBERT",
        {"head": "classification", "class_names": ["NEGATIVE", "POSITIVE"]},
        "",
    ),
    "microsoft/deberta-base": (
        "DeBERTa",
        {
            "position_terms": ["content_to_position", "position_to_content"],
            "num_segments": 0,
            "head": None,
        },
        "",
    ),
    "microsoft/deberta-v2-xlarge": (
        "DeBERTaV2",
        {"convolution_width": 3, "convolution_activation": "gelu", "num_heads": 24},
        "",
    ),
    "EleutherAI/gpt-neo-125m": (
        "GPTNeo",
        {"head": "next_token", "windows": [None, 256], "mlp_dim": None},
        "",
    ),
    "roneneldan/TinyStories-1M": ("GPTNeo", {"num_heads": 16, "num_layers": 8}, ""),
    "transfo-xl/transfo-xl-wt103": (
        "TransformerXL",
        {"memory_length": 1600, "max_distance": 1000, "share_projections": True},
        "",
    ),
}


def test_every_body_is_in_one_list():
    assert sorted([*READ, *UNKNOWN]) == sorted(CONFIGS)


def test_the_page_lists_what_is_read():
    """With the class, and the head where the body names one."""
    page = (ROOT / "docs" / "published_checkpoints.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\S+/\S+)` \| `(\w+)` \| (.*?) ?\|$", page, re.MULTILINE)
    assert len(rows) > 20
    for name, class_name, head in rows:
        assert READ[name][0] == class_name
        config = CONFIGS[name]
        family = family_of(getattr(applications, class_name), config)
        with warns(READ[name][2]):
            found = family.read_arguments(config, "config.json").get("head")
        says = {None: "none is named"}.get(found, f'"{found}"')
        assert head == "" or head.partition(";")[0].strip("`") == says


@pytest.mark.parametrize("name", READ)
def test_a_body_is_read(tmp_path, name):
    """And a model is built from it, at a small size."""
    config = CONFIGS[name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    class_name, expected, ignored = READ[name]
    model_class = getattr(applications, class_name)
    with warns(ignored):
        arguments = family_of(model_class, config).read_arguments(config, "config.json")
    assert {key: arguments[key] for key in expected} == expected
    says = config.keys() & {"model_type", "architectures"}
    load = applications.from_preset if says else model_class.from_preset
    with warns(ignored):
        model = load(tmp_path, load_weights=False, **SMALL[class_name])
    assert type(model) is model_class


def family_of(model_class, config):
    """The family of a body; the first one for a body that does not say."""
    owners = [family for family in model_class.families if family.owns(config)]
    return next(iter(owners), model_class.families[0])


def warns(ignored):
    """Expects one line about fields that are ignored, or none."""
    if not ignored:
        return contextlib.nullcontext()
    message = f"that no model reads, ignored: .*{ignored}"
    return pytest.warns(UserWarning, match=message)


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_model_that_is_not_here_is_told(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[name]))
    with pytest.raises(ValueError, match=f"{UNKNOWN[name]}.*Known: "):
        applications.from_preset(tmp_path, load_weights=False)
