"""The mask of an embedding reaches every layer that reads, unseen by the user.

One model has all layers behind one embedding with `mask_zero=True`. When the vector of
the padding changes, no output at a word may change: step by step, and compiled.
"""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import layers
from layers.layer_table import randomize

# The padding stands behind, in front and between.
TOKENS = np.array([[5, 3, 2, 0, 0, 0], [0, 0, 4, 1, 2, 6], [1, 0, 5, 0, 2, 3]], "int32")
B, T = TOKENS.shape
S, D, E, N, H = 4, 8, 10, 2, 3


def block(cls=layers.TransformerEncoderBlock, **options):
    return cls(num_heads=N, mlp_dim=9, **options)


def decoder(**options):
    return block(layers.TransformerDecoderBlock, **options)


def encoder_stack(**options):
    return layers.TransformerEncoder(block(norm="rms_norm"), 2, **options)


def self_attention():
    return layers.MultiHeadSelfAttention(N, H)


def attention():
    return layers.MultiHeadAttention(N, H)


# By name, a function of the embedded words, of a sequence without a mask and of a bias.
OVER_WORDS = {  # what comes out stands at the words
    "MultiHeadSelfAttention": lambda x, y, b: self_attention()(x),
    "MultiHeadSelfAttention, bias": lambda x, y, b: self_attention()(x, bias=b),
    "MultiHeadSelfAttention, weights": lambda x, y, b: self_attention()(
        x, bias=b, return_attention_scores=True
    )[0],
    "MultiHeadAttention with itself": lambda x, y, b: attention()(x, x),
    "two in a row": lambda x, y, b: self_attention()(self_attention()(x, bias=b)),
    "TransformerEncoderBlock": lambda x, y, b: block()(x),
    "TransformerEncoderBlock, bias": lambda x, y, b: block()(x, bias=b),
    "TransformerEncoderBlock, sandwich": lambda x, y, b: block(
        norm="rms_norm", norm_order="sandwich", layer_scale=0.5, dropout=0.1
    )(x),
    "two blocks": lambda x, y, b: block()(block(norm_order="post")(x, bias=b)),
    "TransformerEncoder": lambda x, y, b: encoder_stack()(x),
    "TransformerEncoder, bias": lambda x, y, b: encoder_stack(
        position_bias=layers.AlibiBias(N)
    )(x, bias=b),
    "TransformerDecoderBlock": lambda x, y, b: decoder()(x, y),
    "TransformerDecoderBlock, bias": lambda x, y, b: decoder()(
        x, y, bias=b, use_causal_mask=False
    ),
    "TransformerDecoderBlock alone": lambda x, y, b: decoder(use_cross_attention=False)(
        x, use_causal_mask=False
    ),
    "TransformerDecoder": lambda x, y, b: layers.TransformerDecoder(decoder(), 2)(
        x, y, bias=b, use_causal_mask=False
    ),
    "behind layers of each token": lambda x, y, b: self_attention()(
        layers.DropPath(0.1)(
            layers.FeedForward(9)(
                layers.LayerScale(0.5)(layers.PositionalEmbedding(T)(x))
            )
        )
    ),
}
OVER_OTHERS = {  # what comes out stands elsewhere, and has read the words
    "MultiHeadAttention": lambda x, y, b: attention()(y, x),
    "MultiHeadAttention, bias": lambda x, y, b: attention()(y, x, bias=b[:, :, :S]),
    "MultiHeadAttention, key": lambda x, y, b: attention()(y, x, key=x),
    "AdditiveAttention": lambda x, y, b: layers.AdditiveAttention(4)(y, x),
    "AdditiveAttention, key": lambda x, y, b: layers.AdditiveAttention(4)(y, x, x),
    "DotProductAttention": lambda x, y, b: layers.DotProductAttention("general")(y, x),
    "ScaledDotProduct": lambda x, y, b: layers.ScaledDotProduct()(
        keras.layers.Dense(D)(y), x
    ),
    "AttentionPooling": lambda x, y, b: layers.AttentionPooling(N)(x),
    "AttentionPooling, weights": lambda x, y, b: layers.AttentionPooling(N)(
        x, return_attention_scores=True
    )[0],
    "ClassToken": lambda x, y, b: block()(layers.ClassToken(2)(x))[:, :2],
    "TransformerDecoderBlock": lambda x, y, b: decoder()(y, x),
    "TransformerDecoderBlock, bias": lambda x, y, b: decoder()(
        y, x, bias=b[:, :, :S, :S]
    ),
    "TransformerDecoder": lambda x, y, b: layers.TransformerDecoder(decoder(), 2)(y, x),
}


def all_in_one(mask_zero=True):
    """A model of all cases, with random weights, and its embedding."""
    tokens = keras.Input((T,), dtype="int32", name="tokens")
    others = keras.Input((S, E), name="others")
    bias = keras.Input((N, T, T), name="bias")
    embedding = keras.layers.Embedding(7, D, mask_zero=mask_zero)
    x = embedding(tokens)
    outputs = {
        **{f"words: {k}": f(x, others, bias) for k, f in OVER_WORDS.items()},
        **{f"others: {k}": f(x, others, bias) for k, f in OVER_OTHERS.items()},
    }
    ours = layers.TokenAndPositionEmbedding(7, D, T, mask_zero=mask_zero)
    outputs["words: TokenAndPositionEmbedding"] = block()(ours(tokens))
    model = keras.Model((tokens, others, bias), outputs)
    randomize(model)
    return model, (embedding.embeddings, ours.token_embedding.embeddings)


@pytest.fixture(scope="module")
def outputs():
    """By way of running: outputs with one vector of the padding, and with another."""
    rng = np.random.default_rng(0)
    inputs = (
        TOKENS,
        rng.standard_normal((B, S, E)).astype("float32"),
        rng.standard_normal((B, N, T, T)).astype("float32"),
    )
    found = {}
    for name, mask_zero in (("masked", True), ("not masked", False)):
        model, tables = all_in_one(mask_zero)
        runs = {name: lambda model=model: to_numpy(model(inputs))}
        if mask_zero:
            runs["compiled"] = lambda model=model: model.predict(inputs, verbose=0)
        for run, function in runs.items():
            found[run] = []
            for vector in (np.full(D, 0.3), rng.standard_normal(D)):
                for table in tables:
                    values = to_numpy(table)
                    values[0] = vector
                    table.assign(values)
                found[run].append(function())
    return found


NAMES = [
    *(f"words: {name}" for name in (*OVER_WORDS, "TokenAndPositionEmbedding")),
    *(f"others: {name}" for name in OVER_OTHERS),
]


@pytest.mark.parametrize("run", ["masked", "compiled"])
@pytest.mark.parametrize("name", NAMES)
def test_padding_is_not_read(outputs, name, run):
    before, after = (output[name] for output in outputs[run])
    changes = np.abs(after - before)
    if name.startswith("words"):
        changes = changes[TOKENS != 0]
    assert changes.max() <= 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_padding_is_read_without_the_mask(outputs, name):
    """So the test above can fail."""
    before, after = (output[name] for output in outputs["not masked"])
    changes = np.abs(after - before)
    if name.startswith("words"):
        changes = changes[TOKENS != 0]
    assert changes.max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_compiled_and_step_by_step_are_the_same(outputs, name):
    first, second = (outputs[run][0][name] for run in ("masked", "compiled"))
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)


class ShowMask(keras.layers.Layer):
    """Keeps the mask that arrives with its input."""

    def __init__(self):
        super().__init__()
        self.supports_masking = True
        self.masks = []

    def call(self, inputs, mask=None):
        self.masks.append(None if mask is None else to_numpy(mask))
        return inputs


def mask_behind(layer, *args, **kwargs):
    spy = ShowMask()
    output = layer(*args, **kwargs)
    spy(output[0] if isinstance(output, tuple) else output)
    return spy.masks[0]


@pytest.fixture
def words():
    return keras.layers.Embedding(7, D, mask_zero=True)(TOKENS)


@pytest.mark.parametrize("weights", [False, True])
def test_layers_of_a_sequence_pass_its_mask_on(words, rng, weights):
    others = rng.standard_normal((B, S, E)).astype("float32")
    asked = {"return_attention_scores": weights}
    for found in (
        mask_behind(self_attention(), words, **asked),
        mask_behind(block(norm="rms_norm", norm_order="post"), words, **asked),
        mask_behind(encoder_stack(), words, **asked),
        mask_behind(decoder(), words, others, **asked),
        mask_behind(layers.TransformerDecoder(decoder(), 2), words, others, **asked),
        mask_behind(layers.PositionalEmbedding(T), words),
        mask_behind(layers.FeedForward(4), words),
        mask_behind(layers.LayerScale(), words),
        mask_behind(layers.DropPath(0.1), words),
        mask_behind(layers.TokenAndPositionEmbedding(7, D, T, mask_zero=True), TOKENS),
    ):
        np.testing.assert_array_equal(found, TOKENS != 0)


@pytest.mark.parametrize("weights", [False, True])
def test_the_padding_of_queries_goes_on_with_what_they_read(words, rng, weights):
    """Whatever is passed as `mask`, and to whichever layer stands behind."""
    others = rng.standard_normal((B, S, D)).astype("float32")
    given = {"mask": np.ones((B, T, S), bool), "return_attention_scores": weights}
    for layer in (
        attention(),
        layers.AdditiveAttention(4),
        layers.DotProductAttention(),
        layers.ScaledDotProduct(),
        layers.LuongAttention(),
    ):
        rest = {k: v for k, v in given.items() if k != "mask"}
        np.testing.assert_array_equal(
            mask_behind(layer, words, others, **rest), TOKENS != 0
        )
        if not isinstance(layer, layers.LuongAttention):
            np.testing.assert_array_equal(
                mask_behind(layer, words, others, **given), TOKENS != 0
            )
    given["mask"] = np.ones((B, T, T), bool)
    for layer in (self_attention(), block(), encoder_stack()):
        np.testing.assert_array_equal(mask_behind(layer, words, **given), TOKENS != 0)


def test_the_padding_of_keys_alone_is_not_read(words, rng):
    query = rng.standard_normal((B, S, D)).astype("float32")
    plain = keras.ops.convert_to_tensor(to_numpy(words))
    for layer in (
        attention(),
        layers.AdditiveAttention(4),
        layers.DotProductAttention(),
        layers.ScaledDotProduct(),
        layers.LuongAttention(),
    ):
        found = layer(query, plain, words)
        expected = layer(query, plain, plain, mask=TOKENS != 0)
        np.testing.assert_allclose(to_numpy(found), to_numpy(expected), atol=1e-6)


def test_a_mask_may_be_a_list(rng):
    x = rng.standard_normal((B, T, D)).astype("float32")
    for mask in (TOKENS != 0, np.tril(np.ones((1, T, T), bool))):
        for layer in (self_attention(), block(), encoder_stack()):
            expected = to_numpy(layer(x, mask=mask))
            np.testing.assert_allclose(
                to_numpy(layer(x, mask=mask.tolist())), expected, atol=1e-6
            )


def test_a_loss_behind_attention_leaves_padding_out(rng):
    """Keras weights the loss by the mask of what a model gives."""
    tokens, others = keras.Input((T,), dtype="int32"), keras.Input((S, D))
    words = keras.layers.Embedding(7, D, mask_zero=True)(tokens)
    outputs = keras.layers.Dense(1)(attention()(words, others))
    model = keras.Model((tokens, others), outputs)
    model.compile("sgd", "mse")
    y = rng.standard_normal((B, S, D)).astype("float32")
    found = model.evaluate((TOKENS, y), np.zeros((B, T, 1)), verbose=0)
    values = to_numpy(model((TOKENS, y)))[TOKENS != 0]
    np.testing.assert_allclose(found, (values**2).mean(), rtol=1e-5)


def test_learned_tokens_are_no_padding(words):
    found = mask_behind(layers.ClassToken(2), words)
    np.testing.assert_array_equal(found[:, :2], True)
    np.testing.assert_array_equal(found[:, 2:], TOKENS != 0)


@pytest.mark.parametrize("axes", [3, 4])
def test_who_reads_whom_is_no_mask_of_tokens(rng, axes):
    """A mask of three or four axes, passed by the user, goes no further."""
    x = rng.standard_normal((B, T, D)).astype("float32")
    mask = np.ones((B, T, T) if axes == 3 else (B, N, T, T), bool)
    for layer in (self_attention(), block(), encoder_stack()):
        assert mask_behind(layer, x, mask=mask) is None
    assert mask_behind(attention(), x, x, mask=mask) is None
    assert mask_behind(decoder(), x, x, mask=mask) is None
    if axes == 3:
        for layer in (layers.AdditiveAttention(4), layers.ScaledDotProduct()):
            assert mask_behind(layer, x, x, mask=mask) is None


def test_the_mask_of_the_values_does_not_become_that_of_the_queries(words, rng):
    """The values have padding, the queries have none and another length."""
    others = rng.standard_normal((B, S, D)).astype("float32")
    for layer in (
        attention(),
        layers.AdditiveAttention(4),
        layers.DotProductAttention(),
        layers.ScaledDotProduct(),
        decoder(),
    ):
        assert mask_behind(layer, others, words) is None
        assert mask_behind(layer, others, words, return_attention_scores=True) is None


def test_what_has_no_tokens_has_no_mask(words):
    for layer in (
        layers.AttentionPooling(N),
        layers.AlibiBias(N),
        layers.RelativePositionBias(N),
        layers.RelativePositionBias2D(N, 2, 3),
        layers.PatchEmbedding(4, 2),
    ):
        assert mask_behind(layer, words) is None


@pytest.mark.parametrize("axes", [2, 3, 4])
def test_a_mask_passed_and_one_that_arrives_hold_together(words, rng, axes):
    """The padding stays hidden when the user hides more."""
    shape = {2: (B, T), 3: (B, T, T), 4: (B, N, T, T)}[axes]
    mask = rng.random(shape) < 0.7
    both = mask & (TOKENS != 0)[(slice(None), *(None,) * (axes - 2))]
    plain = keras.ops.convert_to_tensor(to_numpy(words))
    for layer in (self_attention(), block(), encoder_stack(), attention()):
        values = (words,) if layer.name.startswith("multi_head_attention") else ()
        plain_values = (plain,) * len(values)
        found = layer(words, *values, mask=mask)
        expected = layer(plain, *plain_values, mask=both)
        np.testing.assert_allclose(to_numpy(found), to_numpy(expected), atol=1e-6)
