"""Layers that are computed again in the backward pass, with what they dropped before.

Keras's `RematScope` saves memory that way. It draws other random numbers the second
time on PyTorch and TensorFlow, and its gradient is then that of another dropout; on JAX
what a layer draws or counts may not leave what is computed again.
"""

import keras


def recompute_as_whole(layer):
    """Lets the parts of a layer be computed again with it, not by themselves.

    Where a scope names layers, and not this one, its parts stay as they are.

    Args:
        layer: A layer.
    """
    mode = layer._remat_mode
    if mode and (mode.mode != "list_of_layers" or layer.name in mode.layer_names):
        for part in layer._flatten_layers(include_self=False):
            part._remat_mode = None


def recomputed(layer, rematerialize, function):
    """Makes a function that is computed again as it was computed first.

    Args:
        layer: The layer whose `call` it is.
        rematerialize: Keras's function, which makes of a function one that is
            computed again.
        function: The layer's `call`.

    Returns:
        A function of the same arguments.
    """
    recompute_as_whole(layer)
    run = _on_jax if keras.backend.backend() == "jax" else _on_others

    def call(*args, **kwargs):
        # Only tensors, and by place: TensorFlow takes no others.
        structure = args, kwargs
        leaves = keras.tree.flatten(structure)
        places = [i for i, x in enumerate(leaves) if keras.ops.is_tensor(x)]

        def with_tensors(*tensors):
            filled = list(leaves)
            for i, tensor in zip(places, tensors, strict=True):
                filled[i] = tensor
            args, kwargs = keras.tree.pack_sequence_as(structure, filled)
            return function(*args, **kwargs)

        tensors = [leaves[i] for i in places]
        training = kwargs.get("training")
        return run(layer, rematerialize, with_tensors, tensors, training)

    return call


def _on_others(layer, rematerialize, function, tensors, training):
    states = [
        generator.state
        for part in layer._flatten_layers()
        for generator in part._seed_generators
    ]
    first = []

    def run(*tensors):
        if not first:
            first.append([keras.ops.copy(state.value) for state in states])
            return function(*tensors)
        after = [keras.ops.copy(state.value) for state in states]
        _assign(states, first[0])
        try:  # PyTorch ends it where it has what it wants
            return _again(tensors[0], run=lambda: function(*tensors), training=training)
        finally:
            _assign(states, after)

    return rematerialize(run)(*tensors)


def _on_jax(layer, rematerialize, function, tensors, training):
    variables = layer.variables
    changing = [v for v in variables if not v.trainable]

    def run(values, *tensors):
        mapping = list(zip(variables, values, strict=True))
        scope = keras.StatelessScope(state_mapping=mapping, collect_losses=True)
        with scope:
            outputs = function(*tensors)
        values = [scope.get_current_value(variable) for variable in changing]
        return outputs, values, scope.losses

    values = [variable.value for variable in variables]
    outputs, values, losses = rematerialize(run)(values, *tensors)
    _assign(changing, values)
    for loss in losses:
        layer.add_loss(loss)
    return outputs


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


class _Again(keras.layers.Layer):
    """Runs a function so that the layers in it know again whether they train."""

    def call(self, inputs, run=None, training=None):
        return run()


_again = _Again(autocast=False, name="again")
