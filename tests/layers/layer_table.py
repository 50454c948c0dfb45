"""The table that the conformance tests read: each public layer, and how it is called.

A row has the constructor's arguments, the call's tensors and the shapes of what
comes out. Shapes are written in letters, and each letter stands for another length,
so that no swapped axis passes:

    B batch, T queries, S keys, N heads, K key and value heads, H width of a query in
    one head, Hv of a value, D, E, C widths of tokens, M width inside an MLP, O width
    of an output, P, Q rows and columns, V vocabulary
"""

import dataclasses
import inspect

import keras
import numpy as np

from keras_attention import layers

SIZES = {
    **{"B": 3, "T": 5, "S": 7, "N": 4, "K": 2, "H": 6, "Hv": 8, "D": 12, "E": 10},
    **{"C": 14, "M": 16, "O": 11, "P": 4, "Q": 9, "V": 13},
}
N, K, H, Hv, D, E, M, V = (SIZES[x] for x in ("N", "K", "H", "Hv", "D", "E", "M", "V"))
# Axes whose length a model may not know beforehand.
UNKNOWN = ("B", "T", "S")


# Layers that go from token to token, which takes long to compile.
LOOPS = (
    "AttentionCaptionDecoder",
    "BahdanauDecoder",
    "LSTMN",
    "LuongDecoder",
    "RNNCaptionDecoder",
    "RNNDecoder",
    "RNNEncoder",
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One way to make and to call a layer.

    Attributes:
        name: Name of the layer's class, and what is special here after a slash.
        arguments: Function that returns the constructor's arguments.
        inputs: Call arguments by name: letters of the shape, then what is in it
            (`floats` if nothing is said, `mask`, `tokens`, `positions`).
        outputs: The shapes that come out, the output first, then the weights.
        options: Other call arguments.
        gives_weights: Whether it takes `return_attention_scores`.
        left_out: Constructor's arguments at their default here, though the row is
            full, since they exclude others. `None` for a row that is not full.
        float32: Whether the output is float32 under every dtype policy.
    """

    name: str
    arguments: object
    inputs: dict
    outputs: tuple
    options: dict = dataclasses.field(default_factory=dict)
    gives_weights: bool = False
    left_out: tuple | None = None
    float32: bool = False

    @property
    def cls(self):
        return getattr(layers, self.name.partition("/")[0])

    @property
    def compiles_much(self):
        """Whether the layer loops, or another row has it with every argument."""
        has_full = any(row.name == f"{self.name}/full" for row in ROWS)
        return has_full or self.cls.__name__ in LOOPS

    def make(self, **kwargs):
        """A new layer; `kwargs` are added to the row's arguments."""
        return self.cls(**{**self.arguments(), **kwargs})

    def arrays(self, seed=0, **sizes):
        """The call's tensors as NumPy arrays, with some sizes changed."""
        rng = np.random.default_rng(seed)
        return {
            name: _array(rng, letters.split(), {**SIZES, **sizes})
            for name, letters in self.inputs.items()
        }

    def symbolic(self, unknown=UNKNOWN):
        """The call's tensors as Keras inputs that do not know some of their axes."""
        tensors = {}
        for name, letters in self.inputs.items():
            *_, dtype = _parse(letters.split())
            shape = shape_of(letters, unknown)
            tensors[name] = keras.Input(batch_shape=shape, dtype=dtype, name=name)
        return tensors

    def model(self, layer=None, *, weights=False, unknown=("B",)):
        """A functional model of the layer alone; its inputs have the call's names."""
        layer = self.make() if layer is None else layer
        inputs = self.symbolic(unknown)
        return keras.Model(inputs, self.call(layer, inputs, weights=weights))

    def call(self, layer, tensors, weights=False, **kwargs):
        """Calls the layer, by name; with `weights` it is asked for them too."""
        if weights:
            kwargs["return_attention_scores"] = True
        first = next(iter(self.inputs))  # not of `tensors`: JAX sorts a dict
        others = {name: x for name, x in tensors.items() if name != first}
        return layer(tensors[first], **others, **self.options, **kwargs)


def shape_of(letters, unknown=()):
    """The shape written in letters, `None` for the axes in `unknown`."""
    letters, _, _ = _parse(letters.split())
    return tuple(_length(axis, SIZES, unknown) for axis in letters)


def arguments_of(cls):
    """The constructor's parameters by name."""
    parameters = dict(inspect.signature(cls.__init__).parameters)
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }


def randomize(layer, seed=0, scale=0.4):
    """Gives each weight values that no other has, also where it began as 0 or 1."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        if weight.dtype.startswith(("float", "bfloat")):
            values = scale * rng.standard_normal(weight.shape).astype("float32")
            is_variance = weight.name == "moving_variance"
            weight.assign(0.5 + np.abs(values) if is_variance else values)


def _length(axis, sizes, unknown):
    """Of "T", "7" or a sum as "2+T"."""
    parts = axis.split("+")
    if any(part in unknown for part in parts):
        return None
    return sum(int(part) if part.isdigit() else sizes[part] for part in parts)


def _parse(letters):
    kind = letters[-1] if letters[-1] in _KINDS else "floats"
    letters = letters if kind == "floats" else letters[:-1]
    return letters, kind, _KINDS[kind]


_KINDS = {"floats": "float32", "mask": "bool", "tokens": "int32", "positions": "int32"}


def _array(rng, letters, sizes):
    letters, kind, dtype = _parse(letters)
    shape = tuple(_length(axis, sizes, ()) for axis in letters)
    if kind == "mask":
        mask = rng.random(shape) < 0.6
        mask[..., 0] = True  # no query reads nothing
        return mask
    if kind == "tokens":
        return rng.integers(1, sizes["V"], shape).astype(dtype)
    if kind == "positions":
        return np.cumsum(rng.integers(1, 4, shape), axis=-1).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def _rotary():
    return layers.RotaryEmbedding(
        rotary_dim=4, base=100.0, layout="interleaved", scaling=2.0
    )


def _multi_head():
    return {
        "num_heads": N,
        "key_dim": H,
        "value_dim": Hv,
        "num_key_value_heads": K,
        "output_dim": SIZES["O"],
        "use_bias": False,
        "use_output_bias": True,
        "use_key_bias": False,
        "dropout": 0.2,
        "window": (4, 3),
        "softcap": 5.0,
        "use_sinks": True,
        "use_gate": True,
        "query_key_norm": "cosine",
        "rotary_embedding": _rotary(),
        "position_scores": layers.AlibiBias(N),
        "scale": 0.3,
        "kernel_initializer": "he_normal",
        "output_initializer": "glorot_normal",
        "seed": 3,
    }


def _caption_decoder():
    return {
        "vocabulary_size": V,
        "hidden_dim": H,
        "word_dim": E,
        "output_activation": "relu",
        "dropout": 0.2,
        "seed": 3,
    }


def _sequence_decoder():
    return {
        "vocabulary_size": V,
        "hidden_dim": H,
        "word_dim": E,
        "num_layers": 2,
        "dropout": 0.2,
        "seed": 3,
    }


def _self_attention():
    """One that fits into a block, with most of its options."""
    arguments = {**_multi_head(), "output_dim": None, "query_key_norm": "rms_norm"}
    return layers.MultiHeadSelfAttention(**arguments)


# What shapes the layers that a block makes.
_PARTS_OF_BLOCK = {
    "key_dim": H,
    "activation": "swiglu",
    "attention_dropout": 0.2,
    "mlp_dropout": 0.3,
    "use_bias": False,
    "use_attention_bias": True,
    "attention_scale": 0.4,
    "window": 4,
    "query_key_norm": "rms_norm",
    "kernel_initializer": "he_normal",
    "output_initializer": "glorot_normal",
}
_GIVEN_PARTS = ("attention", "feed_forward")


def _block_around_parts():
    return {
        "num_heads": N,
        "mlp_dim": M,
        "dropout": 0.1,
        "drop_path": 0.15,
        "norm": "rms_norm",
        "norm_order": "sandwich",
        "epsilon": 1e-4,
        "layer_scale": 0.7,
        "seed": 5,
    }


def _block():
    return {**_block_around_parts(), **_PARTS_OF_BLOCK}


def _block_of_others():
    """A block whose parts were made outside of it."""
    return {
        **_block_around_parts(),
        "attention": _self_attention(),
        "feed_forward": layers.FeedForward(
            M, activation="relu_squared", dropout=0.1, seed=7
        ),
    }


def _decoder_block_of_others():
    cross_attention = layers.MultiHeadAttention(
        num_heads=N,
        key_dim=H,
        num_key_value_heads=K,
        use_gate=True,
        dropout=0.1,
        seed=8,
    )
    return {**_block_of_others(), "cross_attention": cross_attention}


def _deformable():
    return {
        "filters": E,
        "kernel_size": (2, 3),
        "padding": "valid",
        "num_groups": 3,
        "use_mask": True,
        "use_bias": False,
        "kernel_initializer": "he_normal",
    }


def _stack(block, position_bias):
    return {
        "block": block,
        "num_layers": 3,
        "drop_path": 0.3,
        "final_norm": False,
        "position_bias": position_bias,
        "attention_scale": [0.3, 0.4, 0.5, 0.6],
        "window": [4, None, 3, 5],
        "num_groups": 2,
        "group_size": 2,
        "beside_first": layers.NeighborConvolution(),
    }


_SIX_BLOCKS = ("B N T T",) * 6  # three layers of two blocks


_PICTURE = {"grid": "B P Q D", "token_ids": "B T tokens"}
_SOURCE = {"token_ids": "B T tokens", "encoder_outputs": "B S D"}
_ALIGNMENT = ("B T V", "B T S")
_QUERY_VALUE = {"query": "B T D", "value": "B S E"}
_QUERY_VALUE_KEY = {**_QUERY_VALUE, "key": "B S C"}
_ATTENTION = {"outputs": ("B T E", "B T S"), "gives_weights": True}
_HEADS = {"gives_weights": True}
_CAUSAL = {"use_causal_mask": True}
_NOT_CAUSAL = {"use_causal_mask": False}
_SELF = {"inputs": "B T D", "mask": "B T T mask", "bias": "B N 1 T"}
_DECODER = {
    **{"inputs": "B T D", "encoder_outputs": "B S E", "mask": "B T mask"},
    **{"bias": "B 1 T T", "encoder_outputs_mask": "B T S mask"},
}
_DECODER_OUTPUTS = ("B T D", "B N T T", "B N T S")

ROWS = [
    Row(
        "AdditiveAttention",
        lambda: {"units": M},
        _QUERY_VALUE,
        **_ATTENTION,
    ),
    Row(
        "AdditiveAttention/full",
        lambda: {"units": M, "use_bias": True, "dropout": 0.3, "seed": 1},
        {**_QUERY_VALUE_KEY, "mask": "B T S mask"},
        **_ATTENTION,
        left_out=(),
    ),
    Row(
        "AlibiBias/full",
        lambda: {"num_heads": N},
        {"query": "B T D", "key": "B S E"},
        ("1 N T S",),
        left_out=(),
        float32=True,
    ),
    Row(
        "AttentionCaptionDecoder",
        lambda: {"vocabulary_size": V, "hidden_dim": H, "word_dim": E},
        _PICTURE,
        ("B T V", "B T P Q"),
        gives_weights=True,
    ),
    Row(
        "AttentionCaptionDecoder/full",
        lambda: {
            **_caption_decoder(),
            "attention_dim": M,
            "attention_penalty": 0.5,
            "padding_id": 1,
            "end_id": 3,
        },
        _PICTURE,
        ("B T V", "B T P Q"),
        gives_weights=True,
        left_out=(),
    ),
    Row(
        "AttentionPooling",
        lambda: {"num_heads": N},
        {"inputs": "B S D"},
        ("B D", "B N S"),
        gives_weights=True,
    ),
    Row(
        "AttentionPooling/full",
        lambda: {"num_heads": N, "key_dim": H, "dropout": 0.3, "seed": 1},
        {"inputs": "B S D", "mask": "B S mask"},
        ("B D", "B N S"),
        gives_weights=True,
        left_out=(),
    ),
    Row(
        "BahdanauDecoder",
        lambda: {"vocabulary_size": V, "hidden_dim": H, "word_dim": E},
        {**_SOURCE, "state": "B 1 D"},
        _ALIGNMENT,
        gives_weights=True,
    ),
    Row(
        "BahdanauDecoder/full",
        lambda: {
            **_sequence_decoder(),
            "attention_dim": M,
            "readout_dim": 5,
            "cell": "lstm",
        },
        {**_SOURCE, "state": "B 4 D", "encoder_outputs_mask": "B S mask"},
        _ALIGNMENT,
        gives_weights=True,
        left_out=(),
    ),
    Row(
        "BiTBlock/full",
        lambda: {"filters": 128, "strides": 3},
        {"inputs": "B P Q D"},
        ("B 2 3 128",),
        left_out=(),
    ),
    Row(
        "ChannelBias/full",
        lambda: {"initializer": "ones"},
        {"inputs": "B T D"},
        ("B T D",),
        left_out=(),
    ),
    Row(
        "ClassToken",
        lambda: {},
        {"inputs": "B T D"},
        ("B 1+T D",),
    ),
    Row(
        "ClassToken/full",
        lambda: {"num_tokens": 2, "initializer": "ones", "behind": 3},
        {"inputs": "B T D"},
        ("B 2+T D",),
        left_out=(),
    ),
    Row(
        "ConditionalBatchNormalization/full",
        lambda: {"num_classes": V, "momentum": 0.7, "epsilon": 0.1},
        {"inputs": "B P Q D", "labels": "B tokens"},
        ("B P Q D",),
        left_out=(),
    ),
    Row(
        "ContinuousPositionBias2D/full",
        lambda: {
            "num_heads": N,
            "height": 2,
            "width": 3,
            "mlp_dim": M,
            "pretrained_size": 4,
            "kernel_initializer": "he_normal",
        },
        {"inputs": "B 6 D"},
        ("1 N 6 6",),
        left_out=(),
        float32=True,
    ),
    Row(
        "ConvNeXtBlock/full",
        lambda: {
            "kernel_size": 3,
            "mlp_dim": M,
            "activation": "silu",
            "layer_scale": 0.5,
            "use_response_norm": True,
            "drop_path": 0.3,
            "seed": 1,
        },
        {"inputs": "B P Q D"},
        ("B P Q D",),
        left_out=(),
    ),
    Row(
        "DeformableAttention/full",
        lambda: {
            "num_heads": N,
            "num_points": 3,
            "value_dim": Hv,
            "output_dim": SIZES["O"],
            "kernel_initializer": "he_normal",
        },
        {"query": "B T D", "value": "B P Q E", "reference_points": "B T 2"},
        ("B T O", "B N T 3"),
        gives_weights=True,
        left_out=(),
    ),
    Row(
        "DeformableConv2D/full",
        lambda: {**_deformable(), "strides": 2},
        {"inputs": "B P Q D"},
        ("B 2 4 E",),
        left_out=("dilation_rate",),
    ),
    Row(
        "DeformableConv2D/dilated",
        lambda: {**_deformable(), "dilation_rate": 2},
        {"inputs": "B P Q D"},
        ("B 2 5 E",),
        left_out=("strides",),
    ),
    Row(
        "DotProductAttention",
        lambda: {},
        {"query": "B T D", "value": "B S E", "key": "B S D"},
        **_ATTENTION,
    ),
    Row(
        "DotProductAttention/scaled",
        lambda: {"score": "scaled"},
        {"query": "B T D", "value": "B S E", "key": "B S D"},
        **_ATTENTION,
        options=_CAUSAL,
    ),
    Row(
        "DotProductAttention/full",
        lambda: {"score": "general", "dropout": 0.3, "seed": 1},
        {**_QUERY_VALUE_KEY, "mask": "B S mask"},
        **_ATTENTION,
        left_out=(),
    ),
    Row(
        "DropPath/full",
        lambda: {"rate": 0.4, "seed": 1},
        {"inputs": "B T D"},
        ("B T D",),
        left_out=(),
    ),
    Row(
        "GlobalResponseNorm/full",
        lambda: {"epsilon": 0.1},
        {"inputs": "B P Q D"},
        ("B P Q D",),
        left_out=(),
    ),
    Row(
        "LowRankAdapter",
        lambda: {"rank": 2, "output_dim": SIZES["O"]},
        {"inputs": "B T D"},
        ("B T O",),
    ),
    Row(
        "LowRankAdapter/full",
        lambda: {
            "rank": 2,
            "output_dim": SIZES["O"],
            "alpha": 3.0,
            "dropout": 0.2,
            "seed": 1,
        },
        {"inputs": "B T D"},
        ("B T O",),
        left_out=(),
    ),
    Row("FeedForward", lambda: {"mlp_dim": M}, {"inputs": "B T D"}, ("B T D",)),
    Row(
        "FeedForward/full",
        lambda: {
            "mlp_dim": M,
            "activation": "geglu_tanh",
            "dropout": 0.3,
            "output_dim": SIZES["O"],
            "use_bias": False,
            "kernel_initializer": "he_normal",
            "output_initializer": "glorot_normal",
            "seed": 1,
        },
        {"inputs": "B T D"},
        ("B T O",),
        left_out=(),
    ),
    Row(
        "GaussianSelfAttention2D/full",
        lambda: {
            "num_heads": N,
            "output_dim": E,
            "padding": 2,
            "use_bias": False,
            "sharpness": 0.5,
            "center_initializer": "he_normal",
            "kernel_initializer": "he_normal",
            "dropout": 0.3,
            "seed": 1,
        },
        {"inputs": "B P Q D"},
        ("B P Q E", "B N 36 104"),
        gives_weights=True,
        left_out=(),
    ),
    Row(
        "LSTMN",
        lambda: {"units": H},
        {"inputs": "B T D"},
        ("B T H", "B T T"),
        gives_weights=True,
    ),
    Row(
        "LSTMN/full",
        lambda: {"units": H, "attention_dim": M},
        {"inputs": "B T D", "mask": "B T mask"},
        ("B T H", "B T T"),
        gives_weights=True,
        left_out=(),
    ),
    Row(
        "DisentangledScores",
        lambda: {"table": layers.DistanceTable(D, 4)},
        {"query": "B T N H", "key": "B S N H"},
        ("B N T S",),
    ),
    Row(
        "DisentangledScores/full",
        lambda: {
            "table": layers.DistanceTable(D, 4),
            "terms": ["position_to_content"],
            "use_key_bias": False,
            "kernel_initializer": "he_normal",
            "dropout": 0.3,
            "seed": 4,
        },
        {"query": "B T N H", "key": "B S N H"},
        ("B N T S",),
        left_out=("share_projections",),
    ),
    Row(
        "DistanceTable",
        lambda: {"hidden_dim": D, "max_distance": 3},
        {"distances": "B T positions"},
        ("B T D",),
    ),
    Row(
        "DistanceTable/full",
        lambda: {
            "hidden_dim": D,
            "max_distance": 9,
            "num_buckets": 4,
            "use_norm": True,
            "epsilon": 0.1,
            "initializer": "he_normal",
        },
        {"distances": "B T positions"},
        ("B T D",),
        left_out=(),
    ),
    Row("LayerScale", lambda: {}, {"inputs": "B T D"}, ("B T D",)),
    Row(
        "LayerScale/full",
        lambda: {"initial_value": 0.3},
        {"inputs": "B T D"},
        ("B T D",),
        left_out=(),
    ),
    Row(
        "LuongAttention",
        lambda: {"score": "dot", "alignment": "monotonic", "window": 2},
        {"query": "B T D", "value": "B S D"},
        ("B T D", "B T S"),
        gives_weights=True,
    ),
    Row(
        "LuongAttention/full",
        lambda: {
            "score": "concat",
            "alignment": "predictive",
            "window": 9,
            "units": M,
            "dropout": 0.3,
            "seed": 1,
        },
        {**_QUERY_VALUE_KEY, "mask": "B S mask"},
        **_ATTENTION,
        left_out=(),
    ),
    Row(
        "LuongDecoder",
        lambda: {"vocabulary_size": V, "hidden_dim": H, "word_dim": E},
        {**_SOURCE, "state": "B 2 H"},
        _ALIGNMENT,
        gives_weights=True,
    ),
    Row(
        "LuongDecoder/full",
        lambda: {
            **_sequence_decoder(),
            "score": "concat",
            "alignment": "predictive",
            "window": 9,
            "input_feeding": False,
            "attention_dim": M,
            "cell": "gru",
        },
        {**_SOURCE, "state": "B 2 D", "encoder_outputs_mask": "B S mask"},
        _ALIGNMENT,
        gives_weights=True,
        left_out=(),
    ),
    Row(
        "MaskToken/full",
        lambda: {"initializer": "ones"},
        {"inputs": "B T D", "hidden": "B T mask"},
        ("B T D",),
        left_out=(),
    ),
    Row(
        "MultiHeadAttention",
        lambda: {"num_heads": N, "key_dim": H},
        _QUERY_VALUE,
        ("B T D", "B N T S"),
        **_HEADS,
    ),
    Row(
        "MultiHeadAttention/full",
        _multi_head,
        {**_QUERY_VALUE_KEY, "mask": "B N T S mask", "bias": "B N T S"},
        ("B T O", "B N T S"),
        **_HEADS,
        options=_CAUSAL,
        left_out=(),
    ),
    Row(
        "MultiHeadSelfAttention",
        lambda: {"num_heads": N, "key_dim": H},
        {"inputs": "B T D"},
        ("B T D", "B N T T"),
        **_HEADS,
    ),
    Row(
        "MultiHeadSelfAttention/keys without biases",
        lambda: {"num_heads": N, "key_dim": H, "use_key_bias": False},
        {"inputs": "B T D"},
        ("B T D", "B N T T"),
        **_HEADS,
    ),
    Row(
        "MultiHeadSelfAttention/full",
        _multi_head,
        {**_SELF, "positions": "B T positions"},
        ("B T O", "B N T T"),
        **_HEADS,
        options=_CAUSAL,
        left_out=(),
    ),
    Row(
        "NeighborConvolution",
        lambda: {},
        {"inputs": "B T D", "outputs": "B T D"},
        ("B T D",),
    ),
    Row(
        "NeighborConvolution/full",
        lambda: {
            "kernel_size": 5,
            "groups": 3,
            "activation": "gelu",
            "dropout": 0.3,
            "epsilon": 0.1,
            "kernel_initializer": "he_normal",
            "seed": 4,
        },
        {"inputs": "B T D", "outputs": "B T D", "mask": "B T mask"},
        ("B T D",),
        left_out=(),
    ),
    Row(
        "PatchEmbedding",
        lambda: {"hidden_dim": D, "patch_size": 2},
        {"inputs": "B P 6 5"},
        ("B 6 D",),
    ),
    Row(
        "PatchEmbedding/full",
        lambda: {"hidden_dim": D, "patch_size": (2, 3), "use_bias": False},
        {"inputs": "B P Q 5"},
        ("B 6 D",),
        left_out=(),
    ),
    Row(
        "PatchEmbedding/signal",
        lambda: {"hidden_dim": D, "patch_size": 3},
        {"inputs": "B Q 5"},
        ("B 3 D",),
    ),
    Row(
        "PatchMerging/full",
        lambda: {"output_dim": E, "norm_first": False},
        {"inputs": "B P Q D"},
        ("B 2 5 E",),
        left_out=(),
    ),
    Row(
        "PositionalEmbedding",
        lambda: {"max_length": 9},
        {"inputs": "B T D"},
        ("B T D",),
    ),
    Row(
        "PositionalEmbedding/full",
        lambda: {
            "max_length": 3,
            "kind": "sinusoidal",
            "combine": "concatenate",
            "position_dim": 6,
            "longer": "interpolate",
            "layout": "concatenated",
            "initializer": "ones",
            "base": 100.0,
            "offset": 2,
        },
        {"inputs": "B T D"},
        ("B T 18",),
        left_out=(),
    ),
    Row(
        "PositionalEmbedding/stretched",
        lambda: {"max_length": 3, "longer": "interpolate", "initializer": "he_normal"},
        {"inputs": "B T D"},
        ("B T D",),
    ),
    Row(
        "ResNetBlock/full",
        lambda: {
            "filters": E,
            "strides": 3,
            "kind": "basic",
            "strides_first": True,
            "activation": "silu",
            "drop_path": 0.3,
            "seed": 1,
        },
        {"inputs": "B P Q D"},
        ("B 2 3 E",),
        left_out=(),
    ),
    Row(
        "RNNCaptionDecoder/full",
        _caption_decoder,
        _PICTURE,
        ("B T V",),
        left_out=(),
    ),
    Row(
        "RNNDecoder",
        lambda: {"vocabulary_size": V, "hidden_dim": H, "word_dim": E},
        {"token_ids": "B T tokens", "state": "B 2 H"},
        ("B T V",),
    ),
    Row(
        "RNNDecoder/full",
        lambda: {**_sequence_decoder(), "cell": "gru", "repeat_context": True},
        {"token_ids": "B T tokens", "state": "B 2 D"},
        ("B T V",),
        left_out=(),
    ),
    Row(
        "RNNEncoder",
        lambda: {"vocabulary_size": V, "hidden_dim": H, "word_dim": E},
        {"token_ids": "B S tokens"},
        ("B S H",),
    ),
    Row(
        "RNNEncoder/full",
        lambda: {
            **_sequence_decoder(),
            "cell": "cho_gru",
            "bidirectional": True,
            "reverse": True,
            "padding_id": 1,
        },
        {"token_ids": "B S tokens"},
        ("B S H+H",),
        left_out=(),
    ),
    Row(
        "RelativePositionBias",
        lambda: {"num_heads": N},
        {"query": "B T D", "key": "B S E"},
        ("1 N T S",),
        float32=True,
    ),
    Row(
        "RelativePositionBias/full",
        lambda: {
            "num_heads": N,
            "num_buckets": 6,
            "max_distance": 5,
            "bidirectional": False,
            "initializer": "he_normal",
        },
        {"query": "B T D", "key": "B S E"},
        ("1 N T S",),
        left_out=(),
        float32=True,
    ),
    Row(
        "RelativePositionBias2D",
        lambda: {"num_heads": N, "height": 3},
        {"inputs": "B 9 D"},
        ("1 N 9 9",),
        float32=True,
    ),
    Row(
        "RelativePositionBias2D/full",
        lambda: {
            "num_heads": N,
            "height": 2,
            "width": 3,
            "initializer": "he_normal",
            "has_class_token": True,
        },
        {"inputs": "B 7 D"},
        ("1 N 7 7",),
        left_out=(),
        float32=True,
    ),
    Row("RotaryEmbedding", lambda: {}, {"inputs": "B T N H"}, ("B T N H",)),
    Row(
        "RotaryEmbedding/full",
        lambda: {
            "rotary_dim": 4,
            "base": 100.0,
            "layout": "interleaved",
            "scaling": 2.0,
        },
        {"inputs": "B T N H", "positions": "B T positions"},
        ("B T N H",),
        left_out=(),
    ),
    Row(
        "ScaledDotProduct",
        lambda: {},
        {"query": "B T D", "value": "B S D"},
        ("B T D", "B T S"),
        gives_weights=True,
    ),
    Row(
        "ScaledDotProduct/full",
        lambda: {"dropout": 0.3, "seed": 1},
        {"query": "B T D", "value": "B S E", "key": "B S D", "mask": "B T S mask"},
        **_ATTENTION,
        options=_CAUSAL,
        left_out=(),
    ),
    Row(
        "SelfAttention2D/full",
        lambda: {
            "key_dim": H,
            "value_dim": Hv,
            "pool_size": 3,
            "kernel_initializer": "he_normal",
        },
        {"inputs": "B P Q D"},
        ("B P Q D", "B 1 36 3"),
        gives_weights=True,
        left_out=(),
    ),
    Row(
        "SpectralNormalization/full",
        lambda: {
            "layer": keras.layers.Conv2D(E, 3, padding="same"),
            "power_iterations": 2,
        },
        {"inputs": "B P Q D"},
        ("B P Q E",),
        left_out=(),
    ),
    Row(
        "TiedEmbedding",
        lambda: {"input_dim": V, "output_dim": D},
        {"inputs": "B T tokens"},
        ("B T D",),
        left_out=(),
    ),
    Row(
        "TokenAndPositionEmbedding",
        lambda: {"vocabulary_size": V, "hidden_dim": D, "max_length": 9},
        {"token_ids": "B T tokens"},
        ("B T D",),
    ),
    Row(
        "TokenAndPositionEmbedding/full",
        lambda: {
            "vocabulary_size": V,
            "hidden_dim": D,
            "max_length": 9,
            "kind": "sinusoidal",
            "scale": 3.0,
            "mask_zero": True,
            "initializer": "he_normal",
            "layout": "concatenated",
            "base": 100.0,
            "offset": 2,
        },
        {"token_ids": "B T tokens"},
        ("B T D",),
        left_out=(),
    ),
    Row(
        "TextEmbedding",
        lambda: {"vocabulary_size": V, "hidden_dim": D, "max_length": 9},
        {"token_ids": "B T tokens"},
        ("B T D",),
    ),
    Row(
        "TextEmbedding/full",
        lambda: {
            "vocabulary_size": V,
            "hidden_dim": D,
            "max_length": 9,
            "num_segments": 3,
            "table_dim": 5,
            "counted": "tokens",
            "first_position": 2,
            "padding_id": 1,
            "use_norm": False,
            "epsilon": 0.1,
            "dropout": 0.2,
            "initializer": "he_normal",
            "seed": 3,
        },
        {"token_ids": "B T tokens"},
        ("B T D",),
        left_out=(),
    ),
    Row(
        "TransformerDecoder",
        lambda: {
            "block": layers.TransformerDecoderBlock(**_decoder_block_of_others()),
            "num_layers": 2,
        },
        {"inputs": "B T D", "encoder_outputs": "B S E"},
        ("B T D", "B N T T", "B N T T", "B N T S", "B N T S"),
        **_HEADS,
    ),
    Row(
        "TransformerDecoder/full",
        lambda: _stack(
            layers.TransformerDecoderBlock(**_block()),
            layers.RelativePositionBias(N, bidirectional=False),
        ),
        _DECODER,
        ("B T D", *_SIX_BLOCKS, *(["B N T S"] * 6)),
        **_HEADS,
        options=_NOT_CAUSAL,
        left_out=(),
    ),
    Row(
        "TransformerDecoderBlock",
        lambda: {"num_heads": N, "mlp_dim": M},
        {"inputs": "B T D", "encoder_outputs": "B S E"},
        _DECODER_OUTPUTS,
        **_HEADS,
    ),
    Row(
        "TransformerDecoderBlock/given parts",
        _decoder_block_of_others,
        _DECODER,
        _DECODER_OUTPUTS,
        **_HEADS,
        options=_NOT_CAUSAL,
        left_out=("use_cross_attention", *_PARTS_OF_BLOCK),
    ),
    Row(
        "TransformerDecoderBlock/without cross-attention",
        lambda: {**_block_of_others(), "use_cross_attention": False},
        _SELF,
        ("B T D", "B N T T"),
        **_HEADS,
        left_out=("cross_attention", *_PARTS_OF_BLOCK),
    ),
    Row(
        "TransformerDecoderBlock/full",
        _block,
        _DECODER,
        _DECODER_OUTPUTS,
        **_HEADS,
        left_out=("use_cross_attention", "cross_attention", *_GIVEN_PARTS),
    ),
    Row(
        "TransformerEncoder",
        lambda: {
            "block": layers.TransformerEncoderBlock(num_heads=N, mlp_dim=M),
            "num_layers": 2,
        },
        {"inputs": "B T D"},
        ("B T D", "B N T T", "B N T T"),
        **_HEADS,
    ),
    Row(
        "TransformerEncoder/full",
        lambda: _stack(
            layers.TransformerEncoderBlock(**_block()),
            layers.AlibiBias(N),
        ),
        _SELF,
        ("B T D", *_SIX_BLOCKS),
        **_HEADS,
        options=_CAUSAL,
        left_out=(),
    ),
    Row(
        "TransformerEncoderBlock",
        lambda: {"num_heads": N, "mlp_dim": M},
        {"inputs": "B T D"},
        ("B T D", "B N T T"),
        **_HEADS,
    ),
    Row(
        "TransformerEncoderBlock/given parts",
        _block_of_others,
        _SELF,
        ("B T D", "B N T T"),
        **_HEADS,
        options=_CAUSAL,
        left_out=tuple(_PARTS_OF_BLOCK),
    ),
    Row(
        "TransformerEncoderBlock/parallel",
        lambda: {**_block(), "norm_order": "parallel"},
        _SELF,
        ("B T D", "B N T T"),
        **_HEADS,
    ),
    Row(
        "TransformerEncoderBlock/full",
        _block,
        {"inputs": "B T D", "mask": "B T mask"},
        ("B T D", "B N T T"),
        **_HEADS,
        left_out=_GIVEN_PARTS,
    ),
    Row(
        "WindowAttention/full",
        lambda: {
            "num_heads": N,
            "window_size": 3,
            "shift": 1,
            "use_bias": False,
            "use_cosine": True,
            "pretrained_window_size": 2,
            "dropout": 0.3,
            "kernel_initializer": "he_normal",
            "seed": 1,
        },
        {"inputs": "B P Q D"},
        ("B P Q D", "B+B+B+B+B+B N 9 9"),
        gives_weights=True,
        left_out=(),
    ),
]
FULL_ROWS = [row for row in ROWS if row.left_out is not None]
