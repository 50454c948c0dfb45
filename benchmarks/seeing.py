"""Does it cost anything that attention can be seen, and what does seeing it cost?

    KERAS_BACKEND=jax python benchmarks/seeing.py [--quick]

Twelve blocks of the ViT-S shape (8 x 197 tokens of width 384, six heads). First a plain
`predict`, against the same layers without the line that looks for a recorder. Then the
same batch with the weights of all layers, 12 x 8 x 6 x 197 x 197 numbers, by an
`AttentionExtractor`, and by `attention_maps`, which compiles a function at each call.
Last the same with the layers of Keras. On PyTorch also what Python costs for each
block, where there is next to nothing to compute.

On two cores of an AMD EPYC the line that looks for a recorder costs nothing that can be
told from noise: 0.461 s with it and 0.471 s without on JAX, 0.623 and 0.627 s on
PyTorch, and 1.15 and 1.02 ms for a tiny block, where calls of either take from 0.9 to
1.5 ms. With the weights of all layers a batch takes 0.69 s instead of 0.59 s on JAX and
0.73 s instead of 0.67 s on PyTorch; `attention_maps` 2.4 s, most of it to compile, and
1.1 s. With the layers of Keras it is 0.61 s with the weights and 0.62 s without on JAX,
0.72 and 0.68 s on PyTorch.
"""

import contextlib

import keras
from contenders import draw_inputs
from contenders import keras_block
from contenders import our_block
from contenders import TOY
from contenders import VIT_S
from harness import read_options
from harness import Report

from keras_attention.layers import TransformerEncoder
from keras_attention.layers.attention_layer import AttentionLayer
from keras_attention.ops import attend
from keras_attention.ops import combine_masks
from keras_attention.visualization import attention_maps
from keras_attention.visualization import AttentionExtractor

SIZES = {"full": (VIT_S, 12), "quick": (VIT_S, 4), "tiny": (TOY, 2)}
CALLS = 50  # of a tiny stack in one timed call


def attend_unseen(self, query, key, value, *, kind, masks=(), training=None, **options):
    """`AttentionLayer.attend` without a recorder."""
    dropped = self.dropout > 0 and training
    return attend(
        query,
        key,
        value,
        mask=combine_masks(*masks),
        dropout=self.dropout if dropped else 0.0,
        seed=self.seed_generator if dropped else None,
        **options,
    )


@contextlib.contextmanager
def unseen():
    """Layers that are called within do not look for a recorder."""
    seen = AttentionLayer.attend
    AttentionLayer.attend = attend_unseen
    try:
        yield
    finally:
        AttentionLayer.attend = seen


def our_model(shape, num_layers):
    """A stack of this library, a model."""
    inputs = keras.Input((shape.length, shape.width))
    stack = TransformerEncoder(our_block(shape, 0.0), num_layers, final_norm=False)
    return keras.Model(inputs, stack(inputs))


def keras_model(shape, num_layers):
    """As many blocks of Keras's layers, a model."""
    x = inputs = keras.Input((shape.length, shape.width))
    for _ in range(num_layers):
        x = keras_block(shape, 0.0)(x)
    return keras.Model(inputs, x)


def call_of(model, x, within=contextlib.nullcontext):
    """A function that predicts one batch."""

    def call():
        with within():
            model.predict_on_batch(x)

    return call


def measure_python(report, num_layers):
    """Times on PyTorch what Python costs for each block, with one thread."""
    import torch

    shape = TOY._replace(batch_size=1, length=2)
    x = torch.from_numpy(draw_inputs(shape))
    model = our_model(shape, num_layers)

    def run(within):
        with within(), torch.inference_mode():
            for _ in range(CALLS):
                model(x)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    calls = {
        "ours": lambda: run(contextlib.nullcontext),
        "without the recorder": lambda: run(unseen),
    }
    report.compare("a tiny block, forward", calls, per=CALLS * num_layers)
    torch.set_num_threads(threads)


def main(arguments=None):
    options = read_options(__doc__, arguments)
    report = Report("seeing", options)
    shape, num_layers = SIZES[options.size]
    x = draw_inputs(shape)
    model, twin = our_model(shape, num_layers), our_model(shape, num_layers)
    twin.set_weights(model.get_weights())
    plain = {
        "ours": call_of(model, x),
        "without the recorder": call_of(twin, x, unseen),
    }
    report.compare("predict", plain)
    predict = plain["ours"]
    extractor = AttentionExtractor(model)
    calls = {"ours": call_of(extractor, x), "predict": predict}
    report.compare("predict with weights", calls)
    calls = {"ours": lambda: attention_maps(model, x), "predict": predict}
    report.compare("attention_maps", calls, rounds=min(3, options.rounds))
    theirs = keras_model(shape, num_layers)
    extractor = AttentionExtractor(theirs, include_keras=True)
    calls = {"ours": call_of(extractor, x), "predict": call_of(theirs, x)}
    report.compare("predict with weights, Keras's layers", calls)
    if keras.backend.backend() == "torch":
        measure_python(report, num_layers)
    report.finish()


if __name__ == "__main__":
    main()
