"""Layers that are computed again in the backward pass, with what they dropped before.

Keras's `RematScope` saves memory that way. It draws other random numbers the second
time on PyTorch and TensorFlow, and its gradient is then that of another dropout; on JAX
what a layer draws or counts may not leave what is computed again.
"""

import keras


def recomputed(layer, rematerialize, function):
    """Makes a function that is computed again as it was computed first.

    Args:
        layer: The layer whose `call` it is. It is computed again as a whole, its parts
            not by themselves.
        rematerialize: Keras's function, which makes of a function one that is
            computed again.
        function: The layer's `call`.

    Returns:
        A function of the same arguments.
    """
    for part in layer._flatten_layers(include_self=False):
        part._remat_mode = None
    run = _on_jax if keras.backend.backend() == "jax" else _on_others

    def call(*args, **kwargs):
        # What is no tensor, as `training`, is not to be traced.
        fixed = {k: x for k, x in kwargs.items() if not _holds_tensors(x)}
        tensors = {k: x for k, x in kwargs.items() if k not in fixed}

        def with_fixed(*args, **tensors):
            return function(*args, **tensors, **fixed)

        return run(layer, rematerialize, with_fixed, args, tensors)

    return call


def _on_others(layer, rematerialize, function, args, tensors):
    states = [generator.state for generator in _generators(layer)]
    first = []

    def run(*args, **tensors):
        if not first:
            first.append([keras.ops.copy(state.value) for state in states])
            return function(*args, **tensors)
        after = [keras.ops.copy(state.value) for state in states]
        _assign(states, first[0])
        try:  # PyTorch ends it where it has what it wants
            return function(*args, **tensors)
        finally:
            _assign(states, after)

    return rematerialize(run)(*args, **tensors)


def _on_jax(layer, rematerialize, function, args, tensors):
    variables = layer.variables
    changing = [v for v in variables if not v.trainable]

    def run(values, *args, **tensors):
        mapping = list(zip(variables, values, strict=True))
        scope = keras.StatelessScope(state_mapping=mapping, collect_losses=True)
        with scope:
            outputs = function(*args, **tensors)
        values = [scope.get_current_value(variable) for variable in changing]
        return outputs, values, scope.losses

    values = [variable.value for variable in variables]
    outputs, values, losses = rematerialize(run)(values, *args, **tensors)
    _assign(changing, values)
    for loss in losses:
        layer.add_loss(loss)
    return outputs


def _generators(layer):
    """The random generators of a layer and of its parts."""
    return [
        generator
        for part in layer._flatten_layers()
        for generator in part._seed_generators
    ]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _holds_tensors(structure):
    return any(map(keras.ops.is_tensor, keras.tree.flatten(structure)))
