"""Gradients that are known better than a backend finds them, and their own gradients.

A loop over tiles and a kernel of a framework have a fast gradient that the backend
cannot differentiate again, as a gradient penalty or a Hessian does. There a plain
function stands in, which gives the same by operations that each backend differentiates
as often as it is asked.
"""

import keras


def with_gradient(forward, backward, plain, inputs, options):
    """Applies a function whose gradient is known better than a backend finds it.

    Args:
        forward: `forward(inputs, options)` returns the output and the tensors that
            the backward pass wants besides.
        backward: `backward({**inputs, "output", "kept", "gradient"}, options)` returns
            a dict from the names of inputs to their gradients; those that it leaves
            out have none.
        plain: `plain(inputs, options)` returns the output alone. Its gradient is that
            of `backward`; what differentiates `backward` goes through it.
        inputs: Dict of tensors.
        options: What does not change from call to call, hashable.

    Returns:
        The output.
    """
    apply = {
        "jax": _with_gradient_on_jax,
        "tensorflow": _with_gradient_on_tensorflow,
        "torch": _with_gradient_on_torch,
    }[keras.backend.backend()]
    return apply(forward, backward, plain, inputs, options)


def _with_gradient_on_jax(forward, backward, plain, inputs, options):
    import jax

    @jax.custom_vjp
    def function(inputs):
        return forward(inputs, options)

    def function_forward(inputs):
        output, kept = function(inputs)
        return (output, kept), (inputs, output, kept)

    def function_backward(residuals, gradients):
        gradients = gradients_of(*residuals, gradients[0])
        return ({name: gradients.get(name) for name in inputs},)

    @jax.custom_jvp
    def gradients_of(inputs, output, kept, gradient):
        residuals = {"output": output, "kept": kept, "gradient": gradient}
        return backward({**inputs, **residuals}, options)

    @gradients_of.defjvp
    def differentiate_again(primals, tangents):
        gradients = gradients_of(*primals)

        def plainly(inputs, gradient):
            learned = {name: inputs[name] for name in gradients}
            _, pull_back = jax.vjp(
                lambda learned: plain({**inputs, **learned}, options), learned
            )
            return pull_back(gradient)[0]

        # The output and what is kept are functions of the inputs, as is all of it.
        ends = (primals[0], primals[3]), (tangents[0], tangents[3])
        return gradients, jax.jvp(plainly, *ends)[1]

    function.defvjp(function_forward, function_backward)
    return function(inputs)[0]


def _with_gradient_on_tensorflow(forward, backward, plain, inputs, options):
    import tensorflow as tf

    names = list(inputs)

    def named(tensors):
        return dict(zip(names, tensors, strict=True))

    def fixed(tensors):  # else a tape, too, would want to go back through the loops
        return [tf.stop_gradient(tensor) for tensor in tensors]

    @tf.custom_gradient
    def function(*tensors):
        output, kept = forward(named(fixed(tensors)), options)
        learned = []

        def function_backward(gradient):
            gradients = gradients_of(gradient, *tensors)
            gradients = dict(zip(learned, gradients, strict=True))
            return [gradients.get(name) for name in names]

        @tf.custom_gradient
        def gradients_of(gradient, *tensors):
            fixed_gradient, *fixed_tensors = fixed((gradient, *tensors))
            gradients = backward(
                {
                    **named(fixed_tensors),
                    **{"output": output, "kept": kept, "gradient": fixed_gradient},
                },
                options,
            )
            learned[:] = gradients

            def differentiate_again(*vectors):
                with tf.GradientTape() as tape:
                    tape.watch((gradient, *tensors))
                    with tf.GradientTape() as inner:
                        inner.watch(tensors)
                        plain_output = plain(named(tensors), options)
                    found = inner.gradient(
                        plain_output,
                        [named(tensors)[name] for name in learned],
                        output_gradients=gradient,
                    )
                if None in found:  # a ForwardAccumulator lets no tape record here
                    raise NotImplementedError(
                        "On TensorFlow, attention tile by tile has no forward "
                        "derivative. Call it within `keras_attention.ops."
                        "use_implementation('explicit')`."
                    )
                return tape.gradient(
                    found, (gradient, *tensors), output_gradients=vectors
                )

            return list(gradients.values()), differentiate_again

        return output, function_backward

    return function(*inputs.values())


def _with_gradient_on_torch(forward, backward, plain, inputs, options):
    import torch

    names = list(inputs)

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context, *tensors):
            output, kept = forward(dict(zip(names, tensors, strict=True)), options)
            context.save_for_backward(*tensors, output, kept)
            return output

        @staticmethod
        def backward(context, gradient):
            *tensors, output, kept = context.saved_tensors
            given = dict(zip(names, tensors, strict=True))
            if _is_differentiated_again():
                needed = context.needs_input_grad
                return _plain_gradients(plain, given, options, needed, gradient)
            residuals = {"output": output, "kept": kept, "gradient": gradient}
            gradients = backward({**given, **residuals}, options)
            return tuple(gradients.get(name) for name in names)

    return Function.apply(*inputs.values())


def with_plain_gradient_again(output, plain, inputs, options):
    """Lets PyTorch differentiate the gradient of what one of its kernels gave.

    Args:
        output: What the kernel gave. Its gradient is that of the kernel.
        plain: `plain(inputs, options)` returns the same, as in `with_gradient`.
        inputs: Dict of tensors, which the kernel was given.
        options: Passed on to `plain`.

    Returns:
        The output.
    """
    import torch

    is_compiling = torch.compiler.is_compiling()
    if is_compiling or not torch.is_grad_enabled() or not output.requires_grad:
        return output

    class Kernel(torch.autograd.Function):
        @staticmethod
        def forward(context, output, *tensors):
            context.save_for_backward(*tensors)
            return output

        @staticmethod
        def backward(context, gradient):
            if not _is_differentiated_again():
                return gradient, *(None for _ in inputs)
            given = dict(zip(inputs, context.saved_tensors, strict=True))
            needed = context.needs_input_grad[1:]
            return None, *_plain_gradients(plain, given, options, needed, gradient)

    return Kernel.apply(output, *inputs.values())


def _is_differentiated_again():
    """Whether a backward pass of PyTorch runs with `create_graph=True`."""
    import torch

    return torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _plain_gradients(plain, inputs, options, needed, gradient):
    """The gradients of those inputs that need one, in a graph of PyTorch."""
    import torch

    # An alias of each, as two of them may be one tensor.
    inputs = {name: tensor.view_as(tensor) for name, tensor in inputs.items()}
    pairs = zip(inputs.values(), needed, strict=True)
    learned = [tensor for tensor, is_needed in pairs if is_needed]
    gradients = iter(
        torch.autograd.grad(
            plain(inputs, options),
            learned,
            gradient,
            create_graph=True,
            allow_unused=True,
        )
    )
    return tuple(next(gradients) if is_needed else None for is_needed in needed)


def needs_plain_functions(*tensors):
    """Whether tensors are differentiated in a way that only plain functions know.

    That is forward (`jax.jvp`, `torch.func.jvp`), and on PyTorch by all of
    `torch.func`. Where JAX compiled a function before, it does not show.

    Args:
        *tensors: Tensors.

    Returns:
        True or False.

    Example:

    >>> needs_plain_functions(keras.ops.ones(2))
    False
    """
    backend = keras.backend.backend()
    if backend == "jax":
        return any(map(_has_tangent_on_jax, tensors))
    if backend == "torch":
        import torch

        if torch.compiler.is_compiling():
            return False
        if torch._C._are_functorch_transforms_active():
            return True
        unpack = torch.autograd.forward_ad.unpack_dual
        return any(unpack(tensor).tangent is not None for tensor in tensors)
    return False


def _has_tangent_on_jax(x):
    """Whether JAX carries a tangent with this tensor, or with what it stands for."""
    import jax
    from jax.interpreters import ad

    while isinstance(x, jax.core.Tracer):
        if isinstance(x, ad.JVPTracer):
            return True
        x = getattr(x, "primal", getattr(x, "val", None))
    return False
