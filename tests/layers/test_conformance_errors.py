"""What cannot work is refused, in words that say what came and what to do."""

import re

import keras
import numpy as np
import pytest

from keras_attention import layers

B, T, S, D, E = 2, 5, 7, 8, 6
X = np.ones((B, T, D), "float32")
Y = np.ones((B, S, E), "float32")


# Options of a block, each with another value than its default, and what it shapes.
ATTENTION = ("attention", "cross_attention")
SHAPED = {
    "window": (4, ("attention",)),
    "key_dim": (3, ATTENTION),
    "attention_dropout": (0.1, ATTENTION),
    "use_attention_bias": (False, ATTENTION),
    "attention_scale": (0.5, ATTENTION),
    "query_key_norm": ("rms_norm", ATTENTION),
    "activation": ("relu", ("feed_forward",)),
    "mlp_dropout": (0.1, ("feed_forward",)),
    "use_bias": (False, (*ATTENTION, "feed_forward")),
    "kernel_initializer": ("he_normal", (*ATTENTION, "feed_forward")),
    "output_initializer": ("zeros", (*ATTENTION, "feed_forward")),
}


def ones(*shape, dtype="float32"):
    return np.ones(shape, dtype)


def self_attention(**call):
    return layers.MultiHeadSelfAttention(4, 3)(X, **call)


def attention(*args, **call):
    return layers.MultiHeadAttention(4, 3)(X, *args, **call)


def block(**options):
    return layers.TransformerEncoderBlock(**{"num_heads": 2, "mlp_dim": 9, **options})


def decoder(**options):
    return layers.TransformerDecoderBlock(**{"num_heads": 2, "mlp_dim": 9, **options})


# What is done, and what the message holds: what came, what was expected, what to do.
CONSTRUCTORS = {
    "no heads": (
        lambda: layers.MultiHeadSelfAttention(0, 3),
        ["`num_heads` must be a positive integer", "num_heads=0"],
    ),
    "half a head": (
        lambda: layers.MultiHeadAttention(2.5, 3),
        ["`num_heads` must be a positive integer", "num_heads=2.5"],
    ),
    "heads of no width": (
        lambda: layers.MultiHeadSelfAttention(2, -3),
        ["`key_dim` must be a positive integer", "key_dim=-3"],
    ),
    "values of no width": (
        lambda: layers.MultiHeadSelfAttention(2, 3, value_dim=0),
        ["`value_dim` must be a positive integer", "value_dim=0"],
    ),
    "outputs of no width": (
        lambda: layers.MultiHeadSelfAttention(2, 3, output_dim=0),
        ["`output_dim` must be a positive integer", "output_dim=0"],
    ),
    "groups of unequal size": (
        lambda: layers.MultiHeadSelfAttention(6, 3, num_key_value_heads=4),
        ["`num_key_value_heads` must divide", "num_heads=6", "num_key_value_heads=4"],
    ),
    "unknown norm of queries": (
        lambda: layers.MultiHeadSelfAttention(2, 3, query_key_norm="batch_norm"),
        ["`query_key_norm` must be one of", "'cosine'", "'batch_norm'"],
    ),
    "window of nothing": (
        lambda: layers.MultiHeadSelfAttention(2, 3, window=0),
        ["`window` must be a positive integer or a pair", "window=0", "window=256"],
    ),
    "window of three": (
        lambda: layers.MultiHeadSelfAttention(2, 3, window=(1, 2, 3)),
        ["`window` must be a positive integer or a pair", "window=(1, 2, 3)"],
    ),
    "all weights dropped": (
        lambda: layers.AdditiveAttention(4, dropout=1.0),
        ["`dropout` must be at least 0 and less than 1", "dropout=1.0"],
    ),
    "less than no weights dropped": (
        lambda: layers.ScaledDotProduct(dropout=-0.1),
        ["`dropout` must be at least 0 and less than 1", "dropout=-0.1"],
    ),
    "no units": (
        lambda: layers.AdditiveAttention(0),
        ["`units` must be a positive integer", "units=0"],
    ),
    "unknown score": (
        lambda: layers.DotProductAttention("concat"),
        ["`score` must be one of ('dot', 'general', 'scaled')", "'concat'"],
    ),
    "pooling without heads": (
        lambda: layers.AttentionPooling(0),
        ["`num_heads` must be a positive integer", "num_heads=0"],
    ),
    "no learned tokens": (
        lambda: layers.ClassToken(0),
        ["`num_tokens` must be a positive integer", "num_tokens=0"],
    ),
    "all branches dropped": (
        lambda: layers.DropPath(1.0),
        ["`rate` must be at least 0 and less than 1", "rate=1.0"],
    ),
    "unknown activation": (
        lambda: layers.FeedForward(4, activation="gelu_new"),
        ["`activation` must be one of", "'gelu_tanh'", "'gelu_new'"],
    ),
    "patches of no size": (
        lambda: layers.PatchEmbedding(4, (2, 0)),
        ["`patch_size` must be a positive integer", "patch_size=0"],
    ),
    "learned positions without end": (
        lambda: layers.PositionalEmbedding(),
        ["Learned positions need `max_length`", "max_length=None"],
    ),
    "added positions of a width": (
        lambda: layers.PositionalEmbedding(9, position_dim=4),
        ["`position_dim` is for concatenated positions", "position_dim=4"],
    ),
    "unknown kind of positions": (
        lambda: layers.PositionalEmbedding(9, kind="rotary"),
        ["`kind` must be one of ('learned', 'sinusoidal')", "'rotary'"],
    ),
    "unknown way to combine": (
        lambda: layers.PositionalEmbedding(9, combine="multiply"),
        ["`combine` must be one of ('add', 'concatenate')", "'multiply'"],
    ),
    "unknown way to go on": (
        lambda: layers.PositionalEmbedding(9, longer="clamp"),
        ["`longer` must be one of ('error', 'interpolate')", "'clamp'"],
    ),
    "unknown layout of waves": (
        lambda: layers.PositionalEmbedding(kind="sinusoidal", layout="half"),
        ["`layout` must be one of ('interleaved', 'concatenated')", "'half'"],
    ),
    "unknown layout of pairs": (
        lambda: layers.RotaryEmbedding(layout="concatenated"),
        ["`layout` must be one of ('half', 'interleaved')", "'concatenated'"],
    ),
    "an odd number of buckets": (
        lambda: layers.RelativePositionBias(2, num_buckets=7),
        ["`num_buckets` must be even", "num_buckets=7"],
    ),
    "too few buckets in two directions": (
        lambda: layers.RelativePositionBias(2, num_buckets=2),
        ["at least 4 in both directions", "num_buckets=2", "bidirectional=True"],
    ),
    "nothing far": (
        lambda: layers.RelativePositionBias(2, num_buckets=32, max_distance=8),
        ["`max_distance` larger than", "(8)", "max_distance=8"],
    ),
    "a grid without rows": (
        lambda: layers.RelativePositionBias2D(2, 0, 3),
        ["`height` must be a positive integer", "height=0"],
    ),
    "unknown norm": (
        lambda: block(norm="batch_norm"),
        ["`norm` must be one of ('layer_norm', 'rms_norm')", "'batch_norm'"],
    ),
    "unknown place of the norm": (
        lambda: block(norm_order="middle"),
        ["`norm_order` must be one of ('pre', 'post', 'sandwich', ", "'middle'"],
    ),
    "a block without a network": (
        lambda: block(mlp_dim=0),
        ["`mlp_dim` must be a positive integer", "mlp_dim=0"],
    ),
    "a block that drops everything": (
        lambda: block(attention_dropout=1),
        ["`attention_dropout` must be at least 0 and less than 1"],
    ),
    "cross-attention and none": (
        lambda: decoder(
            use_cross_attention=False, cross_attention=layers.ScaledDotProduct()
        ),
        ["`cross_attention` was passed", "use_cross_attention=False", "Leave one"],
    ),
    "a stack of nothing": (
        lambda: layers.TransformerEncoder(block(), 0),
        ["`num_layers` must be a positive integer", "num_layers=0"],
    ),
    "a stack that drops everything": (
        lambda: layers.TransformerDecoder(decoder(), 2, drop_path=1.0),
        ["`drop_path` must be at least 0 and less than 1", "drop_path=1.0"],
    ),
    "no vocabulary": (
        lambda: layers.TokenAndPositionEmbedding(0, 4, 5),
        ["`vocabulary_size` must be a positive integer", "vocabulary_size=0"],
    ),
}
CALLS = {
    "a picture": (
        lambda: layers.MultiHeadSelfAttention(4, 3)(ones(B, 4, 4, D)),
        ["three axes (batch, length, width)", "(2, 4, 4, 8)", "Reshape((-1, 8))"],
    ),
    "a video": (
        lambda: layers.TransformerEncoder(block(), 1)(ones(B, 2, 4, 4, D)),
        ["three axes (batch, length, width)", "(2, 2, 4, 4, 8)", "TimeDistributed"],
    ),
    "a picture that is read": (
        lambda: layers.AdditiveAttention(4)(X, ones(B, 4, 4, D)),
        ["`value` must have three axes", "(2, 4, 4, 8)", "Reshape((-1, 8))"],
    ),
    "a picture into a pooling": (
        lambda: layers.AttentionPooling(2)(ones(B, 4, 4, D)),
        ["`inputs` must have three axes", "Reshape((-1, 8))"],
    ),
    "one vector": (
        lambda: layers.MultiHeadAttention(4, 3)(ones(B, D), Y),
        ["`query` must have three axes", "(2, 8)", "expand_dims"],
    ),
    "a float mask": (
        lambda: self_attention(mask=ones(B, T)),
        ["`mask` must be boolean", "mask.dtype=float32", "mask != 0", "`bias`"],
    ),
    "an integer mask": (
        lambda: block()(X, mask=ones(B, T, T, dtype="int32")),
        ["`mask` must be boolean", "mask.dtype=int32", "mask != 0"],
    ),
    "a mask of one axis": (
        lambda: self_attention(mask=ones(T, dtype="bool")),
        ["`mask` must have two axes (B, S), three (B, T, S)", "mask.shape=(5,)"],
    ),
    "a mask of another length": (
        lambda: self_attention(mask=ones(B, 3, dtype="bool")),
        ["`mask` must have the shape (B, S)=(2, 5)", "mask.shape=(2, 1, 1, 3)"],
    ),
    "a mask with its axes swapped": (
        lambda: attention(Y, mask=ones(B, S, T, dtype="bool")),
        ["or (B, T, S)=(2, 5, 7)", "mask.shape=(2, 1, 7, 5)"],
    ),
    "a mask of other heads": (
        lambda: self_attention(mask=ones(B, 3, T, T, dtype="bool")),
        ["(B, N, T, S)=(2, 4, 5, 5)", "mask.shape=(2, 3, 5, 5)"],
    ),
    "a bias of another length": (
        lambda: attention(Y, bias=ones(4, T, T)),
        ["`bias` must broadcast to (B, N, T, S)=(2, 4, 5, 7)", "bias.shape=(4, 5, 5)"],
    ),
    "keys and values of unequal length": (
        lambda: attention(Y, key=ones(B, S - 1, E)),
        ["`key` and `value` must have the same length", "(2, 6,", "(2, 7,"],
    ),
    "one head: keys and values of unequal length": (
        lambda: layers.AdditiveAttention(4)(X, Y, ones(B, S - 1, E)),
        ["`key` and `value` must have the same length", "(2, 6,", "(2, 7,"],
    ),
    "dot product of unequal widths": (
        lambda: layers.DotProductAttention()(X, Y),
        ["must have the same width", "(2, 5, 8)", "(2, 7, 6)", 'score="general"'],
    ),
    "scaled dot product of unequal widths": (
        lambda: layers.ScaledDotProduct()(X, Y),
        ["`query` and `key` must have", "same width"],
    ),
    "another batch size": (
        lambda: attention(ones(B + 1, S, E)),
        ["must have the same batch size", "(2, 5,", "(3, 7,"],
    ),
    "a softcap of 0": (
        lambda: layers.MultiHeadSelfAttention(2, 3, softcap=0.0)(X),
        ["`softcap` must be positive", "softcap=0.0"],
    ),
    "heads that do not divide the width": (
        lambda: block(num_heads=3)(X),
        ["width of 8 does not divide into num_heads=3 heads", "pass `key_dim`"],
    ),
    "pooling heads that do not divide the width": (
        lambda: layers.AttentionPooling(3)(X),
        ["width of 8 does not divide into num_heads=3 heads", "pass `key_dim`"],
    ),
    "no encoder": (
        lambda: decoder()(X),
        ["needs `encoder_outputs`", "use_cross_attention=True"],
    ),
    "no encoder for a stack": (
        lambda: layers.TransformerDecoder(decoder(), 2)(X),
        ["needs `encoder_outputs`", "use_cross_attention=True"],
    ),
    "an encoder too many": (
        lambda: decoder(use_cross_attention=False)(X, Y),
        ["does not take `encoder_outputs`", "use_cross_attention=False"],
    ),
    "a long sequence": (
        lambda: layers.PositionalEmbedding(4)(X),
        ["The sequence has 5 tokens", "max_length=4", 'longer="interpolate"'],
    ),
    "a long text": (
        lambda: layers.TokenAndPositionEmbedding(9, 8, 4)(ones(B, T, dtype="int32")),
        ["The sequence has 5 tokens", "max_length=4"],
    ),
    "a long sequence with an end for its waves": (
        lambda: layers.PositionalEmbedding(4, "sinusoidal")(X),
        ["The sequence has 5 tokens", "max_length=4"],
    ),
    "waves of odd width": (
        lambda: layers.PositionalEmbedding(kind="sinusoidal")(X[..., :7]),
        ["need an even width", "hidden_dim=7"],
    ),
    "rotation of odd width": (
        lambda: layers.RotaryEmbedding()(ones(B, T, 2, 7)),
        ["their number must be even", "rotary_dim=7"],
    ),
    "heads of odd width that turn": (
        lambda: layers.MultiHeadSelfAttention(
            2, 3, rotary_embedding=layers.RotaryEmbedding()
        )(X),
        ["their number must be even", "rotary_dim=3"],
    ),
    "rotation of more than there is": (
        lambda: layers.RotaryEmbedding(rotary_dim=8)(ones(B, T, 2, 6)),
        ["`rotary_dim` must not exceed", "rotary_dim=8", "(2, 5, 2, 6)"],
    ),
    "an image that does not divide": (
        lambda: layers.PatchEmbedding(4, (2, 4))(ones(B, 6, 9, 3)),
        ["does not divide into patches of (2, 4)", "(2, 6, 9, 3)", "Resize or pad"],
    ),
    "an image smaller than a patch": (
        lambda: layers.PatchEmbedding(4, 8)(ones(B, 4, 4, 3)),
        ["does not divide into patches of (8, 8)", "(2, 4, 4, 3)"],
    ),
    "a signal and patches of an image": (
        lambda: layers.PatchEmbedding(4, (2, 2))(ones(B, 8, 3)),
        ["signals (B, steps, C) and one number", "(2, 8, 3)", "patch_size=(2, 2)"],
    ),
    "a table": (
        lambda: layers.PatchEmbedding(4, 2)(ones(B, 8)),
        ["Expected images (B, height, width, C)", "(2, 8)"],
    ),
    "another grid": (
        lambda: layers.RelativePositionBias2D(2, 2, 3)(X),
        ["The grid has 2 x 3 cells", "(2, 5, 8)"],
    ),
}


def assert_told(function, parts):
    with pytest.raises(ValueError, match=re.escape(parts[0])) as error:
        function()
    for part in parts:
        assert part in str(error.value)


@pytest.mark.once
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_impossible_arguments_are_refused_at_once(name):
    assert_told(*CONSTRUCTORS[name])


@pytest.mark.parametrize("name", CALLS)
def test_impossible_calls_are_refused(name):
    assert_told(*CALLS[name])


def test_impossible_calls_are_refused_when_a_model_is_built():
    """Before there is any data, with a batch of unknown size."""
    x, y = keras.Input((T, D)), keras.Input((S, E))
    mask = keras.Input((3,), dtype="bool")
    for function, part in (
        (lambda: layers.MultiHeadSelfAttention(4, 3)(x, mask=mask), "(B, S)="),
        (lambda: layers.PositionalEmbedding(4)(x), "The sequence has 5 tokens"),
        (lambda: decoder()(x), "needs `encoder_outputs`"),
        (lambda: layers.DotProductAttention()(x, y), "must have the same width"),
        (lambda: layers.MultiHeadAttention(4, 3)(x, y, key=x), "the same length"),
        (lambda: layers.PatchEmbedding(4, 2)(x), "does not divide"),
        (
            lambda: layers.TokenAndPositionEmbedding(9, 8, 4)(
                keras.Input((T,), dtype="int32")
            ),
            "The sequence has 5 tokens",
        ),
    ):
        assert_told(function, [part])


def test_an_image_of_another_size_is_refused_too():
    """By a layer that was built for a size that divides."""
    layer = layers.PatchEmbedding(4, 2)
    assert tuple(layer(ones(B, 4, 6, 3)).shape) == (B, 6, 4)
    assert tuple(layer(ones(B, 8, 2, 3)).shape) == (B, 4, 4)
    assert_told(lambda: layer(ones(B, 4, 5, 3)), ["does not divide", "(2, 4, 5, 3)"])


@pytest.mark.parametrize("call", [self_attention, lambda **k: block()(X, **k)])
def test_unknown_call_arguments_are_refused(call):
    with pytest.raises(TypeError, match="attention_mask"):
        call(attention_mask=ones(B, T, dtype="bool"))


@pytest.mark.once
@pytest.mark.parametrize("option", SHAPED)
def test_an_option_of_what_is_given_ready_is_refused(option):
    """It would be ignored. As long as one layer is made of it, it counts."""
    value, parts = SHAPED[option]
    given = {
        "attention": layers.MultiHeadSelfAttention(2, 4),
        "cross_attention": layers.MultiHeadAttention(2, 4),
        "feed_forward": layers.FeedForward(9),
    }
    told = [f"`{option}` shapes", f"Received: {option}=", "Leave it out"]
    needed = {part: given[part] for part in parts}
    assert_told(lambda: decoder(**needed, **{option: value}), told)
    alone = {part: x for part, x in needed.items() if part != "cross_attention"}
    assert_told(lambda: block(**alone, **{option: value}), told)
    options = {**alone, "use_cross_attention": False, option: value}
    assert_told(lambda: decoder(**options), told)
    for part in parts:
        others = {name: x for name, x in given.items() if name != part}
        assert getattr(decoder(**others, **{option: value}), part) is None


@pytest.mark.once
def test_a_stack_does_not_ignore_its_windows_either():
    own = block(attention=layers.MultiHeadSelfAttention(2, 4))
    told = ["`window` shapes", "`attention`", "window=4"]
    assert_told(lambda: layers.TransformerEncoder(own, 2, window=[None, 4]), told)
    assert layers.TransformerEncoder(own, 2, window=[None, None]).blocks
