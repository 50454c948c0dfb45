"""Steps of a recurrent network, in the way that each backend runs them fastest.

Letters: B sequences, T steps.
"""

import keras
from keras import ops


def walk(step, state, inputs):
    """Takes a step for each place of a sequence, and keeps all states.

    Measured on two CPU cores, 7 steps of a decoder of the demo, forward and backward:
    `ops.scan` 50 ms on JAX and 78 on TensorFlow, steps written out 39 and 92, but these
    compile longer the more steps there are. On torch `ops.scan` takes 1,325 ms and
    steps written out 139.

    Args:
        step: Function of a state and of `(B, 1, ...)` that returns the next state.
        state: Tuple of tensors `(B, 1, ...)`.
        inputs: `(B, T, ...)`.

    Returns:
        Tuple of tensors `(B, T, ...)`.
    """
    if keras.backend.backend() == "torch":
        states = []
        for t in range(inputs.shape[1]):
            state = step(state, inputs[:, t : t + 1])
            states.append(state)
        parts = zip(*states, strict=True)
        return tuple(ops.concatenate(part, axis=1) for part in parts)

    # TensorFlow wants what is kept to have the structure of the state: it is the state.
    def body(state, row):
        state = step(state, row[:, None])
        return state, state

    _, states = ops.scan(body, state, ops.moveaxis(inputs, 1, 0))
    return tuple(ops.moveaxis(part[:, :, 0], 0, 1) for part in states)
