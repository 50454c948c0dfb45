"""Bodies of published `config.json` files: each is read, or refused for a true reason.

`published_configs.json` holds them as public copies have them.
"""

import contextlib
import json
import pathlib

import pytest

from keras_attention import applications

pytestmark = pytest.mark.once

CONFIGS = json.loads(
    pathlib.Path(__file__).with_name("published_configs.json").read_text("utf-8")
)
# Models that are not here yet.
UNKNOWN = {
    "Salesforce/blip-image-captioning-base": "model_type='blip'",
    "trocr-base": "decoder has model_type='trocr'",
}
TEXT = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}
SMALL = {
    "BERT": {**TEXT, "vocabulary_size": 9},
    "RoBERTa": {**TEXT, "vocabulary_size": 9},
    "DeBERTaV2": {**TEXT, "vocabulary_size": 9},
    "GPT": {**TEXT, "vocabulary_size": 9},
    "GPT2": {**TEXT, "vocabulary_size": 9},
    "ViT": {**TEXT, "image_size": 32},
    "XLNet": {**TEXT, "vocabulary_size": 9},
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
# Class, what it must have read, and the fields that it says it ignores.
READ = {
    "openai-gpt": ("GPT", {"activation": "gelu_tanh", "end_id": None}, "n_special"),
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
    "xlnet-base-cased": (
        "XLNet",
        {"memory_length": None, "max_distance": None, "head": "language_model"},
        "",
    ),
    "gpt2": ("GPT2", {"num_layers": 12, "head": "next_token"}, ""),
    "gpt2-medium": ("GPT2", {"num_layers": 24}, "n_special"),
    "distilgpt2": ("GPT2", {"num_layers": 6, "num_classes": None}, ""),
    "bert-base-uncased": ("BERT", {"head": "masked_language_model"}, ""),
    "Bio_ClinicalBERT": ("BERT", {"vocabulary_size": 28996, "head": None}, ""),
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
    "opus-mt-en-de": ("Transformer", {"num_layers": 6, "activation": "silu"}, ""),
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
}


def test_every_body_is_in_one_list():
    assert sorted([*READ, *UNKNOWN]) == sorted(CONFIGS)


@pytest.mark.parametrize("name", READ)
def test_a_body_is_read(tmp_path, name):
    """And a model is built from it, at a small size."""
    config = CONFIGS[name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    class_name, expected, ignored = READ[name]
    model_class = getattr(applications, class_name)
    with warns(ignored):
        arguments = model_class.families[0].read_arguments(config, "config.json")
    assert {key: arguments[key] for key in expected} == expected
    says = config.keys() & {"model_type", "architectures"}
    load = applications.from_preset if says else model_class.from_preset
    with warns(ignored):
        model = load(tmp_path, load_weights=False, **SMALL[class_name])
    assert type(model) is model_class


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
