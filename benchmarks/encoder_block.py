"""Is an encoder block of ours slower than one made of Keras's own layers?

    KERAS_BACKEND=jax python benchmarks/encoder_block.py

Prints seconds for a forward pass and for a training step, ours and Keras's in turn in
one process, and their ratio: above 1, ours is faster. About a minute on two cores.
Ratios within 7% are ties.
"""

import statistics
import time

import keras
import numpy as np

from keras_attention.layers import TransformerEncoderBlock

# Batch size, tokens, width, heads, hidden width: ViT-S/16 and BERT-base.
SHAPES = {"ViT-S": (8, 197, 384, 6, 1536), "BERT": (4, 128, 768, 12, 3072)}
REPEATS = 15


def our_block(x, num_heads, mlp_dim, dropout):
    """The block as a user of this library writes it."""
    return TransformerEncoderBlock(
        num_heads, mlp_dim, dropout=dropout, attention_dropout=dropout
    )(x)


def keras_block(x, num_heads, mlp_dim, dropout):
    """The same block made of Keras's layers."""
    width = x.shape[-1]
    y = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    y = keras.layers.MultiHeadAttention(num_heads, width // num_heads, dropout=dropout)(
        y, y
    )
    x = x + keras.layers.Dropout(dropout)(y)
    y = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    y = keras.layers.Dense(
        mlp_dim, activation=lambda z: keras.ops.gelu(z, approximate=False)
    )(y)
    y = keras.layers.Dense(width)(y)
    return x + keras.layers.Dropout(dropout)(y)


def make_model(block, shape, dropout):
    """A compiled model of one block."""
    _, length, width, num_heads, mlp_dim = shape
    inputs = keras.Input((length, width))
    model = keras.Model(inputs, block(inputs, num_heads, mlp_dim, dropout))
    model.compile("sgd", "mse")
    return model


def measure(calls):
    """Runs each call in turn, and returns the median seconds of each."""
    seconds = {name: [] for name in calls}
    for repeat in range(REPEATS + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if repeat >= 2:  # the first two compile and warm up
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def main():
    print(f"keras {keras.__version__}, backend {keras.backend.backend()}")
    print(
        f"{'shape':6} {'dropout':>7} {'':8} {'ours s':>8} {'Keras s':>8} {'ratio':>6}"
    )
    for name, shape in SHAPES.items():
        x = np.random.default_rng(0).normal(size=shape[:3]).astype("float32")
        for dropout in (0.0, 0.1):
            models = {
                "ours": make_model(our_block, shape, dropout),
                "keras": make_model(keras_block, shape, dropout),
            }
            kinds = {
                "forward": lambda model, x=x: model.predict_on_batch(x),
                "train": lambda model, x=x: float(model.train_on_batch(x, x)),
            }
            for kind, call in kinds.items():
                seconds = measure(
                    {key: (lambda m=m, c=call: c(m)) for key, m in models.items()}
                )
                ratio = seconds["keras"] / seconds["ours"]
                print(
                    f"{name:6} {dropout:7} {kind:8} {seconds['ours']:8.4f} "
                    f"{seconds['keras']:8.4f} {ratio:6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
