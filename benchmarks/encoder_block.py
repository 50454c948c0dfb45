"""Is an encoder block of ours as fast as other ones?

    KERAS_BACKEND=jax python benchmarks/encoder_block.py [--quick]

A forward pass and a training step of one block, ours against a block of Keras's own
layers, KerasHub's, PyTorch's and one written in the framework alone. Keras's trainer is
included where there is Keras; on PyTorch ours runs without it, too.
"""

import keras
from contenders import BERT_BASE
from contenders import block_flops
from contenders import draw_inputs
from contenders import jax_block
from contenders import jax_contender
from contenders import keras_block
from contenders import keras_contender
from contenders import keras_hub_block
from contenders import our_block
from contenders import our_torch_block
from contenders import tensorflow_block
from contenders import tensorflow_contender
from contenders import torch_block
from contenders import torch_contender
from contenders import torch_nn_block
from contenders import TOY
from contenders import VIT_S
from harness import installed
from harness import read_options
from harness import Report

SHAPES = {
    "full": {"ViT-S": VIT_S, "BERT-base": BERT_BASE},
    "quick": {"ViT-S": VIT_S},
    "tiny": {"toy": TOY},
}


def make_contenders(shape, dropout, jit_compile, with_keras_hub):
    """All blocks of one shape, a dict of contenders."""
    x = draw_inputs(shape)
    blocks = {"ours": our_block, "Keras": keras_block}
    if with_keras_hub:
        blocks["KerasHub"] = keras_hub_block
    found = {
        name: keras_contender(x, block(shape, dropout), jit_compile)
        for name, block in blocks.items()
    }
    backend = keras.backend.backend()
    if backend == "torch":
        module = our_torch_block(shape, dropout)
        found["ours, no trainer"] = torch_contender(x, module)
        found["torch.nn"] = torch_contender(x, torch_nn_block(shape, dropout))
        found["without Keras"] = torch_contender(x, torch_block(shape, dropout))
    elif backend == "jax":
        found["without Keras"] = jax_contender(x, *jax_block(shape, dropout))
    else:
        found["without Keras"] = tensorflow_contender(
            x, *tensorflow_block(shape, dropout), jit_compile
        )
    sizes = {name: contender.num_parameters for name, contender in found.items()}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"The blocks must have equally many parameters: {sizes}")
    return found


def main(arguments=None):
    options = read_options(__doc__, arguments)
    with_keras_hub = installed("keras_hub", "keras-hub")
    report = Report("encoder_block", options)
    # TensorFlow compiles by XLA only where it is told to, on a processor.
    compiled = {"": "auto"}
    if keras.backend.backend() == "tensorflow":
        compiled = {"": False, ", XLA": True}
    for name, shape in SHAPES[options.size].items():
        for dropout in (0.0, 0.1):
            for label, jit_compile in compiled.items():
                found = make_contenders(shape, dropout, jit_compile, with_keras_hub)
                for kind, times in (("forward", 1), ("train", 3)):
                    calls = {key: getattr(c, kind) for key, c in found.items()}
                    report.compare(
                        f"{name}, dropout {dropout:g}{label}, {kind}",
                        calls,
                        flops=times * block_flops(shape),
                    )
    report.finish()


if __name__ == "__main__":
    main()
