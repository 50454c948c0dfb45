"""KerasHub's backbones become models of ours that compute the same, and back."""

import numpy as np
import pytest
from keras import ops

from keras_attention import applications
from keras_attention.checkpoints import from_keras_hub
from keras_attention.checkpoints import to_keras_hub

models = pytest.importorskip("keras_hub.models")

RNG = np.random.default_rng(5)
SIZES = {
    "vocabulary_size": 31,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 12,
    "intermediate_dim": 20,
    "max_sequence_length": 9,
}
TOKENS = {
    "token_ids": RNG.integers(3, 31, (3, 7)),
    "padding_mask": np.array([[1] * 7, [1] * 4 + [0] * 3, [1] * 6 + [0]]),
}
SEGMENTS = {"segment_ids": RNG.integers(0, 2, (3, 7))}
IMAGES = RNG.normal(size=(2, 8, 12, 3)).astype("float32")

# Its class, options, what it reads, our class.
BACKBONES = {
    "BertBackbone": ({}, {**TOKENS, **SEGMENTS}, "BERT"),
    "RobertaBackbone": ({}, TOKENS, "RoBERTa"),
    "AlbertBackbone": (
        {"embedding_dim": 5, "num_groups": 2, "num_inner_repetitions": 2}
        | {"num_layers": 4},
        {**TOKENS, **SEGMENTS},
        "ALBERT",
    ),
    "DistilBertBackbone": ({}, TOKENS, "DistilBERT"),
    "DebertaV3Backbone": ({"bucket_size": 4}, TOKENS, "DeBERTaV2"),
    "GPT2Backbone": ({}, TOKENS, "GPT2"),
    "ViTBackbone": (
        {"image_shape": (8, 12, 3), "patch_size": (4, 3), "mlp_dim": 20}
        | {"num_layers": 2, "num_heads": 2, "hidden_dim": 12},
        IMAGES,
        "ViT",
    ),
}
BARE = {"ViT": {"num_classes": None}}


def make(kind):
    options, inputs, name = BACKBONES[kind]
    sizes = {} if kind == "ViTBackbone" else SIZES
    backbone = getattr(models, kind)(**{**sizes, **options})
    for weight in backbone.weights:
        weight.assign(RNG.normal(size=weight.shape, scale=0.3))
    return backbone, inputs, BARE.get(name, {"head": None})


def outputs(model, inputs):
    """Tokens that are no padding, and what is pooled."""
    found = model(inputs)
    if isinstance(found, dict):
        tokens = found.get("tokens", found.get("sequence_output"))
        pooled = found.get("pooled", found.get("pooled_output"))
    else:
        tokens, pooled = found, None
    tokens = ops.convert_to_numpy(tokens)
    if isinstance(inputs, dict):
        tokens = tokens[inputs["padding_mask"] == 1]
    return [tokens, None if pooled is None else ops.convert_to_numpy(pooled)]


def assert_alike(one, other, inputs):
    for mine, theirs in zip(outputs(one, inputs), outputs(other, inputs), strict=True):
        if mine is not None and theirs is not None:
            np.testing.assert_allclose(mine, theirs, atol=1e-5)


@pytest.mark.compiles_much
@pytest.mark.parametrize("kind", BACKBONES)
def test_there_and_back_it_computes_the_same(kind):
    backbone, inputs, bare = make(kind)
    model = from_keras_hub(backbone, **bare)
    assert type(model).__name__ == BACKBONES[kind][2]
    assert_alike(model, backbone, inputs)
    again = to_keras_hub(model)
    assert type(again) is type(backbone)
    assert {k: v for k, v in again.get_config().items() if k != "name"} == {
        k: v for k, v in backbone.get_config().items() if k != "name"
    }
    assert_alike(again, backbone, inputs)


def test_a_segment_of_ours_is_not_forgotten():
    """RoBERTa has one row of segments, KerasHub's has none."""
    backbone, inputs, bare = make("RobertaBackbone")
    model = from_keras_hub(backbone, **bare)
    row = model.embedding.segment_embedding.embeddings
    row.assign(RNG.normal(size=row.shape))
    assert_alike(to_keras_hub(model), model, inputs)


@pytest.mark.once
@pytest.mark.parametrize(
    "kind, options",
    [
        ("BertBackbone", {"head": "classification", "num_classes": 3}),
        ("BertBackbone", {"head": "masked_language_model"}),
        ("GPT2Backbone", {"head": "next_token"}),
        ("ViTBackbone", {"num_classes": 4}),
    ],
)
def test_a_head_is_added(kind, options):
    backbone, inputs, _ = make(kind)
    model = from_keras_hub(backbone, dropout=0.0, **options)
    assert model.dropout == 0.0
    assert np.isfinite(ops.convert_to_numpy(model(inputs))).all()
    if options.get("head") == "masked_language_model":
        with pytest.warns(UserWarning, match="has no pooler"):
            again = to_keras_hub(model)
    else:
        again = to_keras_hub(model)
    tokens = outputs(again, inputs)[0]
    np.testing.assert_allclose(tokens, outputs(backbone, inputs)[0], atol=1e-5)


@pytest.mark.once
def test_what_keras_hub_does_not_compute_is_refused():
    sizes = {"vocabulary_size": 31, "hidden_dim": 8, "num_layers": 1, "num_heads": 2}
    bert = applications.BERT(**sizes, mlp_dim=8)
    with pytest.raises(ValueError, match="computes activation='gelu_tanh' alone"):
        to_keras_hub(bert)
    gpt2 = applications.GPT2(**sizes, scale_by_layer=True)
    with pytest.raises(ValueError, match="computes scale_by_layer=False alone"):
        to_keras_hub(gpt2)
    gpt = applications.GPT(**sizes)
    with pytest.raises(ValueError, match="must be one of ALBERT, BERT"):
        to_keras_hub(gpt)


@pytest.mark.once
def test_what_is_no_backbone_of_its_is_refused():
    backbone, _, _ = make("BertBackbone")
    with pytest.raises(ValueError, match="is what the backbone has. Received"):
        from_keras_hub(backbone, hidden_dim=16)
    task = models.BertTextClassifier(backbone, num_classes=2, preprocessor=None)
    with pytest.raises(ValueError, match="Pass its `backbone`, and ask for a `head`"):
        from_keras_hub(task)
    with pytest.raises(ValueError, match="must be one of KerasHub's"):
        from_keras_hub("bert_base_en")
