"""What decoding step by step needs of each backend: slots, loops, compiled programs.

Letters: B batch, K heads of keys and values, S slots of a cache, T new tokens, H width
of a head, R = B K rows of a cache.
"""

import keras
from keras import ops


def filled_slots(length, count, slots):
    """How many slots a step reads: those that are filled, where that is known.

    On PyTorch, which compiles nothing, the rest is cut off; elsewhere each size would
    be compiled anew.

    Args:
        length: How many were filled before, an integer or a tensor.
        count: How many the step fills.
        slots: S.

    Returns:
        An integer.

    Example:

    >>> filled_slots(3, 1, 8) == (4 if keras.backend.backend() == "torch" else 8)
    True
    """
    if keras.backend.backend() == "torch" and isinstance(length, int):
        return length + count
    return slots


def write_slots(cache, update, start):
    """Writes tokens into a cache, on PyTorch in place.

    Args:
        cache: `(R, S, H)`, which must not be used afterwards.
        update: `(R, T, H)`.
        start: The slot of the first token, an integer or a tensor without axes.

    Returns:
        The changed cache.

    Example:

    >>> cache = write_slots(keras.ops.zeros((1, 3, 1)), [[[5.0]]], 1)
    >>> keras.ops.convert_to_numpy(cache)[0, :, 0].tolist()
    [0.0, 5.0, 0.0]
    """
    update = ops.cast(update, cache.dtype)
    if keras.backend.backend() == "torch":
        import torch

        if isinstance(start, int):
            cache[:, start : start + update.shape[1]] = update
            return cache
        places = start + torch.arange(update.shape[1], device=cache.device)
        return cache.index_copy_(1, places, update)
    if keras.backend.backend() == "jax":
        from jax import lax

        return lax.dynamic_update_slice_in_dim(cache, update, start, axis=1)
    return ops.slice_update(cache, (0, start, 0), update)


def while_loop(goes_on, step, number, state):
    """Takes steps while it is so.

    Args:
        goes_on: `goes_on(number, state)` returns a boolean.
        step: `step(number, state)` returns the next state, of the same shapes.
        number: The number of the first step; on PyTorch it stays an integer.
        state: A nested structure of tensors and numbers.

    Returns:
        The number of the step that was not taken, and the state.

    Example:

    >>> number, total = while_loop(
    ...     lambda number, total: number < 4,
    ...     lambda number, total: total + number,
    ...     1,
    ...     keras.ops.convert_to_tensor(0),
    ... )
    >>> int(number), int(total)
    (4, 6)
    """
    if keras.backend.backend() == "torch":
        number = int(number)
        while bool(goes_on(number, state)):
            state = step(number, state)
            number += 1
        return number, state
    number = ops.convert_to_tensor(number, dtype="int32")
    state = keras.tree.map_structure(ops.convert_to_tensor, state)
    if keras.backend.backend() == "jax":
        from jax import lax

        return lax.while_loop(
            lambda loop: goes_on(*loop),
            lambda loop: (loop[0] + 1, step(*loop)),
            (number, state),
        )
    import tensorflow as tf

    return tf.while_loop(
        lambda number, state: goes_on(number, state),
        lambda number, state: (number + 1, step(number, state)),
        (number, state),
    )


class Program:
    """A function of tensors that reads the weights of a model, compiled.

    It is compiled once for each set of shapes of its inputs: by JAX, with the weights
    as arguments, by TensorFlow with XLA. PyTorch runs it as it is, in inference mode.

    Args:
        function: A function of nested structures of tensors and numbers.
        variables: The variables that it reads.
        donated: Numbers of the arguments that are not used afterwards.

    Example:

    >>> double = Program(lambda x: 2 * x, [])
    >>> [float(double(keras.ops.convert_to_tensor(x))) for x in (1.0, 2.0)]
    [2.0, 4.0]
    >>> double.num_compilations == (0 if keras.backend.backend() == "torch" else 1)
    True
    """

    def __init__(self, function, variables, donated=()):
        self.num_compilations = 0
        self._variables = list(variables)
        self._function = function
        backend = keras.backend.backend()
        if backend == "jax":
            import jax

            numbers = tuple(number + 1 for number in donated)
            self._compiled = jax.jit(self._with_values, donate_argnums=numbers)
        elif backend == "tensorflow":
            import tensorflow as tf

            self._compiled = tf.function(
                self._traced, jit_compile=True, autograph=False
            )

    def _traced(self, *inputs):
        self.num_compilations += 1  # runs when it is traced
        return self._function(*inputs)

    def _with_values(self, values, *inputs):
        mapping = list(zip(self._variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return self._traced(*inputs)

    def __call__(self, *inputs):
        backend = keras.backend.backend()
        if backend == "torch":
            import torch

            with torch.inference_mode():
                return self._function(*inputs)
        if backend == "jax":
            return self._compiled([v.value for v in self._variables], *inputs)
        # Numbers as tensors, or each would be compiled for itself.
        inputs = keras.tree.map_structure(
            lambda x: None if x is None else ops.convert_to_tensor(x), inputs
        )
        return self._compiled(*inputs)


class Loop:
    """A loop that reads the weights of a model, compiled.

    On JAX and TensorFlow the whole of it is one program. On PyTorch the loop runs in
    Python, and what it repeats is written down once as the plain list of kernels that
    it calls (`torch.fx`), without what Python does to find them.

    Args:
        goes_on: Function of the state that says whether there is more to do.
        step: Function of the number of the step, the state, what else there is, and
            the number of the last step plus one. It returns the next state, of the same
            shapes and dtypes.
        variables: The variables that `step` reads.

    Example:

    >>> double = Loop(lambda x: x < 9, lambda number, x, extra, last: x + extra, [])
    >>> extra = keras.ops.convert_to_tensor(4)
    >>> [int(x) for x in double(2, 5, 5, keras.ops.convert_to_tensor(3), extra)]
    [4, 11]
    """

    def __init__(self, goes_on, step, variables):
        self._goes_on = goes_on
        self._step = step
        self._traced = {}
        self._program = Program(self._run, variables, donated=(3,))

    @property
    def num_compilations(self):
        """How often it was compiled."""
        return self._program.num_compilations + len(self._traced)

    def _run(self, number, end, last, state, extra):
        return while_loop(
            lambda number, state: ops.logical_and(number < end, self._goes_on(state)),
            lambda number, state: self._step(number, state, extra, last),
            number,
            state,
        )

    def __call__(self, number, end, last, state, extra):
        """Takes steps.

        Args:
            number: The number of the first.
            end: The number at which it ends at the latest.
            last: The number at which it could end; `step` gets it.
            state: A nested structure of tensors and numbers, not used afterwards.
            extra: A nested structure of tensors.

        Returns:
            The number of the step that was not taken, and the state.
        """
        if keras.backend.backend() != "torch":
            return self._program(number, end, last, state, extra)
        import torch

        # Each number is a tensor, or it would be written down as it is.
        rest = _leaves((extra, last))
        leaves = _leaves(state)
        key = tuple((tuple(x.shape), x.dtype, x.device) for x in leaves + rest)
        if key not in self._traced:
            with torch.no_grad():
                self._traced[key] = TracedStep(
                    self._goes_on, self._step, (number, state, extra, last)
                )
        step = self._traced[key]
        step.refresh()
        number = int(number)
        with torch.inference_mode():
            goes_on = self._goes_on(state)
            while number < end and bool(goes_on):
                goes_on, *leaves = step(torch.tensor(number), *leaves, *rest)
                number += 1
        return number, _rebuild(state, leaves)


def _leaves(structure):
    """The tensors of a structure of PyTorch, numbers as tensors, without `None`."""
    import torch

    flat = keras.tree.flatten(structure)
    return [torch.as_tensor(x) for x in flat if x is not None]


def _rebuild(structure, leaves):
    """The same structure with other tensors."""
    leaves = iter(leaves)
    flat = [None if x is None else next(leaves) for x in keras.tree.flatten(structure)]
    return keras.tree.pack_sequence_as(structure, flat)


class TracedStep:
    """The kernels of a step of PyTorch, one after the other.

    Where a matrix of weights is read across by a single row, it is laid out along
    beforehand: twice as fast on a processor.

    Args:
        goes_on: Function of the state that says whether there is more to do.
        step: Function of nested structures of tensors, which returns the state.
        inputs: Its arguments, for their shapes.

    Call arguments:
        *leaves: The tensors of `inputs`.

    Returns:
        What `goes_on` says of the next state, and the tensors of that.
    """

    def __init__(self, goes_on, step, inputs):
        from torch.fx.experimental.proxy_tensor import make_fx

        def function(*leaves):
            state = step(*_rebuild(inputs, leaves))
            return goes_on(state), *_leaves(state)

        # The trace runs the step, which writes into its inputs.
        leaves = [x.clone() for x in _leaves(inputs)]
        self._module = make_fx(function)(*leaves)
        self._copies = {}
        _fold_views(self._module)
        _share_results(self._module.graph)
        if not leaves[1].is_cuda:
            self._lay_out()
        _join_views(self._module.graph)
        self._module.graph.eliminate_dead_code()
        _call_functions(self._module.graph)
        self._module.recompile()

    def _lay_out(self):
        """Puts copies in place of the matrices that are read across."""
        import torch

        aten = torch.ops.aten
        graph = self._module.graph
        for node in list(graph.nodes):
            place = {aten.mm.default: 1, aten.addmm.default: 2}.get(node.target)
            if place is None or node.args[place].op != "get_attr":
                continue
            source = getattr(self._module, node.args[place].target)
            rows = node.args[place - 1].meta["val"].shape[0]
            if rows > 1 or source.is_contiguous():
                continue
            name = f"_laid_out_{node.args[place].target}"
            if name not in self._copies:
                self._copies[name] = source, None
                self._module.register_buffer(name, torch.empty(0))
            with graph.inserting_before(node):
                copy = graph.get_attr(name)
            node.update_arg(place, copy)

    def refresh(self):
        """Copies anew what changed since."""
        for name, (source, version) in self._copies.items():
            if version != source._version:
                setattr(self._module, name, source.detach().contiguous())
                self._copies[name] = source, source._version

    def __call__(self, *leaves):
        return self._module(*leaves)


def _fold_views(module):
    """Takes views of weights, such as their transpose, once instead of each time."""
    import torch

    aten = torch.ops.aten
    views = (
        aten.t.default,
        aten.transpose.int,
        aten.permute.default,
        aten.view.default,
        aten.unsqueeze.default,
        aten.expand.default,
        aten.slice.Tensor,
        aten.alias.default,
        aten.detach.default,
    )
    graph = module.graph
    for number, node in enumerate(list(graph.nodes)):
        if node.target not in views or node.args[0].op != "get_attr":
            continue
        view = node.target(
            getattr(module, node.args[0].target).detach(), *node.args[1:], **node.kwargs
        )
        name = f"_view_{number}"
        module.register_buffer(name, view)
        with graph.inserting_before(node):
            folded = graph.get_attr(name)
        node.replace_all_uses_with(folded)
        graph.erase_node(node)


def _share_results(graph):
    """Computes once what each layer computes for itself, such as masks.

    Only what does not hang on a tensor that the step writes into.
    """
    changed = set()  # what is written into, what it is a view of, what hangs on them
    for node in reversed(graph.nodes):
        arguments = getattr(getattr(node.target, "_schema", None), "arguments", ())
        for argument, value in zip(arguments, node.args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                changed.add(value)
        if node in changed:
            changed.update(node.all_input_nodes)
    found = {}
    for node in list(graph.nodes):
        if node.op != "call_function" or not hasattr(node.target, "_schema"):
            continue
        hangs = not changed.isdisjoint({node, *node.all_input_nodes})
        if hangs or any("nondeterministic" in str(tag) for tag in node.target.tags):
            changed.add(node)
            continue
        key = repr((str(node.target), node.args, node.kwargs))
        if key in found:
            node.replace_all_uses_with(found[key])
            graph.erase_node(node)
        else:
            found[key] = node


def _join_views(graph):
    """Takes one view in place of a view of a view, and none where they cancel."""
    import torch

    aten = torch.ops.aten

    def find_order(node):
        """The axes that a permutation puts in place of 0, 1, ..., or `None`."""
        if node.op != "call_function":
            return None
        if node.target is aten.permute.default:
            return [axis % len(node.args[1]) for axis in node.args[1]]
        if node.target is not aten.transpose.int:
            return None
        order = list(range(node.meta["val"].ndim))
        first, second = node.args[1:]
        order[first], order[second] = order[second], order[first]
        return order

    for node in list(graph.nodes):
        source = node.args[0] if node.args else None
        if node.target is aten.alias.default:
            node.replace_all_uses_with(source)
        elif node.target is aten.view.default:
            if source.target is aten.view.default:
                node.update_arg(0, source.args[0])
        elif order := find_order(node):
            before = find_order(source)
            if before is not None:
                order, source = [before[axis] for axis in order], source.args[0]
            if order == sorted(order):
                node.replace_all_uses_with(source)
                continue
            node.target, node.args = aten.permute.default, (source, order)


def _call_functions(graph):
    """Calls what is called most by functions, which Python reaches sooner."""
    import torch

    aten = torch.ops.aten
    functions = {
        aten.add.Tensor: torch.add,
        aten.addmm.default: torch.addmm,
        aten.gelu.default: torch.nn.functional.gelu,
        aten.index_copy_.default: torch.Tensor.index_copy_,
        aten.mm.default: torch.mm,
        aten.native_layer_norm.default: torch.native_layer_norm,
        aten.permute.default: torch.permute,
        aten.relu.default: torch.relu,
        aten.view.default: torch.Tensor.view,
    }
    for node in graph.nodes:
        node.target = functions.get(node.target, node.target)
