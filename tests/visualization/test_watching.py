"""Attention layers of Keras are captured on request, and nothing stays changed."""

import threading

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention import layers
from keras_attention.layers.recorder import active
from keras_attention.layers.recorder import Recorder
from keras_attention.visualization import attention_maps
from keras_attention.visualization import AttentionExtractor
from keras_attention.visualization import relevance
from keras_attention.visualization import rollout
from keras_attention.visualization.watching import watched

B, T, S, N, D = 3, 5, 7, 2, 8


@pytest.fixture
def tokens(rng):
    return rng.normal(size=(B, T, D)).astype("float32")


def of_keras(dropout=0.0):
    """A model of Keras's layers alone, with two ways of attention and a cross one."""
    inputs, memory = keras.Input((None, D)), keras.Input((None, D))
    heads = keras.layers.MultiHeadAttention(N, 4, dropout=dropout, name="heads")
    x = heads(inputs, inputs, use_causal_mask=True)
    x = x + keras.layers.GroupQueryAttention(4, 4, N, dropout=dropout, name="groups")(
        x, memory
    )
    x = x + keras.layers.AdditiveAttention(dropout=dropout, name="additive")([x, x])
    x = keras.layers.Attention(dropout=dropout, name="dot")([x, memory])
    return keras.Model([inputs, memory], keras.layers.Dense(3)(x))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.compiles_much
def test_weights_are_those_that_the_layers_of_keras_return(tokens, rng, dropout):
    model = of_keras(dropout)
    memory = rng.normal(size=(B, S, D)).astype("float32")
    before = model.predict([tokens, memory], verbose=0)
    maps = attention_maps(model, [tokens, memory], include_keras=True)
    assert list(maps) == ["heads", "groups", "additive", "dot"]
    assert [each.kind for each in maps.values()] == ["self", "cross", "self", "cross"]
    assert [each.weights.shape for each in maps.values()] == [
        (B, N, T, T),
        (B, 4, T, S),
        (B, 1, T, T),
        (B, 1, T, S),
    ]
    ask = {"return_attention_scores": True}
    heads, groups, additive, dot = map(model.get_layer, maps)
    x, weights = heads(tokens, tokens, use_causal_mask=True, **ask)
    np.testing.assert_allclose(maps["heads"].weights, to_numpy(weights), atol=1e-6)
    y, weights = groups(x, memory, **ask)
    np.testing.assert_allclose(maps["groups"].weights, to_numpy(weights), atol=1e-6)
    x = x + y
    y, weights = additive([x, x], **ask)
    np.testing.assert_allclose(
        maps["additive"].weights[:, 0], to_numpy(weights), atol=1e-6
    )
    _, weights = dot([x + y, memory], **ask)
    np.testing.assert_allclose(maps["dot"].weights[:, 0], to_numpy(weights), atol=1e-6)
    np.testing.assert_array_equal(model.predict([tokens, memory], verbose=0), before)


def test_they_are_left_out_unless_asked_for(tokens):
    inputs = keras.Input((None, D))
    x = layers.MultiHeadSelfAttention(N, 4, name="ours")(inputs)
    model = keras.Model(
        inputs, keras.layers.MultiHeadAttention(N, 4, name="theirs")(x, x)
    )
    assert list(attention_maps(model, tokens)) == ["ours"]
    assert list(attention_maps(model, tokens, include_keras=True)) == ["ours", "theirs"]
    with pytest.raises(ValueError, match="own are there, 1: pass include_keras=True"):
        attention_maps(model, tokens, layers="theirs")
    with pytest.raises(ValueError, match="whose path has 'x'. Pass the model itself"):
        attention_maps(model, tokens, layers="x", include_keras=True)


# torch.compile takes long.
@pytest.mark.parametrize(
    "jit_compile", [pytest.param(True, marks=[pytest.mark.slow] * (BACKEND == "torch"))]
)
def test_a_model_compiled_before_gives_the_same(tokens, jit_compile):
    """Functions that ran before are not asked, and stay as they are."""
    x = keras.Input((None, D))
    y = layers.MultiHeadSelfAttention(N, 4, name="ours")(x)
    y = keras.layers.MultiHeadAttention(N, 4, name="theirs")(y, y)
    model = keras.Model(x, y)
    expected = attention_maps(model, tokens, include_keras=True)
    model.compile("sgd", "mse", jit_compile=jit_compile)
    before = model.predict(tokens, verbose=0)
    found = attention_maps(model, tokens, include_keras=True)
    for name in expected:
        np.testing.assert_allclose(
            found[name].weights, expected[name].weights, atol=1e-6
        )
    np.testing.assert_array_equal(model.predict(tokens, verbose=0), before)


def test_outputs_are_those_of_the_model_with_scores_asked_for_or_not(tokens):
    x = keras.Input((None, D))
    y, weights = keras.layers.MultiHeadAttention(N, 4, name="theirs")(
        x, x, return_attention_scores=True
    )
    model = keras.Model(x, [y, weights])
    expected = model.predict(tokens, verbose=0)
    extractor = AttentionExtractor(model, include_keras=True)
    outputs, (captured,) = extractor.predict(tokens, verbose=0)
    for output, other in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output, other, atol=1e-6)
    np.testing.assert_allclose(captured, expected[1], atol=1e-6)


@pytest.mark.compiles_much
def test_relevance_of_layers_of_keras_follows_its_equation(tokens):
    """R = I + mean_heads(relu(A * dA)), where the answer is what token 0 gets."""
    x = keras.Input((None, D))
    heads = keras.layers.MultiHeadAttention(N, 4, name="heads")
    model = keras.Model(x, heads(x, x))
    found = relevance(
        model, tokens, lambda y: keras.ops.sum(y[:, 0], -1), include_keras=True
    )
    weights = attention_maps(model, tokens, include_keras=True)[0].weights
    kernel = to_numpy(heads.output_dense.kernel)  # (N, H, D)
    value = to_numpy(heads.value_dense(tokens))  # (B, S, N, H)
    slopes = np.einsum("bsnh,nhd->bns", value, kernel)
    expected = np.maximum(weights[:, :, 0] * slopes, 0).mean(1)  # (B, S)
    expected[:, 0] += 1
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(found[:, 1:], np.eye(T)[None, 1:].repeat(B, 0))


@pytest.mark.once
def test_relevance_of_a_single_head_of_keras(tokens):
    x = keras.Input((None, D))
    model = keras.Model(x, keras.layers.Attention(name="dot")([x, x]))
    found = relevance(
        model, tokens, lambda y: keras.ops.sum(y[:, 0], -1), include_keras=True
    )
    weights = attention_maps(model, tokens, include_keras=True)[0].weights
    expected = np.maximum(weights[:, 0, 0] * tokens.sum(-1), 0)
    expected[:, 0] += 1
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)


@pytest.mark.once
def test_attention_over_rows_and_columns_has_one_axis_for_both(rng):
    x = keras.Input((2, 3, D))
    y = keras.layers.MultiHeadAttention(N, 4, attention_axes=(1, 2), name="grid")(x, x)
    picture = rng.normal(size=(B, 2, 3, D)).astype("float32")
    maps = attention_maps(keras.Model(x, y), picture, include_keras=True)
    assert maps["grid"].weights.shape == (B, N, 6, 6)
    np.testing.assert_allclose(maps["grid"].weights.sum(-1), 1, rtol=1e-5)
    rows = keras.layers.MultiHeadAttention(N, 4, attention_axes=(2,), name="rows")
    with pytest.raises(ValueError, match="'rows' attends over some axes of many"):
        attention_maps(keras.Model(x, rows(x, x)), picture, include_keras=True)


@pytest.mark.once
def test_flash_attention_is_off_while_weights_are_asked_for(tokens):
    layer = keras.layers.MultiHeadAttention(N, 4)
    layer(tokens, tokens)
    layer._flash_attention = True
    with watched(layer, include_keras=True):
        assert layer._flash_attention is False
    assert layer._flash_attention is True
    assert "call" not in layer.__dict__


@pytest.mark.once
def test_nothing_stays_changed_after_an_error(tokens):
    layer = keras.layers.MultiHeadAttention(N, 4)
    with pytest.raises(KeyError), watched(layer, include_keras=True):
        assert "call" in layer.__dict__
        raise KeyError
    assert "call" not in layer.__dict__


@pytest.mark.once
def test_a_layer_that_does_not_give_its_weights_is_named(tokens):
    class Own(keras.layers.MultiHeadAttention):
        def call(self, query, value, key=None):
            return super().call(query, value, key)

    x = keras.Input((None, D))
    model = keras.Model(x, Own(N, 4, name="own")(x, x))
    with pytest.raises(ValueError, match="'own' of the class Own does not give its we"):
        attention_maps(model, tokens, include_keras=True)


@pytest.mark.once
def test_threads_watch_one_after_the_other(tokens):
    """Not by `predict`: on JAX, Keras lets one thread at a time run it on a model."""
    x = keras.Input((None, D))
    layer = keras.layers.MultiHeadAttention(N, 4)
    model, found = keras.Model(x, layer(x, x)), []

    def capture():
        with watched(model, include_keras=True), active(Recorder()) as recorder:
            model(tokens)
        found.append(to_numpy(recorder.weights))

    threads = [threading.Thread(target=capture) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(weights) for weights in found] == [1] * 4
    for (weights,) in found:
        np.testing.assert_allclose(weights, found[0][0], atol=1e-6)
    assert "call" not in layer.__dict__


@pytest.mark.once
def test_an_extractor_remembers_what_it_includes(tokens, tmp_path):
    x = keras.Input((None, D))
    model = keras.Model(x, keras.layers.MultiHeadAttention(N, 4)(x, x))
    extractor = AttentionExtractor(model, include_keras=True)
    _, (expected,) = extractor.predict(tokens, verbose=0)
    extractor.save(tmp_path / "extractor.keras")
    loaded = keras.saving.load_model(tmp_path / "extractor.keras")
    _, (found,) = loaded.predict(tokens, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def encoder_with_head():
    x = keras.Input((None, D))
    block = layers.TransformerEncoderBlock(N, 16)
    y = layers.TransformerEncoder(block, 2, name="encoder")(x)
    y = keras.layers.MultiHeadAttention(N, 4, name="theirs")(y, y)
    return keras.Model(x, keras.layers.Dense(3)(y))


@pytest.mark.compiles_much
def test_a_model_that_recomputes_is_captured_all_the_same(tokens):
    """`keras.RematScope` forgets what a layer computes; not while it is watched."""
    model = encoder_with_head()
    names = ["encoder", "theirs"]
    with keras.RematScope(mode="list_of_layers", layer_names=names):
        forgetful = encoder_with_head()
    forgetful.set_weights(model.get_weights())
    expected = attention_maps(model, tokens, include_keras=True)
    found = attention_maps(forgetful, tokens, include_keras=True)
    assert list(found) == list(expected)
    for name in expected:
        np.testing.assert_allclose(
            found[name].weights, expected[name].weights, atol=1e-6
        )
    modes = [forgetful.get_layer(name)._remat_mode.mode for name in names]
    assert modes == ["list_of_layers"] * 2


@pytest.mark.skipif(BACKEND == "torch", reason="There such a function can be seen.")
def test_a_model_whose_call_is_compiled_is_refused(tokens):
    model = encoder_with_head()
    if BACKEND == "jax":
        import jax

        model.call = jax.jit(model.call)
    else:
        import tensorflow

        model.call = tensorflow.function(model.call)
    with pytest.raises(ValueError, match="is a function that was compiled, and what"):
        attention_maps(model, tokens)


def small_bert(dropout):
    hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed.")
    backbone = hub.models.BertBackbone(
        vocabulary_size=30,
        num_layers=2,
        num_heads=N,
        hidden_dim=D,
        intermediate_dim=16,
        dropout=dropout,
        max_sequence_length=T,
    )
    token_ids = np.array([[4, 5, 6, 7, 0], [8, 9, 3, 0, 0]])
    inputs = {
        "token_ids": token_ids,
        "segment_ids": np.zeros((2, T), "int32"),
        "padding_mask": token_ids != 0,
    }
    return backbone, inputs


@pytest.mark.filterwarnings("ignore")  # those of TensorFlow, which KerasHub brings in
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_the_maps_of_a_bert_of_keras_hub(dropout):
    """Compiled by its user before, and padding is not read."""
    backbone, inputs = small_bert(dropout)
    backbone.compile("sgd", "mse")
    backbone.predict(inputs, verbose=0)
    maps = attention_maps(backbone, inputs, include_keras=True)
    assert [each.kind for each in maps.values()] == ["self"] * 2
    assert [each.weights.shape for each in maps.values()] == [(2, N, T, T)] * 2
    first = next(iter(maps))
    assert "transformer_layer_0" in first and first.endswith("self_attention_layer")
    for each in maps.values():
        np.testing.assert_allclose(each.weights.sum(-1), 1, rtol=1e-5)
        assert not each.weights[0, ..., 4:].any()
        assert not each.weights[1, ..., 3:].any()
    # As the layer itself says it of the embeddings.
    embeddings = keras.Model(
        backbone.input, backbone.get_layer("embeddings_dropout").output
    ).predict(inputs, verbose=0)
    layer = backbone.get_layer("transformer_layer_0")._self_attention_layer
    mask = np.broadcast_to(inputs["padding_mask"][:, None], (2, T, T))
    _, weights = layer(
        embeddings, embeddings, attention_mask=mask, return_attention_scores=True
    )
    np.testing.assert_allclose(maps[0].weights, to_numpy(weights), atol=1e-5)
    assert rollout(maps).shape == (2, T, T)


@pytest.mark.filterwarnings("ignore")  # those of TensorFlow, which KerasHub brings in
def test_the_maps_of_a_gpt_of_keras_hub():
    hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed.")
    backbone = hub.models.GPT2Backbone(
        vocabulary_size=30,
        num_layers=2,
        num_heads=N,
        hidden_dim=D,
        intermediate_dim=16,
        max_sequence_length=T,
    )
    inputs = {
        "token_ids": np.array([[4, 5, 6, 7, 8]]),
        "padding_mask": np.ones((1, T), "int32"),
    }
    maps = attention_maps(backbone, inputs, include_keras=True)
    assert [each.weights.shape for each in maps.values()] == [(1, N, T, T)] * 2
    for each in maps.values():
        assert not each.weights[..., np.triu(np.ones((T, T), bool), 1)].any()
        np.testing.assert_allclose(each.weights.sum(-1), 1, rtol=1e-5)
