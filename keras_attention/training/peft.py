"""Adapters in the layout of the library peft: `adapter_config.json` and a file of
weights, under the names of the published model.

There a module has A `(R, D)` and B `(E, R)`, and adds alpha / R (x A^T) B^T.

Letters: D width of the inputs, E width of the outputs, R rank.
"""

import collections
import dataclasses
import json
import math
import re

import keras
import numpy as np

from keras_attention.checkpoints.arguments import argument_defaults
from keras_attention.checkpoints.replacing import replace_files
from keras_attention.checkpoints.rules import match
from keras_attention.checkpoints.rules import renaming
from keras_attention.checkpoints.tensors import open_safetensors
from keras_attention.checkpoints.weights import listed
from keras_attention.checkpoints.weights import named_layers
from keras_attention.checkpoints.weights import named_weights
from keras_attention.files import import_package
from keras_attention.files import read_json
from keras_attention.layers.low_rank_adapter import LowRankAdapter

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
# What else peft knows, by the values with which it changes nothing.
PLAIN = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (False, None),
    "lora_bias": (False, None),
    "use_qalora": (False, None),
    "alora_invocation_tokens": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "layer_replication": (None,),
    "arrow_config": (None,),
}


@dataclasses.dataclass(frozen=True)
class Module:
    """A linear layer of the published model, and which columns it is of ours.

    Args:
        name: Its name there.
        weight: The path of our matrix.
        columns: Which of its columns the outputs of the module are, `(E,)`.
        is_transposed: Whether its matrix is `(E, D)`, as in most.
    """

    name: str
    weight: str
    columns: np.ndarray
    is_transposed: bool


def published_family(model):
    """The `Family` of which a model's checkpoints are published.

    Args:
        model: An application.

    Raises:
        ValueError: There is none, so the modules have no published names.
    """
    arguments = dict(getattr(model, "_arguments", {}))
    for family in getattr(model, "families", ()):
        if family.publishes(arguments, argument_defaults(type(model))):
            return family
    raise ValueError(
        f"A {type(model).__name__} like {model.name!r} has no published layout, so "
        "peft has no names for its parts. Use a file whose name ends in .safetensors."
    )


def find_modules(model, family):
    """The modules of the published model that are matrices of ours.

    Args:
        model: An application.
        family: Its `Family`.

    Returns:
        List of `Module`.
    """
    modules = []
    for transfer in _transfers(model, family):
        ((path, weight), *others) = transfer.weights.items()
        if others or len(weight.shape) != 2:
            continue
        # Where each row and each column goes, as numbers that go there.
        rows, columns = np.indices(weight.shape)
        rows = transfer.rule.transform.save([rows])
        columns = transfer.rule.transform.save([columns])
        for name, row, column in zip(transfer.names, rows, columns, strict=True):
            if row.ndim != 2:
                continue
            is_transposed = row[0, 0] != row[0, -1]
            numbers = column[:, 0] if is_transposed else column[0]
            name = name.removesuffix(".weight")
            modules.append(Module(name, path, numbers, is_transposed))
    return modules


def _transfers(model, family):
    """What is published of a model, its adapters left out."""
    parts = named_layers(model).values()
    added = {
        id(weight)
        for part in parts
        if isinstance(part, LowRankAdapter)
        for weight in part.weights
    }
    weights = named_weights(model)
    weights = {path: w for path, w in weights.items() if id(w) not in added}
    return match(family.rules_for(dict(model._arguments)), weights)


def write_adapters(model, folder, options, adapters, trained):
    """Writes adapters as peft does.

    Args:
        model: An application.
        folder: A `pathlib.Path`, made if it is missing.
        options: Arguments of `add_lora`.
        adapters: List of `(path of a matrix, its first column, adapter)`.
        trained: Set of the paths of what else is trained.

    Raises:
        ValueError: A part has no published name.
    """
    family = published_family(model)
    first, *_ = family.architectures
    is_bare = family.architecture_of(dict(model._arguments)) == first

    rename = renaming(family.module_names)

    def published(name):
        return PREFIX + rename(family.without_prefix(name) if is_bare else name)

    tensors, ranks, transposed = {}, {}, set()
    for module in find_modules(model, family):
        pairs = _pairs_of(module, adapters)
        if pairs:
            down, up = _join(pairs)
            name = published(module.name)
            tensors[f"{name}.lora_A.weight"] = np.ascontiguousarray(down)
            tensors[f"{name}.lora_B.weight"] = np.ascontiguousarray(up)
            ranks[name.removeprefix(PREFIX)] = len(down)
            transposed.add(module.is_transposed)
    whole = []
    for transfer in _transfers(model, family):
        if not transfer.weights.keys() & trained:
            continue
        arrays = [keras.ops.convert_to_numpy(w) for w in transfer.weights.values()]
        arrays = transfer.rule.transform.save(arrays)
        for name, array in zip(transfer.names, arrays, strict=True):
            name = published(name)
            tensors[name] = np.ascontiguousarray(array)
            whole.append(name.removeprefix(PREFIX).rpartition(".")[0])
    rank = collections.Counter(ranks.values()).most_common(1)[0][0]
    scale = options["alpha"] / options["rank"]
    others = {name: number for name, number in ranks.items() if number != rank}
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": scale * rank,
        "lora_dropout": options["dropout"],
        "rank_pattern": others,
        "alpha_pattern": {name: scale * number for name, number in others.items()},
        "target_modules": sorted(ranks),
        "modules_to_save": sorted(set(whole)) or None,
        "fan_in_fan_out": transposed == {False},
        "bias": "none",
    }
    safetensors = import_package(
        "safetensors.numpy", "safetensors", "text", "Saving adapters"
    )
    with replace_files(folder) as new:
        text = json.dumps(config, indent=2) + "\n"
        (new / CONFIG).write_text(text, encoding="utf-8")
        (new / WEIGHTS).write_bytes(safetensors.save(tensors, {"format": "pt"}))


def _pairs_of(module, adapters):
    """The parts of adapters that a module has: A `(R, D)` and B `(E, R)` each."""
    pairs = []
    for path, first, adapter in adapters:
        places = module.columns - first
        inside = (places >= 0) & (places < adapter.output_dim)
        if path == module.weight and inside.any():
            down, up = map(keras.ops.convert_to_numpy, (adapter.down, adapter.up))
            part = np.zeros((len(places), adapter.rank), "float32")
            part[inside] = up.T[places[inside]]
            pairs.append((down.T.astype("float32"), part))
    return pairs


def _join(pairs):
    """One pair that adds what some pairs do: side by side, unless A is the same."""
    downs, ups = zip(*pairs, strict=True)
    if all(np.array_equal(down, downs[0]) for down in downs):
        return downs[0], np.sum(ups, axis=0)
    return np.concatenate(downs), np.concatenate(ups, axis=1)


@dataclasses.dataclass
class Adapters:
    """What a folder of peft holds, in the names of a model of ours.

    Args:
        scale: What the product of A and B is multiplied by.
        dropout: Fraction of the inputs dropped in training.
        pairs: Dict from path of a matrix to a list of columns, A `(R, D)` and B.
        whole: Dict from path to the array of a weight that was trained as a whole.
    """

    scale: float
    dropout: float
    pairs: dict
    whole: dict

    def pair(self, path, first, last):
        """A `(R, D)` and B `(last - first, R)` for some columns of a matrix, or `None`.

        Args:
            path: Path of the matrix.
            first, last: The first column, and the one behind the last.
        """
        found = []
        for columns, down, up in self.pairs.get(path, ()):
            inside = (columns >= first) & (columns < last)
            if inside.any():
                part = np.zeros((last - first, len(down)), "float32")
                part[columns[inside] - first] = up[inside]
                found.append((down, part))
        return _join(found) if found else None


def read_adapters(model, folder):
    """Reads adapters that peft wrote.

    Args:
        model: An application.
        folder: A `pathlib.Path`.

    Returns:
        `Adapters`.

    Raises:
        ValueError: A file is missing or damaged, has what is unknown here, or does not
            fit the model.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(
                f"There is no {name} in {folder}. Expected a folder that peft's "
                "`save_pretrained` or `save_lora` wrote."
            )
    config = read_json(folder / CONFIG)
    for field, plain in PLAIN.items():
        if config.get(field, plain[0]) not in plain:
            raise ValueError(
                f"{folder / CONFIG} has {field}={config[field]!r}, which is unknown "
                f"here. Expected {plain[0]!r}. Merge the adapters with peft's "
                "`merge_and_unload`, and load the whole model with `from_preset`."
            )
    family = published_family(model)
    modules = {}
    for module in find_modules(model, family):
        name = family.without_prefix(module.name)
        # As files call it, and the modules of transformers 4, and as those of 5 do.
        modules[name] = modules[renaming(family.module_names)(name)] = module
    with open_safetensors(folder / WEIGHTS) as file:
        tensors = {
            family.without_prefix(name.removeprefix(PREFIX)): file.get_tensor(name)
            for name in file.keys()
        }
    pairs, faults, scale = {}, [], None
    for name in sorted(tensors):
        if not name.endswith(".lora_A.weight"):
            continue
        module = modules.get(name.removesuffix(".lora_A.weight"))
        down = tensors.pop(name)
        up = tensors.pop(name.replace(".lora_A.", ".lora_B."), None)
        if module is None or up is None or up.shape != (len(module.columns), len(down)):
            faults.append(name)
            continue
        own = _scale_of(module.name, len(down), config)
        scale = own if scale is None else scale
        up = up.astype("float32") * (own / scale)
        pair = module.columns, down.astype("float32"), up
        pairs.setdefault(module.weight, []).append(pair)
    whole = _read_whole(model, family, tensors)
    faults += sorted(tensors)
    if faults or not pairs:
        raise ValueError(
            f"{folder / WEIGHTS} does not fit {type(model).__name__} {model.name!r}: "
            f"{listed(faults) if faults else 'it has no adapters'}. Nothing was loaded."
        )
    return Adapters(scale, float(config.get("lora_dropout") or 0.0), pairs, whole)


def _read_whole(model, family, tensors):
    """The weights that were trained as a whole; takes them out of the tensors."""
    whole = {}
    for transfer in _transfers(model, family):
        names = [family.without_prefix(name) for name in transfer.names]
        parts = [tensors.get(name) for name in names]
        shapes = [None if part is None else tuple(part.shape) for part in parts]
        if shapes == transfer.published_shapes:
            arrays = transfer.rule.transform.load([tensors.pop(n) for n in names])
            whole.update(zip(transfer.weights, arrays, strict=True))
    return whole


def _scale_of(name, rank, config):
    """What peft multiplies the product of a module by."""
    alpha = config.get("lora_alpha", 8)
    for pattern, other in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", name):  # as peft compares them
            alpha = other
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
