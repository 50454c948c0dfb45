"""How much of the speed of the framework's best fused kernel do we reach on a GPU?

    KERAS_BACKEND=torch python benchmarks/gpu.py [--quick]

`keras_attention.ops.attend` in bfloat16, 16 heads of 128, causal and not, 16,384 tokens
in all, in sequences of 1,024 to 32,768, against each kernel of
`torch.nn.functional.scaled_dot_product_attention` and against
`jax.nn.dot_product_attention` with cuDNN; TensorFlow has none. The ratio is the share
of a kernel's speed that we reach. Ends at once where there is no GPU.
"""

import functools

import keras
from harness import gpu_name
from harness import read_options
from harness import Report
from keras import ops

from keras_attention.ops import attend

TOKENS, NUM_HEADS, HEAD_WIDTH = 16384, 16, 128
LENGTHS = {
    "full": [2**k for k in range(10, 16)],
    "quick": [1024, 4096],
    "tiny": [16],
}
CALLS = 10  # in one timed call, so that the GPU waits for no one
# Matrix products of the backward pass over those of the forward pass
# (arXiv:2205.14135, Appendix B): five for two.
BACKWARD = 2.5


def draw(length, size):
    """Query, key and value, `(B, T, N, H)`, and a gradient of the output."""
    shape = (max(1, TOKENS // length), length, NUM_HEADS, HEAD_WIDTH)
    if size == "tiny":
        shape = (1, length, 2, 8)
    return [
        ops.cast(keras.random.normal(shape, seed=seed), "bfloat16") for seed in range(4)
    ]


def torch_calls(tensors, is_causal):
    """Functions that run ours and each kernel of PyTorch, by kind and name."""
    import torch
    from torch.nn.attention import sdpa_kernel
    from torch.nn.attention import SDPBackend
    from torch.nn.functional import scaled_dot_product_attention

    def with_kernel(kernel, *heads):
        with sdpa_kernel([kernel]):
            return scaled_dot_product_attention(*heads, is_causal=is_causal)

    # The kernels get the axes in the order that they want, side by side in memory.
    heads_first = [x.transpose(1, 2).contiguous() for x in tensors]
    contenders = {"ours": (functools.partial(attend, is_causal=is_causal), tensors)}
    for kernel in ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION"):
        function = functools.partial(with_kernel, getattr(SDPBackend, kernel))
        name = f"torch {kernel.partition('_')[0].lower()}"
        try:
            function(*heads_first[:3])
        except RuntimeError as error:
            print(f"Without {name}: {str(error).splitlines()[0]}")
            continue
        contenders[name] = (function, heads_first)

    def wait():
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    def forward(function, tensors):
        with torch.no_grad():
            for _ in range(CALLS):
                function(*tensors[:3])
        wait()

    def backward(inputs, output, gradient):
        for _ in range(CALLS):
            torch.autograd.grad(output, inputs, gradient, retain_graph=True)
        wait()

    calls = {"forward": {}, "backward": {}}
    for name, (function, tensors) in contenders.items():
        calls["forward"][name] = functools.partial(forward, function, tensors)
        inputs = [x.detach().requires_grad_() for x in tensors[:3]]
        calls["backward"][name] = functools.partial(
            backward, inputs, function(*inputs), tensors[3]
        )
    return calls


def jax_calls(tensors, is_causal, has_gpu):
    """Functions that run ours and the kernels of JAX, by kind and name."""
    import jax

    names = {"jax cudnn": "cudnn"} if has_gpu else {}
    contenders = {"ours": attend}
    for name, implementation in {**names, "jax xla": "xla"}.items():
        contenders[name] = functools.partial(
            jax.nn.dot_product_attention, implementation=implementation
        )

    def run(program, *tensors):
        for _ in range(CALLS):
            result = program(*tensors)
        jax.block_until_ready(result)

    calls = {"forward": {}, "backward": {}}
    for name, function in contenders.items():
        function = functools.partial(function, is_causal=is_causal)

        def backward(*tensors, function=function):
            return jax.vjp(function, *tensors[:3])[1](tensors[3])

        calls["forward"][name] = functools.partial(run, jax.jit(function), *tensors[:3])
        calls["backward"][name] = functools.partial(run, jax.jit(backward), *tensors)
    return calls


def tensorflow_calls(tensors, is_causal):
    """Functions that run ours, by kind and name."""
    import tensorflow as tf

    @tf.function
    def forward(*tensors):
        return attend(*tensors[:3], is_causal=is_causal)

    @tf.function
    def backward(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors[:3])
            output = attend(*tensors[:3], is_causal=is_causal)
        return tape.gradient(output, tensors[:3], tensors[3])

    def run(program):
        for _ in range(CALLS):
            result = program(*tensors)
        for x in tf.nest.flatten(result):
            ops.convert_to_numpy(ops.cast(x[0, 0, 0, 0], "float32"))

    return {
        "forward": {"ours": functools.partial(run, forward)},
        "backward": {"ours": functools.partial(run, backward)},
    }


def main(arguments=None):
    options = read_options(__doc__, arguments)
    has_gpu = gpu_name() is not None
    if not has_gpu and options.size != "tiny":
        print("There is no GPU that this backend can use.")
        return
    report = Report("gpu", options)
    backend = keras.backend.backend()
    for length in LENGTHS[options.size]:
        for is_causal in (False, True):
            tensors = draw(length, options.size)
            if backend == "torch":
                calls = torch_calls(tensors, is_causal)
            elif backend == "jax":
                calls = jax_calls(tensors, is_causal, has_gpu)
            else:
                calls = tensorflow_calls(tensors, is_causal)
            batch_size, _, num_heads, width = tensors[0].shape
            flops = 4 * batch_size * length**2 * num_heads * width
            flops = flops / 2 if is_causal else flops
            for kind, found in calls.items():
                # On torch the backward pass alone, else both, as JAX has them.
                times = {"forward": 1, "backward": BACKWARD}[kind]
                if kind == "backward" and backend != "torch":
                    times += 1
                report.compare(
                    f"{length:,} tokens, {'causal, ' if is_causal else ''}{kind}",
                    found,
                    flops=times * flops,
                    per=CALLS,
                )
    report.finish()


if __name__ == "__main__":
    main()
