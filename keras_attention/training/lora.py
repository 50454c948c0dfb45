"""Fine-tuning by small additions to the projections of a model (LoRA).

Hu et al. 2022, arXiv:2106.09685.
"""

import json
import math
import pathlib
import types

import keras
import numpy as np

from keras_attention.backend.parameters import track_parameters
from keras_attention.checkpoints.tensors import open_safetensors
from keras_attention.checkpoints.weights import listed
from keras_attention.checkpoints.weights import named_layers
from keras_attention.checkpoints.weights import named_weights
from keras_attention.checks import check_choice
from keras_attention.files import import_package
from keras_attention.files import replace_file
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.low_rank_adapter import LowRankAdapter
from keras_attention.layers.quantization import quantized_layers
from keras_attention.training.peft import read_adapters
from keras_attention.training.peft import write_adapters

TARGETS = ("query", "key", "value", "output", "mlp")
METADATA = "lora"


def add_lora(
    model,
    rank=8,
    alpha=8.0,
    dropout=0.0,
    targets=("query", "value"),
    also_train=None,
    seed=None,
):
    """Freezes a model, and puts small trainable matrices beside its projections.

    Hu et al. 2022, Section 4: beside each projection W of the attention layers a
    product A B of rank R is learned, W itself is not. The defaults are those of Table 9
    for RoBERTa-base. Before training nothing changes, since B begins with zeros. The
    optimizer keeps nothing for what is frozen.

    Afterwards `compile` and `fit` as ever; `.keras` files of applications hold the
    adapters. `save_lora` writes what was trained alone, `merge_lora` makes it part of
    the model.

    Args:
        model: A model that is built, with attention or feed-forward layers of this
            library.
        rank: R.
        alpha: Factor of the product, divided by R.
        dropout: Fraction of an adapter's inputs dropped in training, from 0 to 1.
        targets: Which projections: some of `"query"`, `"key"`, `"value"`, `"output"`
            (of attention) and `"mlp"` (both of each feed-forward network).
        also_train: Paths of layers that are trained as a whole, as in
            `checkpoints.named_layers`. By default an application's classifier: the
            layers that `from_preset` makes anew for another `num_classes`.
        seed: Integer, for reproducible adapters.

    Returns:
        The number of weights that are trained.

    Raises:
        ValueError: An argument is out of its range, the model is compiled or has
            adapters, or none of its layers has such a projection. Nothing has changed
            then.

    Example:

    >>> from keras_attention.applications import ViT
    >>> model = ViT(
    ...     image_size=8, patch_size=4, hidden_dim=8, num_layers=2, num_heads=2,
    ...     mlp_dim=16, num_classes=3,
    ... )
    >>> add_lora(model, rank=2)  # 2 x 2 x (8 x 2 + 2 x 8), and a classifier of 27
    155
    """
    targets = (targets,) if isinstance(targets, str) else tuple(targets)
    for target in targets:
        check_choice(TARGETS, target=target)
    LowRankAdapter(rank, 1, alpha, dropout)  # refuses what is out of range
    if hasattr(model, "_lora"):
        raise ValueError(
            f"{model.name!r} has adapters already. Call `merge_lora` first."
        )
    if getattr(model, "compiled", False):
        raise ValueError(
            f"{model.name!r} is compiled for the weights that were trained so far. "
            "Call `add_lora` before `compile`."
        )
    layers = named_layers(model)
    if also_train is None:
        head_layers = getattr(model, "head_layers", dict)().get("num_classes", [])
        also_train = [path for path in head_layers if path in layers]
    unknown = [path for path in also_train if path not in layers]
    if unknown:
        raise ValueError(
            f"{model.name!r} has no layer {unknown[0]!r}. Pass paths of "
            f"`checkpoints.named_layers(model)`, such as {listed(list(layers)[1:])}."
        )
    places = _find_projections(layers, targets)
    if not places:
        raise ValueError(
            f"No layer of {model.name!r}, a {type(model).__name__}, has a projection "
            f"of {targets}. Adapters stand beside attention and feed-forward layers of "
            "this library."
        )

    frozen = [weight for weight in model.weights if weight.trainable]
    kept = {id(weight) for path in also_train for weight in layers[path].weights}
    frozen = [weight for weight in frozen if id(weight) not in kept]
    for number, (layer, target, kernel, first, last) in enumerate(places):
        names = {adapter.name for *_, adapter in layer._adapters}
        name = f"{target}_adapter"
        adapter = LowRankAdapter(
            rank,
            last - first,
            alpha,
            dropout,
            seed=None if seed is None else seed + number,
            dtype=layer.dtype_policy,
            name=f"{name}_1" if name in names else name,
        )
        layer.add_adapter(kernel, first, adapter)
    for weight in frozen:
        weight.trainable = False
    options = {
        "rank": rank,
        "alpha": alpha,
        "dropout": dropout,
        "targets": list(targets),
        "also_train": list(also_train),
        "seed": seed,
    }
    # Not attributes of their own: Keras would take the weights for the model's.
    model._lora = types.SimpleNamespace(options=options, frozen=frozen)
    forget_programs(model)
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def _find_projections(layers, targets):
    return [
        (layer, target, kernel, first, last)
        for layer in layers.values()
        if isinstance(layer, BaseLayer)
        for target, kernel, first, last in layer.adaptable_kernels()
        if target in targets
    ]


def lora_options(model):
    """What `add_lora` was told, or `None` for a model without adapters.

    Args:
        model: A model.

    Returns:
        Dict of its arguments.

    Example:

    >>> lora_options(keras.Sequential()) is None
    True
    """
    found = getattr(model, "_lora", None)
    return None if found is None else found.options


def merge_lora(model):
    """Makes what adapters learned part of the projections, and removes the adapters.

    The model computes the same as before, up to rounding, as fast as before `add_lora`,
    and can be written with `save_to_preset`. All its weights can be trained again; it
    must be compiled anew for that.

    Args:
        model: A model with adapters.

    Raises:
        ValueError: It has none.

    Example:

    >>> from keras_attention.applications import ViT
    >>> model = ViT(
    ...     image_size=8, patch_size=4, hidden_dim=8, num_layers=2, num_heads=2,
    ...     mlp_dim=16, num_classes=3,
    ... )
    >>> before = len(model.weights)
    >>> _ = add_lora(model)
    >>> merge_lora(model)
    >>> len(model.weights) == before
    True
    """
    if lora_options(model) is None:
        raise ValueError(f"{model.name!r} has no adapters. Call `add_lora` first.")
    if quantized_layers(model):
        raise ValueError(
            f"{model.name!r} is quantized, and rounding would undo what its adapters "
            "learned. Load them with `load_lora` into the model as it was before "
            "`quantize`, merge them there, and quantize it then."
        )
    for layer in named_layers(model).values():
        if isinstance(layer, BaseLayer):
            layer.merge_adapters()
    for weight in model._lora.frozen:
        weight.trainable = True
    del model._lora
    model.compiled = False
    forget_programs(model)


def forget_programs(model):
    """Lets everything be seen anew that was made with other weights."""
    track_parameters(model)
    model.train_function = model.test_function = model.predict_function = None
    if hasattr(model, "_writer"):  # of what generates
        del model._writer


def save_lora(model, path):
    """Writes what is trained of a model with adapters, and nothing else.

    Args:
        model: A model with adapters.
        path: Name of a `.safetensors` file, which holds our names, or of a folder,
            which the library peft reads: `adapter_config.json` and
            `adapter_model.safetensors`, under the names of the published model. What
            was there is replaced when the new files are complete.

    Raises:
        ValueError: The model has no adapters, the name ends otherwise, or the model has
            no published layout, which a folder needs.
        ImportError: The package safetensors is not installed.

    Example:

    >>> import tempfile
    >>> from keras_attention.applications import GPT2
    >>> model = GPT2(vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2)
    >>> _ = add_lora(model)
    >>> save_lora(model, pathlib.Path(tempfile.mkdtemp(), "lora.safetensors"))
    """
    path = pathlib.Path(path).expanduser()
    options = lora_options(model)
    if options is None:
        raise ValueError(f"{model.name!r} has no adapters. Call `add_lora` first.")
    if path.suffix != ".safetensors":
        if path.suffix and not path.is_dir():
            raise ValueError(
                "The file must end in .safetensors, and the name of a new folder must "
                f"have no dot. Received: {str(path)!r}"
            )
        places = _places(model, named_layers(model))
        adapters = [(*place, adapter) for place, adapter in places.items()]
        parts = [id(w) for adapter in places.values() for w in adapter.weights]
        whole = {name for name, w in _trained(model).items() if id(w) not in parts}
        write_adapters(model, path, options, adapters, whole)
        return
    arrays = {
        name: keras.ops.convert_to_numpy(weight)
        for name, weight in _trained(model).items()
    }
    safetensors = import_package(
        "safetensors.numpy", "safetensors", "text", "Saving adapters"
    )
    replace_file(path, safetensors.save(arrays, {METADATA: json.dumps(options)}))


def load_lora(model, path):
    """Reads what `save_lora` or the library peft wrote into the model it was made for.

    Of peft, LoRA on attention and feed-forward layers is read, with any ranks and
    factors, and layers that were trained as a whole.

    Args:
        model: The model without adapters or, for a file, with those of the file.
        path: Name of the file or of the folder.

    Raises:
        ValueError: The file is missing or damaged, or does not fit the model. No weight
            has changed then.
        ImportError: The package safetensors is not installed.

    Example:

    >>> load_lora(keras.Sequential(), "no_such_file.safetensors")
    Traceback (most recent call last):
        ...
    ValueError: There is no file 'no_such_file.safetensors'. `save_lora` writes one.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        _load_folder(model, path)
        return
    if not path.is_file():
        raise ValueError(f"There is no file {str(path)!r}. `save_lora` writes one.")
    with open_safetensors(path) as file:
        metadata = file.metadata() or {}
        if METADATA not in metadata:
            raise ValueError(f"{path} was not written by `save_lora`.")
        options = json.loads(metadata[METADATA])
        is_new = lora_options(model) is None
        if is_new:
            add_lora(model, **options)
        weights = _trained(model)
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
        wrong = [
            f"{name} {shapes.get(name, 'missing')}, expected "
            f"{tuple(weights[name].shape) if name in weights else 'none'}"
            for name in sorted(weights.keys() | shapes.keys())
            if name not in weights or tuple(weights[name].shape) != shapes.get(name)
        ]
        if wrong:
            if is_new:
                merge_lora(model)
            raise ValueError(
                f"{path} does not fit {type(model).__name__} {model.name!r}: "
                f"{listed(wrong)}. Nothing was loaded."
            )
        for name, weight in weights.items():
            weight.assign(file.get_tensor(name))


def _trained(model):
    return {name: w for name, w in named_weights(model).items() if w.trainable}


def _load_folder(model, folder):
    """Reads what peft wrote."""
    if lora_options(model) is not None:
        raise ValueError(
            f"{model.name!r} has adapters already. Call `merge_lora` first, or load "
            "into another model."
        )
    found = read_adapters(model, folder)
    layers, paths = named_layers(model), _paths(model)
    pairs, covered = {}, {}  # target: ranks; matrix: columns
    for _, target, kernel, first, last in _find_projections(layers, TARGETS):
        path = paths[id(kernel)]
        pair = found.pair(path, first, last)
        if pair is not None:
            pairs.setdefault(target, []).append(len(pair[0]))
            covered.setdefault(path, set()).update(range(first, last))
    left = [
        path
        for path, parts in found.pairs.items()
        for columns, _, _ in parts
        if not covered.get(path, set()).issuperset(columns.tolist())
    ]
    if left:
        raise ValueError(
            f"{folder} has adapters of {listed(left)}. Here they stand beside "
            "attention and feed-forward layers only. Merge them with peft's "
            "`merge_and_unload`, and load the whole model with `from_preset`."
        )
    rank = max(max(ranks) for ranks in pairs.values())
    add_lora(
        model,
        rank=rank,
        alpha=found.scale * rank,
        dropout=found.dropout,
        targets=[target for target in TARGETS if target in pairs],
        also_train=sorted({path.rpartition("/")[0] for path in found.whole}),
    )
    for (path, first), adapter in _places(model, layers).items():
        down, up = found.pair(path, first, first + adapter.output_dim) or (None, None)
        if down is None:
            continue  # a layer that was left out there; it adds nothing
        missing = rank - len(down)
        adapter.down.assign(np.pad(down, [(0, missing), (0, 0)]).T)
        adapter.up.assign(np.pad(up, [(0, 0), (0, missing)]).T)
    weights = named_weights(model)
    for name, array in found.whole.items():
        weights[name].assign(array)


def _places(model, layers):
    """The adapters of a model by the path of their matrix and their first column."""
    paths = _paths(model)
    found = {}
    for layer in layers.values():
        if isinstance(layer, BaseLayer):
            kernels = {k.name: k for _, k, _, _ in layer.adaptable_kernels()}
            for name, first, adapter in layer._adapters:
                found[paths[id(kernels[name])], first] = adapter
    return found


def _paths(model):
    return {id(weight): name for name, weight in named_weights(model).items()}
