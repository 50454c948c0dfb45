"""Is a stack of encoder blocks of ours as fast as other ones, and as soon compiled?

    KERAS_BACKEND=jax python benchmarks/stack.py [--quick]

Twelve blocks of the ViT-S shape (8 x 197 tokens of width 384), ours in a
`TransformerEncoder` against as many of KerasHub's blocks: the first call, which
compiles, then training steps with AdamW and predictions. On PyTorch also what Python
costs for each block, where there is next to nothing to compute.
"""

import time

import keras
from contenders import block_flops
from contenders import draw_inputs
from contenders import keras_block
from contenders import keras_contender
from contenders import keras_hub_block
from contenders import our_block
from contenders import torch_block
from contenders import TOY
from contenders import VIT_S
from harness import installed
from harness import read_options
from harness import Report

from keras_attention.layers import TransformerEncoder

SIZES = {"full": (VIT_S, 12), "quick": (VIT_S, 4), "tiny": (TOY, 2)}
CALLS = 20  # of a tiny stack in one timed call


def our_stack(shape, num_layers):
    """A stack of this library, a function of its inputs."""
    return TransformerEncoder(our_block(shape, 0.0), num_layers, final_norm=False)


def stack_of(block):
    """Repeats blocks that have no stack of their own."""

    def stack(shape, num_layers):
        blocks = [block(shape, 0.0) for _ in range(num_layers)]

        def apply(x):
            for block in blocks:
                x = block(x)
            return x

        return apply

    return stack


def measure_first_calls(report, found, label):
    """Times the first training step and the first prediction, which compile."""
    for kind in ("train", "forward"):
        for name, contender in found.items():
            start = time.perf_counter()
            getattr(contender, kind)()
            report.add(f"first call, {kind}{label}", name, time.perf_counter() - start)


def measure_python(report, stacks, num_layers):
    """Times on PyTorch what Python costs for each block, with one thread."""
    import torch

    shape = TOY._replace(batch_size=1, length=2)
    x = torch.from_numpy(draw_inputs(shape))
    modules = {}
    for name, stack in stacks.items():
        inputs = keras.Input(x.shape[1:])
        modules[name] = keras.Model(inputs, stack(shape, num_layers)(inputs))
    blocks = [torch_block(shape, 0.0) for _ in range(num_layers)]
    modules["without Keras"] = torch.nn.Sequential(*blocks)

    def forward(module):
        with torch.inference_mode():
            for _ in range(CALLS):
                module(x)

    def train(module):
        for _ in range(CALLS):
            module(x).sum().backward()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for kind, run in (("forward", forward), ("forward and backward", train)):
        calls = {name: lambda m=m, r=run: r(m) for name, m in modules.items()}
        report.compare(f"a tiny block, {kind}", calls, per=CALLS * num_layers)
    torch.set_num_threads(threads)


def main(arguments=None):
    options = read_options(__doc__, arguments)
    shape, num_layers = SIZES[options.size]
    backend = keras.backend.backend()
    stacks = {"ours": our_stack, "Keras": stack_of(keras_block)}
    if installed("keras_hub", "keras-hub"):
        stacks["KerasHub"] = stack_of(keras_hub_block)
    report = Report("stack", options)
    x = draw_inputs(shape)
    # The first of all compiled models waits for the compiler itself.
    warm_up = keras_contender(x[:, :1], keras.layers.Dense(shape.width))
    warm_up.train(), warm_up.forward()
    compiled = {"": "auto"}
    if backend == "tensorflow":
        compiled = {"": False, ", XLA": True}
    flops = num_layers * block_flops(shape)
    for label, jit_compile in compiled.items():
        found = {
            name: keras_contender(
                x, stack(shape, num_layers), jit_compile, keras.optimizers.AdamW()
            )
            for name, stack in stacks.items()
        }
        measure_first_calls(report, found, label)
        for kind, times in (("train", 3), ("forward", 1)):
            calls = {name: getattr(c, kind) for name, c in found.items()}
            report.compare(f"{kind}{label}", calls, flops=times * flops)
    if backend == "torch":
        measure_python(report, stacks, num_layers)
    report.finish()


if __name__ == "__main__":
    main()
