"""What does a window save, over attention to all earlier tokens?

    KERAS_BACKEND=jax python benchmarks/sliding_window.py [--quick]

A causal attention layer (one sequence, width 256, four heads of 64) whose tokens read
the 256 tokens up to themselves, against layers that read all earlier ones ("all"),
against one that reads all there are ("full"), and against the windows of Keras and JAX.
Only ours goes on to 262,144 tokens.
On two cores it takes more than three minutes.
"""

import functools

import keras
from contenders import draw_inputs
from contenders import jax_attention
from contenders import jax_contender
from contenders import keras_attention_layer
from contenders import keras_contender
from contenders import our_attention
from contenders import Shape
from contenders import torch_attention
from contenders import torch_contender
from harness import read_options
from harness import Report

WIDTH, NUM_HEADS = 256, 4
# Window, the length that all have, and lengths of our window alone.
SIZES = {
    "full": (256, 4096, (16384, 65536, 262144)),
    "quick": (256, 4096, (16384,)),
    "tiny": (4, 16, (32,)),
}


def make_contenders(x, window):
    """All layers for one length, a dict of contenders."""
    heads = (NUM_HEADS, WIDTH // NUM_HEADS)
    found = {
        "ours": our_attention(*heads, True, window=window),
        "ours, all": our_attention(*heads, True),
        "Keras": keras_attention_layer(*heads, True, window),
        "Keras, all": keras_attention_layer(*heads, True),
        "Keras, full": keras_attention_layer(*heads, False),
    }
    found = {name: keras_contender(x, layer) for name, layer in found.items()}
    if keras.backend.backend() == "jax":
        make = functools.partial(jax_attention, WIDTH, NUM_HEADS, True)
        found["without Keras"] = jax_contender(x, *make(window))
        found["without Keras, all"] = jax_contender(x, *make())
    elif keras.backend.backend() == "torch":
        module = torch_attention(WIDTH, NUM_HEADS, True)
        found["without Keras, all"] = torch_contender(x, module)
    return found


def main(arguments=None):
    options = read_options(__doc__, arguments)
    window, length, longer = SIZES[options.size]
    report = Report("sliding_window", options)
    x = draw_inputs(Shape(1, length, WIDTH, NUM_HEADS, None))
    found = make_contenders(x, window)
    for kind in ("forward", "train"):
        calls = {name: getattr(c, kind) for name, c in found.items()}
        report.compare(f"{length:,} tokens, {kind}", calls)
    for length in longer:
        x = draw_inputs(Shape(1, length, WIDTH, NUM_HEADS, None))
        layer = our_attention(NUM_HEADS, WIDTH // NUM_HEADS, True, window=window)
        contender = keras_contender(x, layer)
        for kind in ("forward", "train"):
            calls = {"ours": getattr(contender, kind)}
            report.compare(
                f"{length:,} tokens, {kind}", calls, rounds=min(3, options.rounds)
            )
    report.finish()


if __name__ == "__main__":
    main()
