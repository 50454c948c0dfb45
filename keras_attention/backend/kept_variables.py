"""What a model knows, kept while Keras trains, evaluates or predicts.

On JAX Keras takes the values out of a model's variables for as long as it goes over the
batches. An error in between, such as a picture that cannot be read, would leave them
empty.
"""

import contextlib
import functools
import inspect
import threading
import weakref

import keras

# A lock for each model that was run.
LOCKS, MAKING = weakref.WeakKeyDictionary(), threading.Lock()


class KeptVariables(keras.callbacks.Callback):
    """Remembers the values that Keras takes out, from the first batch on."""

    def __init__(self):
        super().__init__()
        self._values = []

    def on_train_batch_begin(self, batch, logs=None):
        self._look()

    def on_test_batch_begin(self, batch, logs=None):
        self._look()

    def on_predict_batch_begin(self, batch, logs=None):
        self._look()

    def _look(self):
        variables = variables_of(self.model)
        if variables and is_empty(variables[-1]):
            self._values = []  # the batch before left newer ones with the model
        else:
            self._values = [(variable, variable.value) for variable in variables]

    def put_back(self, model):
        """Gives the variables that are empty their newest values again."""
        model.jax_state_sync()  # what the last batch left
        for variable, value in self._values:
            if is_empty(variable):
                variable.assign(value)
        self._values = []


def variables_of(model):
    """All variables of a model, of its optimizer and of its metrics."""
    optimizer = getattr(model, "optimizer", None)
    others = [] if optimizer is None else optimizer.variables
    return [*others, *model.metrics_variables, *model.variables]


def is_empty(variable):
    """Whether Keras has taken the value out of a variable."""
    try:
        return variable.value is None
    except TypeError:  # what Keras raises, for want of an initializer
        return True


@contextlib.contextmanager
def keep_variables(model, callbacks=None):
    """Lets a model keep its variables, whatever ends what runs within.

    Args:
        model: A `keras.Model`.
        callbacks: Callbacks for what runs within: `None`, one, a list, or a
            `CallbackList`.

    Yields:
        The callbacks to pass instead.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> with keep_variables(model) as callbacks:
    ...     outputs = model.predict(np.ones((3, 2)), verbose=0, callbacks=callbacks)
    >>> outputs.shape
    (3, 1)
    """
    if keras.backend.backend() != "jax":
        yield callbacks
        return
    with one_thread(model):
        yield from _keep(model, callbacks)


def _keep(model, callbacks):
    kept = KeptVariables()
    if isinstance(callbacks, keras.callbacks.CallbackList):
        # That of `fit`, which evaluates in between: it has one already.
        known = [c for c in callbacks.callbacks if isinstance(c, KeptVariables)]
        if not known:
            kept.set_model(model)
            callbacks.append(kept)
    elif callbacks is None or isinstance(callbacks, list | tuple):
        callbacks = [kept, *(callbacks or ())]
    else:
        callbacks = [kept, callbacks]
    try:
        yield callbacks
    except BaseException:
        kept.put_back(model)
        raise


@contextlib.contextmanager
def one_thread(model):
    """Lets other threads wait while the variables of a model may be without values.

    On JAX alone. Models within the model have the same variables, so they wait, too.

    Args:
        model: A `keras.Model`.
    """
    if keras.backend.backend() != "jax":
        yield
        return
    layers = model._flatten_layers(include_self=True, recursive=True)
    models = {id(layer): layer for layer in layers if isinstance(layer, keras.Model)}
    with contextlib.ExitStack() as stack:
        for number in sorted(models):  # all threads in one order
            with MAKING:
                lock = LOCKS.setdefault(models[number], threading.RLock())
            stack.enter_context(lock)
        yield


def keeping_variables(method):
    """A method of `keras.Model` that takes callbacks, run within `keep_variables`.

    Args:
        method: Such as `keras.Model.fit`.

    Returns:
        A method with the same arguments.

    Example:

    >>> predict = keeping_variables(keras.Model.predict)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> predict(model, np.ones((3, 2)), verbose=0).shape
    (3, 1)
    """
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(self, *args, **kwargs):
        bound = signature.bind(self, *args, **kwargs)
        with keep_variables(self, bound.arguments.get("callbacks")) as callbacks:
            bound.arguments["callbacks"] = callbacks
            return method(*bound.args, **bound.kwargs)

    return call
