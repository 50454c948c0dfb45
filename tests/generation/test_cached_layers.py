"""Layers that read a sequence step by step give what they give for the whole of it."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers import to_numpy
from keras_attention.backend.programs import Program
from keras_attention.layers import AlibiBias
from keras_attention.layers import MultiHeadAttention
from keras_attention.layers import MultiHeadSelfAttention
from keras_attention.layers import RelativePositionBias
from keras_attention.layers import RotaryEmbedding
from keras_attention.layers import TransformerDecoder
from keras_attention.layers import TransformerDecoderBlock

B, T, S, D, E = 2, 7, 5, 16, 12
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], bool)

ALL_AT_ONCE = {
    "num_key_value_heads": 2,
    "value_dim": 5,
    "window": 3,
    "softcap": 5.0,
    "use_sinks": True,
    "use_gate": True,
    "query_key_norm": "rms_norm",
}
DECODERS = {
    "post": (lambda: TransformerDecoderBlock(4, 32, norm_order="post"), {}),
    "sandwich, alibi": (
        lambda: TransformerDecoderBlock(4, 32, norm_order="sandwich"),
        {"position_bias": AlibiBias(4)},
    ),
    "rotary, grouped, window, sinks": (
        lambda: TransformerDecoderBlock(
            4,
            32,
            use_cross_attention=False,
            attention=MultiHeadSelfAttention(
                4, 6, rotary_embedding=RotaryEmbedding(rotary_dim=4), **ALL_AT_ONCE
            ),
        ),
        {},
    ),
    "relative, cosine, one key head": (
        lambda: TransformerDecoderBlock(
            4,
            32,
            use_cross_attention=False,
            attention=MultiHeadSelfAttention(
                4, 6, num_key_value_heads=1, query_key_norm="cosine"
            ),
        ),
        {"position_bias": RelativePositionBias(4, bidirectional=False)},
    ),
}


@pytest.mark.parametrize("name", DECODERS)
def test_step_by_step_is_the_whole(name, rng):
    """Four tokens at once, one, and two more."""
    block, options = DECODERS[name]
    decoder = TransformerDecoder(block(), num_layers=2, **options)
    tokens = rng.normal(size=(B, T, D)).astype("float32")
    arrays, reading = {"inputs": tokens}, {}
    if block().use_cross_attention:
        arrays["encoder_outputs"] = rng.normal(size=(B, S, E)).astype("float32")
        reading = {"encoder_outputs_mask": MASK}
    decoder.build(*(x.shape for x in arrays.values()))

    def read(inputs, encoder_outputs=None):
        options = {**reading, "return_attention_scores": True}
        whole = decoder(inputs, encoder_outputs, **options)
        cache, found = decoder.start_cache(B, 9), []
        encoded = decoder.read_encoder(encoder_outputs)
        for first, count in ((0, 4), (4, 1), (5, 2)):
            output, cache, last = decoder.step(
                inputs[:, first : first + count],
                cache,
                length=first,
                encoded=encoded,
                **options,
            )
            found.append(output)
        return whole, found, last

    # Compiled, as each operation alone takes JAX long.
    read = Program(read, decoder.variables)
    tensors = map(ops.convert_to_tensor, arrays.values())
    (whole, *weights), found, last = to_numpy(read(*tensors))
    np.testing.assert_allclose(np.concatenate(found, 1), whole, atol=1e-5)
    for layer in range(2):
        for kind, expected in enumerate(weights):
            expected, read = expected[layer][:, :, -2:], last[layer][kind]
            size = expected.shape[-1]
            np.testing.assert_allclose(read[..., :size], expected, atol=1e-5)
            assert not read[..., size:].any()


def test_padding_in_front_is_not_read(rng):
    """Two slots of padding, positions from the mask: the same as without them."""
    layer = MultiHeadSelfAttention(2, 4, rotary_embedding=RotaryEmbedding(), window=3)
    tokens = rng.normal(size=(1, 5, D)).astype("float32")
    whole = to_numpy(layer(tokens, use_causal_mask=True))
    padded = ops.convert_to_tensor(np.pad(tokens, ((0, 0), (2, 0), (0, 0))))
    mask = ops.convert_to_tensor(np.arange(8)[None] >= 2)
    cache, found = layer.start_cache(1, 8), []
    for first, end in ((0, 5), (5, 7)):
        positions = np.maximum(np.arange(first, end)[None] - 2, 0).astype("int32")
        output, cache, _ = layer.step(
            padded[:, first:end],
            cache,
            length=first,
            mask=mask,
            positions=ops.convert_to_tensor(positions),
        )
        found.append(to_numpy(output))
    np.testing.assert_allclose(np.concatenate(found, 1)[:, 2:], whole, atol=1e-5)


@pytest.mark.compiles_much
def test_neighbours_may_read_the_same_sequence_of_the_encoder(rng):
    """Four rows of the decoder on two of the encoder: rows 0 and 1 read the first."""
    block = TransformerDecoderBlock(4, 32)
    tokens = rng.normal(size=(4, 1, D)).astype("float32")
    encoded = rng.normal(size=(B, S, E)).astype("float32")
    whole, _, weights = block(
        tokens,
        np.repeat(encoded, 2, axis=0),
        encoder_outputs_mask=np.repeat(MASK, 2, axis=0),
        return_attention_scores=True,
    )
    output, _, (_, read) = block.step(
        ops.convert_to_tensor(tokens),
        block.start_cache(4, 3),
        length=0,
        encoded=block.read_encoder(encoded),
        encoder_outputs_mask=MASK,
        return_attention_scores=True,
    )
    np.testing.assert_allclose(to_numpy(output), to_numpy(whole), atol=1e-5)
    np.testing.assert_allclose(to_numpy(read), to_numpy(weights), atol=1e-5)


@pytest.mark.compiles_much
def test_another_width_of_heads_and_values_between_sequences(rng):
    layer = MultiHeadAttention(4, 3, value_dim=5, num_key_value_heads=2, output_dim=6)
    query = rng.normal(size=(B, T, D)).astype("float32")
    key = rng.normal(size=(B, S, E)).astype("float32")
    value = rng.normal(size=(B, S, E + 1)).astype("float32")
    whole = to_numpy(layer(query, value, key=key, mask=MASK))
    output, weights = layer.step(query, layer.start_cache(value, key), mask=MASK)
    np.testing.assert_allclose(to_numpy(output), whole, atol=1e-5)
    assert weights is None


@keras.saving.register_keras_serializable("test_cached_layers")
class Mine(keras.layers.Layer):
    """Attention of a user, without a cache."""

    def call(self, inputs, **options):
        return inputs


def test_attention_without_a_cache_says_so():
    block = TransformerDecoderBlock(
        2, 8, use_cross_attention=False, attention=Mine(name="mine")
    )
    decoder = TransformerDecoder(block, num_layers=1)
    decoder.build((None, None, 4))
    with pytest.raises(ValueError, match=r"'mine' \(Mine\) has no cache.*`step`"):
        decoder.start_cache(1, 3)


def test_a_block_without_a_cache_says_so():
    decoder = TransformerDecoder(Mine(), num_layers=1)
    with pytest.raises(ValueError, match=r"'block_0' \(Mine\) has no cache"):
        decoder.start_cache(1, 3)


def test_a_bias_of_another_kind_is_refused():
    block = TransformerDecoderBlock(2, 8, use_cross_attention=False)
    decoder = TransformerDecoder(block, 1, position_bias=Mine())
    with pytest.raises(ValueError, match="position_bias .* is a Mine"):
        decoder.start_cache(1, 3)


def test_rotary_positions_between_sequences_are_refused(rng):
    layer = MultiHeadAttention(2, 4, rotary_embedding=RotaryEmbedding())
    layer.build((None, 1, D), (None, S, E))
    cache = layer.start_cache(rng.normal(size=(1, S, E)).astype("float32"))
    with pytest.raises(ValueError, match="`rotary_embedding`, by which"):
        layer.step(np.ones((1, 1, D), "float32"), cache)
