"""A step of decoding on PyTorch as the plain list of the kernels that it calls.

Letters: R rows of a product, C columns of a matrix of weights, D its rows, P parts.
Importing this module imports PyTorch.
"""

import keras
import torch
import torch.fx
from torch.fx.experimental.proxy_tensor import make_fx

aten = torch.ops.aten

# MKL shares products of so few rows badly among threads, if the weights are so many.
FEW_ROWS = 32
MANY_WEIGHTS = 2**18
# No thread gets fewer columns than that.
FEWEST_COLUMNS = 64
# Weights that lie across, as a table of tokens that is the last layer too, are read
# fastest as weights times rows, if these are so many.
ROWS_ACROSS = range(2, 9)


def to_leaves(structure):
    """The tensors of a structure, numbers as tensors, without `None`.

    All are contiguous, since what is written down for one step must fit the next.
    """
    flat = keras.tree.flatten(structure)
    return [torch.as_tensor(x).contiguous() for x in flat if x is not None]


def from_leaves(structure, leaves):
    """The same structure with other tensors."""
    leaves = iter(leaves)
    flat = [None if x is None else next(leaves) for x in keras.tree.flatten(structure)]
    return keras.tree.pack_sequence_as(structure, flat)


class TracedStep:
    """The kernels of a step, one after the other, written down by `torch.fx`.

    What Python does to find them is done once, and so are views of weights and what
    each layer computes for itself, such as masks.

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
        def function(*leaves):
            state = step(*from_leaves(inputs, leaves))
            return goes_on(state), *to_leaves(state)

        # The trace runs the step, which writes into its inputs.
        leaves = [x.clone() for x in to_leaves(inputs)]
        self._module = make_fx(function)(*leaves)
        graph = self._module.graph
        _fold_constants(self._module)
        _share_results(graph)
        device = leaves[1].device.type  # the first is the number of the step
        if device == "cpu" and torch.backends.mkl.is_available():
            _share_columns(self._module, torch.get_num_threads())
        _join_views(graph)
        graph.eliminate_dead_code()
        _call_functions(graph)
        self._module.recompile()

    def __call__(self, *leaves):
        return self._module(*leaves)


VIEWS = (
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


def _fold_constants(module):
    """Does once what would be the same each time: views of weights, their scales, and
    the numbers that packed weights stand for."""
    graph = module.graph
    packed = set()  # what is made of small integers
    for number, node in enumerate(list(graph.nodes)):
        sources = node.all_input_nodes
        if node.op != "call_function" or not sources:
            continue
        if any(source.op != "get_attr" for source in sources):
            continue
        schema = getattr(node.target, "_schema", None)
        if schema is None or schema.is_mutable:
            continue
        if not isinstance(node.meta["val"], torch.Tensor):
            continue  # several, as of a split
        tensors = {
            source: getattr(module, source.target).detach() for source in sources
        }
        is_packed = not packed.isdisjoint(sources) or any(
            tensor.dtype == torch.int8 for tensor in tensors.values()
        )
        is_view = node.target in VIEWS
        if not (is_view or is_packed or node.meta["val"].numel() < MANY_WEIGHTS):
            continue
        arguments = torch.fx.map_arg((node.args, node.kwargs), tensors.__getitem__)
        name = f"_constant_{number}"
        module.register_buffer(name, node.target(*arguments[0], **arguments[1]))
        with graph.inserting_before(node):
            folded = graph.get_attr(name)
        if is_packed and not is_view:
            packed.add(folded)
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


def _share_columns(module, threads):
    """Gives each thread columns of its own, where few rows meet a matrix of weights.

    Weights are read once for each token, and little else takes time. A product of MKL
    leaves some threads waiting, and a batch of products, one for each thread, does not.
    The matrices of the batch are views of the weights.
    """
    graph = module.graph
    for number, node in enumerate(list(graph.nodes)):
        place = {aten.mm.default: 1, aten.addmm.default: 2}.get(node.target)
        if place is None or node.args[place].op != "get_attr" or node.kwargs:
            continue
        *bias, rows, weights = node.args
        kernel = getattr(module, weights.target).detach()
        num_rows, columns = node.meta["val"].shape
        parts = min(threads, columns // FEWEST_COLUMNS)
        if (
            num_rows > FEW_ROWS
            or kernel.numel() < MANY_WEIGHTS
            or kernel.dtype != torch.float32
            or parts < 2
        ):
            continue
        matrices = {}
        if kernel.t().is_contiguous() and num_rows in ROWS_ACROSS:
            function = _multiply_across
            matrices["across"] = kernel.t()
        else:
            function = _multiply_in_parts
            rest = columns % parts
            shared = kernel[:, : columns - rest].unflatten(1, (parts, -1))
            matrices["parts"] = shared.transpose(0, 1)  # (P, D, C / P)
            if rest:
                matrices["rest"] = kernel[:, columns - rest :]
        with graph.inserting_before(node):
            arguments = [rows]
            for key, matrix in matrices.items():
                name = f"_{key}_{number}"
                module.register_buffer(name, matrix)
                arguments.append(graph.get_attr(name))
            product = graph.call_function(function, tuple(arguments))
            if bias:
                product = graph.call_function(torch.add, (product, *bias))
        node.replace_all_uses_with(product)
        graph.erase_node(node)


def _multiply_in_parts(rows, parts, rest=None):
    """`(R, D)` times `(P, D, C / P)`, and times a rest of the columns: `(R, C)`."""
    product = torch.bmm(rows.expand(len(parts), *rows.shape), parts)  # (P, R, C / P)
    product = product.transpose(0, 1).reshape(len(rows), -1)
    if rest is None:
        return product
    return torch.cat([product, torch.mm(rows, rest)], dim=1)


def _multiply_across(rows, across):
    """`(R, D)` times the transpose of `(C, D)`: `(R, C)`."""
    return torch.mm(across, rows.t()).t().contiguous()


def _join_views(graph):
    """Takes one view in place of a view of a view, and none where they cancel."""

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
