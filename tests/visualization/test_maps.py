"""Attention maps are the weights that the layers return, of any model, in order."""

import threading

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention import layers
from keras_attention.applications import ShowAttendTell
from keras_attention.ops import explicit
from keras_attention.visualization import attention_maps
from keras_attention.visualization import AttentionExtractor
from keras_attention.visualization import AttentionMaps
from keras_attention.visualization import recording

B, T, S, N, D = 3, 5, 7, 2, 8


def encoder(num_layers=3, **options):
    block = layers.TransformerEncoderBlock(
        N, 16, dropout=0.3, attention_dropout=0.3, **options
    )
    return layers.TransformerEncoder(block, num_layers, name="encoder")


def functional(num_layers=3, **options):
    tokens = keras.Input((None, D))
    x = encoder(num_layers, **options)(tokens)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(tokens, keras.layers.Dense(4)(x))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder = encoder()
        self.head = keras.layers.Dense(4)

    def call(self, inputs):
        return self.head(keras.ops.mean(self.encoder(inputs), axis=1))


@pytest.fixture
def tokens(rng):
    return rng.normal(size=(B, T, D)).astype("float32")


@pytest.mark.parametrize("make", [functional, Subclassed])
def test_maps_are_the_weights_that_the_layers_return(make, tokens):
    model = make()
    model(tokens)
    maps = attention_maps(model, tokens)
    stack = next(x for x in model._flatten_layers() if x.name == "encoder")
    _, weights = stack(tokens, return_attention_scores=True)
    assert len(maps) == 3
    for each, expected in zip(maps.values(), weights, strict=True):
        assert isinstance(each.weights, np.ndarray) and each.kind == "self"
        np.testing.assert_allclose(each.weights, to_numpy(expected), atol=1e-6)


def test_maps_come_in_the_order_of_execution(tokens):
    """JAX sorts dicts by their keys: block_10 would stand before block_2."""
    names = list(attention_maps(functional(12), tokens))
    assert names == [f"encoder/block_{i}/self_attention" for i in range(12)]


def test_a_model_keeps_its_outputs_its_weights_and_its_fast_path(tokens, monkeypatch):
    model = functional()
    model.compile("sgd", "mse")
    before = model.predict(tokens, verbose=0)
    extractor = AttentionExtractor(model)
    outputs, _ = extractor.predict(tokens, verbose=0)
    np.testing.assert_allclose(outputs, before, atol=1e-5)
    assert len(extractor.weights) == len(model.weights)
    seen = []
    run = explicit.explicit_attention

    def spy(*args, **options):
        seen.append(options["change_weights"])
        return run(*args, **options)

    monkeypatch.setattr(explicit, "explicit_attention", spy)
    np.testing.assert_array_equal(model.predict(tokens, verbose=0), before)
    model.fit(tokens, np.zeros((B, 4)), verbose=0)
    assert not any(seen)


def test_a_model_that_was_never_called_is_called_once_first(tokens):
    """Else its layers would carry the name of the extractor for ever."""
    model = Subclassed()
    names = list(attention_maps(model, tokens))
    assert names == list(attention_maps(model, tokens))
    assert not any("extractor" in name for name in names)
    with pytest.raises(ValueError, match="has no weights yet. Call it once"):
        AttentionExtractor(Subclassed())


@pytest.mark.parametrize(
    "wanted, count",
    [
        ("block_1", 1),
        (["block_0", "block_2"], 2),
        (lambda path: path.endswith("self_attention"), 3),
    ],
    ids=["a part", "a list", "a function"],
)
def test_layers_can_be_chosen(wanted, count, tokens):
    assert len(attention_maps(functional(), tokens, layers=wanted)) == count


def test_a_map_is_found_by_name_by_part_and_by_number(tokens):
    maps = attention_maps(functional(), tokens)
    name = "encoder/block_1/self_attention"
    assert maps[name] is maps["block_1"] is maps[1]
    with pytest.raises(KeyError, match="Received: 3 of"):
        maps["block"]
    with pytest.raises(KeyError, match="Received: 0 of"):
        maps["head"]
    assert "<iframe" in maps._repr_html_()
    assert name in repr(maps) and isinstance(maps.of_kind("cross"), AttentionMaps)


def test_cross_attention_and_inputs_of_several_kinds(rng):
    target, source = (keras.Input((None, D), name=n) for n in ("target", "source"))
    block = layers.TransformerDecoderBlock(N, 16)
    x = layers.TransformerDecoder(block, 2, name="decoder")(target, source)
    model = keras.Model({"target": target, "source": source}, x)
    inputs = {
        "target": rng.normal(size=(B, T, D)),
        "source": rng.normal(size=(B, S, D)),
    }
    maps = attention_maps(model, inputs)
    assert [each.kind for each in maps.values()] == ["self", "cross"] * 2
    assert maps["block_1/cross_attention"].weights.shape == (B, N, T, S)
    causal = maps["block_1/self_attention"].weights
    assert not causal[..., np.triu(np.ones((T, T), bool), 1)].any()


def test_padding_has_no_weight(rng):
    token_ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(9, D, mask_zero=True)(token_ids)
    model = keras.Model(token_ids, encoder()(x))
    maps = attention_maps(model, np.array([[3, 4, 5, 0, 0], [1, 2, 3, 4, 5]]))
    for each in maps.values():
        assert not each.weights[0, :, :, 3:].any()
        np.testing.assert_allclose(each.weights.sum(-1), 1.0, atol=1e-5)


def test_half_precision_comes_as_float32(tokens):
    keras.config.set_dtype_policy("mixed_bfloat16")
    maps = attention_maps(functional(), tokens)
    assert maps[0].weights.dtype == "float32"
    np.testing.assert_allclose(maps[0].weights.sum(-1), 1.0, atol=0.02)


def test_batches_are_joined(tokens):
    model = functional()
    whole, cut = (attention_maps(model, tokens, batch_size=size) for size in (3, 2))
    np.testing.assert_allclose(whole[0].weights, cut[0].weights, atol=1e-6)


def test_a_layer_that_runs_twice_has_two_maps(tokens):
    inputs = keras.Input((None, D))
    layer = layers.MultiHeadSelfAttention(N, 4, name="shared")
    maps = attention_maps(keras.Model(inputs, layer(layer(inputs))), tokens)
    assert list(maps) == ["shared", "shared:1"]


def test_the_alignment_of_a_decoder_that_loops(rng):
    """Nothing leaves the loop by the side: its result is recorded."""
    model = ShowAttendTell(
        vocabulary=["cat", "dog"],
        image_size=16,
        encoder_filters=(4, 6),
        hidden_dim=8,
        word_dim=5,
        max_length=4,
    )
    images = rng.integers(0, 256, (2, 16, 16, 3)).astype("uint8")
    inputs = {"images": images, "token_ids": np.array([[1, 4, 5], [1, 5, 4]])}
    maps = attention_maps(model, inputs)
    (alignment,) = maps.values()
    assert alignment.kind == "cross" and alignment.weights.shape[:3] == (2, 1, 3)
    np.testing.assert_allclose(alignment.weights.sum(-1), 1.0, atol=1e-5)


def test_recording_keeps_what_runs_step_by_step(tokens):
    model = functional()
    expected = attention_maps(model, tokens)
    with recording(layers="block_1") as maps:
        model(tokens, training=False)
    (found,) = maps().values()
    np.testing.assert_allclose(found.weights, expected["block_1"].weights, atol=1e-6)
    with pytest.raises(ValueError, match="No attention was recorded"):
        with recording() as maps:
            maps()


def test_two_threads_do_not_see_each_other(tokens):
    model = functional()
    counts = {}

    def explore(name, calls):
        with recording() as maps:
            for _ in range(calls):
                model(tokens, training=False)
            counts[name] = len(maps())

    model(tokens)
    threads = [threading.Thread(target=explore, args=pair) for pair in ((0, 1), (1, 3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {0: 3, 1: 9}


def test_an_extractor_is_saved_and_loaded(tokens, tmp_path):
    extractor = AttentionExtractor(functional(), layers=["block_1"])
    _, (expected,) = extractor.predict(tokens, verbose=0)
    extractor.save(tmp_path / "extractor.keras")
    loaded = keras.saving.load_model(tmp_path / "extractor.keras")
    _, (found,) = loaded.predict(tokens, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_model_without_attention_is_refused(tokens):
    model = keras.Sequential([keras.layers.Dense(3)], name="plain")
    with pytest.raises(ValueError, match="No attention was recorded in the model 'pl"):
        attention_maps(model, tokens)
    with pytest.raises(ValueError, match="layer of keras_attention whose path has 'x'"):
        attention_maps(functional(), tokens, layers="x")
    with pytest.raises(ValueError, match="`layers` must be .* Received: layers=3"):
        attention_maps(functional(), tokens, layers=3)


def test_a_function_is_refused(tokens):
    with pytest.raises(ValueError, match="must be a Keras model or layer. Received: f"):
        attention_maps(lambda x: x, tokens)


@pytest.mark.skipif(BACKEND == "torch", reason="There, predict is not compiled.")
def test_a_compiled_predict_is_no_place_to_record(tokens):
    """What a function has compiled before does not run the layers again."""
    model = functional()
    model.predict(tokens, verbose=0)
    with recording() as maps:
        model.predict(tokens, verbose=0)
        with pytest.raises(ValueError, match="not a function"):
            maps()
