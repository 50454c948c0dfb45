"""Who is compared: blocks and attention layers of ours, of Keras and without Keras.

All blocks compute the same, with the norm in front of each branch:

    x = x + dropout(attention(norm(x)))
    x = x + dropout(mlp(norm(x)))

with dropout of the attention weights and the exact GELU. All attention layers compute
`attention(x W_q, x W_k, x W_v) W_o` with a mean squared error to x.

Letters: B batch, T tokens, D width of a token, N heads, M width of the hidden layer.
"""

import collections
import functools

import keras
import numpy as np
from keras import ops

from keras_attention.layers import MultiHeadSelfAttention
from keras_attention.layers import TransformerEncoderBlock

# `forward()` returns the output as a NumPy array; `train()` takes a step of stochastic
# gradient descent and returns the loss.
Contender = collections.namedtuple("Contender", "forward train num_parameters")
Shape = collections.namedtuple("Shape", "batch_size length width num_heads mlp_dim")

VIT_S = Shape(8, 197, 384, 6, 1536)  # arXiv:2012.12877, Table 1
BERT_BASE = Shape(4, 128, 768, 12, 3072)  # arXiv:1810.04805, Section 3
TOY = Shape(2, 5, 8, 2, 16)
LEARNING_RATE = 0.001
EPSILON = 1e-6  # of the norms


def draw_inputs(shape):
    """Numbers of a normal distribution, `(B, T, D)`."""
    size = (shape.batch_size, shape.length, shape.width)
    return np.random.default_rng(0).normal(size=size).astype("float32")


def block_flops(shape):
    """Floating-point operations of the forward pass of a block; a training step has
    three times as many."""
    tokens = shape.batch_size * shape.length
    projections = 2 * tokens * (4 * shape.width**2 + 2 * shape.width * shape.mlp_dim)
    return projections + 4 * tokens * shape.length * shape.width


# Keras, ours and others


def keras_contender(x, apply, jit_compile="auto", optimizer=None):
    """A Keras model as its trainer runs it.

    Args:
        x: Inputs and targets, `(B, T, D)`.
        apply: Function from a symbolic tensor to a symbolic tensor.
        jit_compile: Argument of `compile`.
        optimizer: A Keras optimizer; by default, stochastic gradient descent.

    Returns:
        A `Contender`.
    """
    inputs = keras.Input(batch_shape=x.shape)
    model = keras.Model(inputs, apply(inputs))
    optimizer = optimizer or keras.optimizers.SGD(LEARNING_RATE)
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    return Contender(
        lambda: model.predict_on_batch(x),
        lambda: float(model.train_on_batch(x, x)),
        model.count_params(),
    )


def our_block(shape, dropout):
    """The block as a user of this library writes it, a function of its inputs."""
    return TransformerEncoderBlock(
        shape.num_heads, shape.mlp_dim, dropout=dropout, attention_dropout=dropout
    )


def keras_block(shape, dropout):
    """The block of Keras's layers, a function of its inputs."""
    layers = keras.layers

    def apply(x):
        y = layers.LayerNormalization(epsilon=EPSILON)(x)
        y = layers.MultiHeadAttention(
            shape.num_heads, shape.width // shape.num_heads, dropout=dropout
        )(y, y)
        x = x + layers.Dropout(dropout)(y)
        y = layers.LayerNormalization(epsilon=EPSILON)(x)
        y = layers.Dense(shape.mlp_dim, activation=_exact_gelu)(y)
        y = layers.Dense(shape.width)(y)
        return x + layers.Dropout(dropout)(y)

    return apply


def keras_hub_block(shape, dropout):
    """KerasHub's block, a function of its inputs."""
    import keras_hub

    return keras_hub.layers.TransformerEncoder(
        shape.mlp_dim,
        shape.num_heads,
        dropout=dropout,
        activation=_exact_gelu,
        layer_norm_epsilon=EPSILON,
        normalize_first=True,
    )


def _exact_gelu(x):
    return ops.gelu(x, approximate=False)


def our_attention(num_heads, key_dim, is_causal, **options):
    """Our attention layer, a function of its inputs."""
    layer = MultiHeadSelfAttention(num_heads, key_dim, **options)
    return functools.partial(layer, use_causal_mask=is_causal)


def keras_attention_layer(num_heads, key_dim, is_causal, window=None):
    """Keras's attention layer, a function of its inputs."""
    layer = keras.layers.MultiHeadAttention(num_heads, key_dim, sliding_window=window)
    return lambda x: layer(x, x, use_causal_mask=is_causal)


# PyTorch


def torch_contender(x, module):
    """A module of PyTorch in the usual loop.

    Args:
        x: Inputs and targets, `(B, T, D)`.
        module: A `torch.nn.Module`.

    Returns:
        A `Contender`.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = module.to(device)
    weights = [w for w in module.parameters() if w.requires_grad]  # no seeds
    optimizer = torch.optim.SGD(weights, LEARNING_RATE)

    def forward():
        module.eval()
        with torch.inference_mode():
            return module(torch.from_numpy(x).to(device)).cpu().numpy()

    def train():
        module.train()
        tokens = torch.from_numpy(x).to(device)
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(module(tokens), tokens)
        loss.backward()
        optimizer.step()
        return loss.item()

    return Contender(forward, train, sum(w.numel() for w in weights))


def our_torch_block(shape, dropout):
    """Our block as a module of PyTorch, without Keras's trainer."""
    import torch

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = our_block(shape, dropout)
            self.block.build((None, None, shape.width))

        def forward(self, x):
            return self.block(x, training=self.training)

    return Block()


def torch_nn_block(shape, dropout):
    """PyTorch's own block."""
    import torch

    block = torch.nn.TransformerEncoderLayer(
        shape.width,
        shape.num_heads,
        shape.mlp_dim,
        dropout=dropout,
        activation="gelu",
        layer_norm_eps=EPSILON,
        batch_first=True,
        norm_first=True,
    )
    block.dropout.p = 0.0  # that within the MLP, which the others do not have
    return block


def torch_block(shape, dropout):
    """The block written in PyTorch by hand."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(shape.width, eps=EPSILON)
            self.attention = torch_attention(
                shape.width, shape.num_heads, dropout=dropout
            )
            self.mlp = nn.Sequential(
                nn.LayerNorm(shape.width, eps=EPSILON),
                nn.Linear(shape.width, shape.mlp_dim),
                nn.GELU(),
                nn.Linear(shape.mlp_dim, shape.width),
            )
            self.dropout = nn.Dropout(dropout)

        def forward(self, x):
            x = x + self.dropout(self.attention(self.norm(x)))
            return x + self.dropout(self.mlp(x))

    torch.manual_seed(0)
    return Block()


def torch_attention(width, num_heads, is_causal=False, dropout=0.0):
    """An attention layer around `scaled_dot_product_attention`."""
    from torch import nn

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.projection = nn.Linear(width, 3 * width)
            self.output = nn.Linear(width, width)

        def forward(self, x):
            heads = [
                part.unflatten(-1, (num_heads, -1)).transpose(1, 2)  # (B, N, T, H)
                for part in self.projection(x).chunk(3, -1)
            ]
            x = nn.functional.scaled_dot_product_attention(
                *heads,
                dropout_p=dropout if self.training else 0.0,
                is_causal=is_causal,
            )
            return self.output(x.transpose(1, 2).flatten(2))

    return Attention()


# JAX


def jax_contender(x, apply, parameters):
    """A function of JAX, compiled.

    Args:
        x: Inputs and targets, `(B, T, D)`.
        apply: `apply(parameters, x, key)` returns the output; `key` is `None` at
            inference.
        parameters: Dict of arrays.

    Returns:
        A `Contender`.
    """
    import jax

    def loss_of(parameters, x, key):
        return ((apply(parameters, x, key) - x) ** 2).mean()

    @functools.partial(jax.jit, donate_argnums=0)
    def step(parameters, x, key):
        key, next_key = jax.random.split(key)
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, key)
        parameters = jax.tree.map(
            lambda p, g: p - LEARNING_RATE * g, parameters, gradients
        )
        return parameters, next_key, loss

    predict = jax.jit(functools.partial(apply, key=None))
    size = sum(array.size for array in parameters.values())
    state = [jax.tree.map(jax.numpy.array, parameters), jax.random.key(0)]

    def train():
        *state[:], loss = step(state[0], x, state[1])
        return float(loss)

    return Contender(lambda: np.asarray(predict(state[0], x)), train, size)


def jax_block(shape, dropout):
    """The block written in JAX by hand, and its parameters.

    Attention by plain matrix products, which here are faster than
    `jax.nn.dot_product_attention` on a processor.
    """
    import jax
    import jax.numpy as jnp

    def drop(x, key):
        if key is None or dropout == 0:
            return x
        return jnp.where(jax.random.bernoulli(key, 1 - dropout, x.shape), x, 0) / (
            1 - dropout
        )

    def norm(x, scale, offset):
        x = x - x.mean(-1, keepdims=True)
        x = x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + EPSILON)
        return x * scale + offset

    def apply(p, x, key):
        keys = [None] * 3 if key is None else jax.random.split(key, 3)
        y = norm(x, p["scale_1"], p["offset_1"]) @ p["qkv"] + p["qkv_bias"]
        query, key, value = (
            part.reshape(*x.shape[:2], shape.num_heads, -1).transpose(0, 2, 1, 3)
            for part in jnp.split(y, 3, axis=-1)
        )
        scores = query @ key.swapaxes(-1, -2) * query.shape[-1] ** -0.5  # (B, N, T, T)
        y = drop(jax.nn.softmax(scores), keys[0]) @ value
        y = y.transpose(0, 2, 1, 3).reshape(x.shape) @ p["output"] + p["output_bias"]
        x = x + drop(y, keys[1])
        y = norm(x, p["scale_2"], p["offset_2"]) @ p["hidden"] + p["hidden_bias"]
        y = jax.nn.gelu(y, approximate=False) @ p["mlp"] + p["mlp_bias"]
        return x + drop(y, keys[2])

    return apply, draw_block(shape)


def jax_attention(width, num_heads, is_causal=False, window=None):
    """An attention layer around `jax.nn.dot_product_attention`, and its parameters."""
    import jax

    near = None if window is None else (window - 1, 0 if is_causal else window - 1)

    def apply(p, x, key):
        query, key, value = (
            part.reshape(*x.shape[:2], num_heads, -1)  # (B, T, N, H)
            for part in jax.numpy.split(x @ p["qkv"] + p["qkv_bias"], 3, axis=-1)
        )
        y = jax.nn.dot_product_attention(
            query, key, value, is_causal=is_causal, local_window_size=near
        )
        return y.reshape(x.shape) @ p["output"] + p["output_bias"]

    return apply, draw_attention(width)


# TensorFlow


def tensorflow_contender(x, apply, parameters, jit_compile):
    """A function of TensorFlow, as a graph.

    Args:
        x: Inputs and targets, `(B, T, D)`.
        apply: `apply(parameters, x, training)` returns the output.
        parameters: Dict of arrays.
        jit_compile: Whether XLA compiles the graph.

    Returns:
        A `Contender`.
    """
    import tensorflow as tf

    variables = {name: tf.Variable(array) for name, array in parameters.items()}

    @tf.function(jit_compile=jit_compile)
    def predict(x):
        return apply(variables, x, False)

    @tf.function(jit_compile=jit_compile)
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((apply(variables, x, True) - x) ** 2)
        gradients = tape.gradient(loss, list(variables.values()))
        for variable, gradient in zip(variables.values(), gradients, strict=True):
            variable.assign_sub(LEARNING_RATE * gradient)
        return loss

    size = sum(array.size for array in parameters.values())
    return Contender(
        lambda: predict(tf.constant(x)).numpy(),
        lambda: float(step(tf.constant(x))),
        size,
    )


def tensorflow_block(shape, dropout):
    """The block written in TensorFlow by hand, and its parameters."""
    import tensorflow as tf

    def drop(x, training):
        return tf.nn.dropout(x, dropout) if training and dropout else x

    def norm(x, scale, offset):
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, offset, scale, EPSILON)

    def apply(p, x, training):
        y = norm(x, p["scale_1"], p["offset_1"]) @ p["qkv"] + p["qkv_bias"]
        query, key, value = (
            tf.transpose(
                tf.reshape(part, (*x.shape[:2], shape.num_heads, -1)), (0, 2, 1, 3)
            )
            for part in tf.split(y, 3, -1)
        )
        scores = tf.matmul(query, key, transpose_b=True) * query.shape[-1] ** -0.5
        y = drop(tf.nn.softmax(scores), training) @ value
        y = tf.reshape(tf.transpose(y, (0, 2, 1, 3)), x.shape)
        x = x + drop(y @ p["output"] + p["output_bias"], training)
        y = norm(x, p["scale_2"], p["offset_2"]) @ p["hidden"] + p["hidden_bias"]
        y = tf.nn.gelu(y) @ p["mlp"] + p["mlp_bias"]
        return x + drop(y, training)

    return apply, draw_block(shape)


# Parameters


def draw_block(shape):
    """The parameters of a block, a dict of NumPy arrays."""
    width, mlp_dim = shape.width, shape.mlp_dim
    ones, zeros = np.ones(width, "float32"), np.zeros(width, "float32")
    return {
        **draw_attention(width),
        "scale_1": ones,
        "offset_1": zeros,
        "scale_2": ones,
        "offset_2": zeros,
        "hidden": _draw(width, mlp_dim),
        "hidden_bias": np.zeros(mlp_dim, "float32"),
        "mlp": _draw(mlp_dim, width),
        "mlp_bias": zeros,
    }


def draw_attention(width):
    """The parameters of an attention layer, a dict of NumPy arrays."""
    return {
        "qkv": _draw(width, 3 * width),
        "qkv_bias": np.zeros(3 * width, "float32"),
        "output": _draw(width, width),
        "output_bias": np.zeros(width, "float32"),
    }


def _draw(rows, columns):
    draw = np.random.default_rng(0).normal(scale=rows**-0.5, size=(rows, columns))
    return draw.astype("float32")
