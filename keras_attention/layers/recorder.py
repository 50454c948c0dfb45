"""How the weights of every attention layer are seen without a line in the model.

A recorder is set for the time in which a model is called. Each attention layer looks
for it, and, where there is one, computes its weights explicitly and hands them over.
Without one, in training and serving, layers take the fastest way and keep nothing.
"""

import contextlib
import threading

from keras import ops

# Of each thread its own; torch.compile looks into it, as it does not into contextvars.
_state = threading.local()


class Recorder:
    """Keeps the weights of the attention layers that run while it is active.

    Args:
        layers: Which layers: a part of their path, a list of such parts, or a function
            of the path. Defaults to all.
        probes: List of tensors that are added to the weights, in order of execution,
            so that a gradient by them is one by the weights. Defaults to none.
    """

    def __init__(self, layers=None, probes=None):
        self._wants = chooser(layers)
        self._probes = probes
        self.names, self.kinds, self.weights = [], [], []

    @property
    def has_probes(self):
        """Whether something is added to the weights."""
        return self._probes is not None

    def wants(self, path):
        """Whether the weights of the layer with this path are kept."""
        return self._wants(path)

    def record(self, path, kind, weights):
        """Keeps weights.

        Args:
            path: That of the layer. A layer that runs again gets `:1`, `:2`, ...
            kind: `"self"` or `"cross"`.
            weights: `(B, N, T, S)`.

        Returns:
            The weights that the layer goes on with.
        """
        if self._probes is not None:
            weights = ops.add(weights, self._probes[len(self.weights)])
        count = sum(name.split(":")[0] == path for name in self.names)
        self.names.append(f"{path}:{count}" if count else path)
        self.kinds.append(kind)
        self.weights.append(weights)
        return weights


def chooser(layers):
    """Makes a function that says whether a path is among those chosen.

    Args:
        layers: A part of a path, a list of such parts, a function, or `None` for all.

    Returns:
        A function of the path.

    Raises:
        ValueError: `layers` is none of these.

    Example:

    >>> wants = chooser(["block_1", "block_2"])
    >>> wants("encoder/block_1/self_attention"), wants("encoder/block_0/self_attention")
    (True, False)
    """
    if layers is None:
        return lambda path: True
    if callable(layers):
        return layers
    if isinstance(layers, str):
        layers = [layers]
    if not isinstance(layers, (list, tuple)) or not all(
        isinstance(part, str) for part in layers
    ):
        raise ValueError(
            "`layers` must be a part of a layer's path, a list of such parts or a "
            f"function of the path. Received: layers={layers!r}"
        )
    return lambda path: any(part in path for part in layers)


@contextlib.contextmanager
def active(recorder):
    """Lets a recorder keep the weights of the layers that are called within.

    Args:
        recorder: A `Recorder`.
    """
    before = getattr(_state, "recorder", None)
    _state.recorder = recorder
    try:
        yield recorder
    finally:
        _state.recorder = before


def recorder_for(path):
    """Gives the active recorder that wants the weights of a layer, or `None`.

    Args:
        path: The path of the layer.

    Example:

    >>> recorder = Recorder(layers="encoder")
    >>> with active(recorder):
    ...     recorder_for("encoder/block_0") is recorder, recorder_for("decoder")
    (True, None)
    """
    recorder = getattr(_state, "recorder", None)
    return recorder if recorder is not None and recorder.wants(path) else None


def is_recording():
    """Whether a recorder is active.

    Example:

    >>> is_recording()
    False
    """
    return getattr(_state, "recorder", None) is not None
