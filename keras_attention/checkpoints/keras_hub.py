"""Weights of KerasHub's backbones, read into our models and written from them.

KerasHub is asked for only when one of these functions is called. Its models compute
some things in one way alone, which is said in `fixed`: what ours would compute
otherwise is refused, not approximated.
"""

import dataclasses
import warnings
from collections.abc import Callable
from collections.abc import Mapping

import keras
import numpy as np

from keras_attention.checkpoints.arguments import argument_defaults
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import each
from keras_attention.checkpoints.rules import match
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import Transform
from keras_attention.checkpoints.weights import layer_of
from keras_attention.checkpoints.weights import named_weights
from keras_attention.files import import_package

# Arguments of ours that change nothing in what a trained body computes.
FREE = frozenset(
    """
    name dtype seed tokenizer image_processor head num_classes class_names
    tie_embeddings initializer_range end_id padding_id dropout attention_dropout
    embedding_dropout classifier_dropout question_answering_dropout pooler_activation
    pooler_dropout drop_path use_pooler
    """.split()
)
# What a backbone has and a model with some heads has not.
POOLER = "pooled_dense/"


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a backbone of KerasHub corresponds to a model of ours.

    Args:
        model: Name of our class.
        fields: List of `Field`: the arguments of both that hold the same.
        rules: Function from our arguments to a list of `Rule`, between the paths of
            both.
        fixed: Dict from arguments of ours to the one value that KerasHub computes,
            where it is not our default.
        read: Function from the config of a backbone to arguments that fields cannot
            express.
        write: Function from arguments of ours to that part of the config.
    """

    model: str
    fields: tuple
    rules: Callable
    fixed: Mapping = dataclasses.field(default_factory=dict)
    read: Callable | None = None
    write: Callable | None = None


def from_keras_hub(backbone, **arguments):
    """Builds the model of ours that computes what a backbone of KerasHub computes.

    Args:
        backbone: A `keras_hub.models.BertBackbone`, or that of RoBERTa, ALBERT,
            DistilBERT, DeBERTa v3, GPT-2 or ViT.
        **arguments: Arguments of our model that a backbone does not have, such as
            `head`, `num_classes` or `tokenizer`. A head begins with random weights.

    Returns:
        A `BERT`, `RoBERTa`, `ALBERT`, `DistilBERT`, `DeBERTaV2`, `GPT2` or `ViT`.

    Raises:
        ValueError: There is no such model of ours, or an argument is another one's.

    Example:

    >>> import keras_hub
    >>> backbone = keras_hub.models.BertBackbone(
    ...     vocabulary_size=20, num_layers=1, num_heads=2, hidden_dim=8,
    ...     intermediate_dim=16,
    ... )
    >>> model = from_keras_hub(backbone, head="classification", num_classes=3)
    >>> type(model).__name__, model.output_shape
    ('BERT', (None, 3))
    """
    kind = type(backbone).__name__
    layout = LAYOUTS.get(kind)
    if layout is None:
        inner = type(getattr(backbone, "backbone", None)).__name__
        advice = ""
        if inner in LAYOUTS:
            advice = (
                " Pass its `backbone`, and ask for a `head`, which is trained anew."
            )
        raise ValueError(
            f"`backbone` must be one of KerasHub's {', '.join(LAYOUTS)}. Received: "
            f"{kind}.{advice}"
        )
    config = backbone.get_config()
    given = {field.argument: config[field.name] for field in layout.fields}
    given.update(layout.fixed)
    if layout.read is not None:
        given.update(layout.read(config))
    bound = sorted(arguments.keys() & given.keys() - FREE)
    if bound:
        raise ValueError(
            f"{', '.join(bound)} is what the backbone has. Received: "
            f"{ {name: arguments[name] for name in bound} } and a backbone with "
            f"{ {name: given[name] for name in bound} }. Leave it out."
        )
    given = {"dtype": backbone.dtype_policy.name, **given, **arguments}
    model = keras.saving.get_registered_object(f"keras_attention>{layout.model}")(
        **given
    )
    theirs = {weight.path: weight for weight in backbone.weights}
    for transfer in _transfers(model, layout):
        arrays = [keras.ops.convert_to_numpy(theirs[name]) for name in transfer.names]
        arrays = transfer.rule.transform.load(arrays)
        for weight, array in zip(transfer.weights.values(), arrays, strict=True):
            weight.assign(np.ascontiguousarray(array))
    return model


def to_keras_hub(model):
    """Builds the backbone of KerasHub that computes what a model of ours computes.

    Heads stay behind: those of KerasHub are other layers.

    Args:
        model: A `BERT`, `RoBERTa`, `ALBERT`, `DistilBERT`, `DeBERTaV2`, `GPT2` or
            `ViT`.

    Returns:
        A backbone, such as a `keras_hub.models.BertBackbone`.

    Raises:
        ImportError: KerasHub is not installed.
        ValueError: KerasHub has no such model, or computes something in another way.

    Example:

    >>> from keras_attention.applications import GPT2
    >>> model = GPT2(vocabulary_size=20, hidden_dim=8, num_layers=1, num_heads=2)
    >>> type(to_keras_hub(model)).__name__
    'GPT2Backbone'
    """
    found = {layout.model: kind for kind, layout in LAYOUTS.items()}
    kind = found.get(type(model).__name__)
    if kind is None:
        raise ValueError(
            f"`model` must be one of {', '.join(sorted(found))}. Received: "
            f"{type(model).__name__}"
        )
    models = import_package(
        "keras_hub.models", "keras-hub", "keras-nlp", "`to_keras_hub`"
    )
    layout = LAYOUTS[kind]
    arguments = {name: getattr(model, name) for name in argument_defaults(type(model))}
    arguments.update(model.get_config())
    _refuse_what_differs(model, kind, layout, arguments)
    config = {field.name: arguments[field.argument] for field in layout.fields}
    if layout.write is not None:
        config.update(layout.write(arguments))
    backbone = getattr(models, kind)(**config, dtype=model.dtype_policy.name)
    theirs = {weight.path: weight for weight in backbone.weights}
    for transfer in _transfers(model, layout):
        arrays = [keras.ops.convert_to_numpy(w) for w in transfer.weights.values()]
        arrays = transfer.rule.transform.save(arrays)
        for name, array in zip(transfer.names, arrays, strict=True):
            theirs.pop(name).assign(np.ascontiguousarray(array))
    if theirs:
        names = ", ".join(sorted(theirs))
        if not all(name.startswith(POOLER) for name in theirs):
            raise ValueError(
                f"This {kind} has weights that have no place in {model.name!r}: "
                f"{names}. Please report which version of KerasHub is installed."
            )
        warnings.warn(
            f"{model.name!r} has no pooler, so {names} stay random.", stacklevel=2
        )
    return backbone


def _refuse_what_differs(model, kind, layout, arguments):
    """Refuses a model that the backbone cannot compute."""
    said = {field.argument for field in layout.fields}
    if layout.write is not None:
        said |= layout.read(layout.write(arguments)).keys()
    said |= FREE - layout.fixed.keys()
    expected = {**argument_defaults(type(model)), **layout.fixed}
    for name, value in expected.items():
        if name in said or _plain(arguments[name]) == _plain(value):
            continue
        raise ValueError(
            f"KerasHub's {kind} computes {name}={value!r} alone. Received: a model "
            f"with {name}={arguments[name]!r}. Where the difference is small enough "
            f"for you, load it with {name}={value!r} first."
        )


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def _transfers(model, layout):
    """The rules of the body, with the weights that they are about."""
    arguments = {**argument_defaults(type(model)), **model.get_config()}
    rules = layout.rules(arguments)
    heads = [layer for layers in model.head_layers().values() for layer in layers]
    weights = {
        path: weight
        for path, weight in named_weights(model).items()
        if any(rule.numbers_in(path) is not None for rule in rules)
        or not layer_of(path, heads)
    }
    return match(rules, weights)


# Rules that several have in common.


def heads(count):
    """Transforms of kernels into heads, of kernels out of heads, and of biases."""
    into = each(
        lambda kernel: kernel.reshape(len(kernel), -1),
        lambda kernel: kernel.reshape(len(kernel), count, -1),
    )
    out_of = each(
        lambda kernel: kernel.reshape(-1, kernel.shape[-1]),
        lambda kernel: kernel.reshape(count, -1, kernel.shape[-1]),
    )
    bias = each(lambda bias: bias.reshape(-1), lambda bias: bias.reshape(count, -1))
    return into, out_of, bias


def norm(theirs, ours):
    return tuple(
        Rule(f"{theirs}/{name}", f"{ours}/{name}") for name in ("gamma", "beta")
    )


def dense(theirs, ours):
    return tuple(Rule(f"{theirs}/{name}", ours + name) for name in ("kernel", "bias"))


def block_rules(theirs, ours, num_heads, attention, norms, mlp, is_split=True):
    """The rules of a block.

    Args:
        theirs: Path of the block there.
        ours: Path of the block here.
        num_heads: Number of heads.
        attention: Name of their attention layer.
        norms: Names of their norms of attention and feed-forward network.
        mlp: Names of the two layers of their feed-forward network.
        is_split: Whether their output kernel has an axis of heads.
    """
    into, out_of, bias = heads(num_heads)
    parts = [f"{theirs}/{attention}/{name}" for name in ("query", "key", "value")]
    output, mine = f"{theirs}/{attention}/attention_output", f"{ours}/self_attention"
    return (
        Rule(
            tuple(f"{part}/kernel" for part in parts),
            f"{mine}/query_key_value_kernel",
            side_by_side(into),
        ),
        Rule(
            tuple(f"{part}/bias" for part in parts),
            f"{mine}/query_key_value_bias",
            side_by_side(bias),
        ),
        Rule(
            f"{output}/kernel",
            f"{mine}/output_kernel",
            out_of if is_split else each(np.asarray, np.asarray),
        ),
        Rule(f"{output}/bias", f"{mine}/output_bias"),
        *norm(f"{theirs}/{norms[0]}", f"{mine}_residual/norm"),
        *dense(f"{theirs}/{mlp[0]}", f"{ours}/feed_forward/hidden_"),
        *dense(f"{theirs}/{mlp[1]}", f"{ours}/feed_forward/output_"),
        *norm(f"{theirs}/{norms[1]}", f"{ours}/feed_forward_residual/norm"),
    )


TEXT_MLP = ("feedforward_intermediate_dense", "feedforward_output_dense")
TEXT_NORMS = ("self_attention_layer_norm", "feedforward_layer_norm")


def text_blocks(
    arguments,
    theirs="transformer_layer_{i}",
    ours="encoder",
    attention="self_attention_layer",
    **options,
):
    """The rules of the blocks of a model of texts."""
    return block_rules(
        theirs,
        f"{ours}/block_{{i}}",
        arguments["num_heads"],
        attention,
        TEXT_NORMS,
        TEXT_MLP,
        **options,
    )


def tables(names, prefix=""):
    """The rules of tables of tokens, positions and segments."""
    ours = {"position": "position_embedding/table"}
    return tuple(
        Rule(
            f"{prefix}{name}_embedding/embeddings",
            f"embedding/{ours.get(name, f'{name}_embedding/embeddings')}",
        )
        for name in names
    )


EMBEDDING_NORM = norm("embeddings_layer_norm", "embedding/norm")


def text_fields(*more):
    return (
        Field("vocabulary_size", "vocabulary_size"),
        Field("num_layers", "num_layers"),
        Field("num_heads", "num_heads"),
        Field("hidden_dim", "hidden_dim"),
        Field("intermediate_dim", "mlp_dim"),
        Field("max_sequence_length", "max_length"),
        Field("dropout", "dropout"),
        *more,
    )


def bert_rules(arguments):
    return (
        *tables(("token", "position", "segment")),
        *EMBEDDING_NORM,
        *text_blocks(arguments),
        *dense("pooled_dense", "pooler/"),
    )


def roberta_rules(arguments):
    """Theirs has no segments and no rows of positions in front of the first token."""

    def load(arrays):
        rows = np.pad(arrays[0], [(2, 0), (0, 0)])
        return [rows, np.zeros_like(rows[:1])]

    def save(arrays):
        rows, segment = arrays
        return [rows[2:] + segment]

    return (
        *tables(("token",), "embeddings/"),
        Rule(
            "embeddings/position_embedding/embeddings",
            (
                "embedding/position_embedding/table",
                "embedding/segment_embedding/embeddings",
            ),
            Transform(load, save),
        ),
        *EMBEDDING_NORM,
        *text_blocks(arguments),
    )


def albert_rules(arguments):
    size = arguments["group_size"]
    places = [(i, j) for i in range(arguments["num_groups"]) for j in range(size)]
    blocks = [
        rule
        for number, (i, j) in enumerate(places)
        for rule in block_rules(
            f"group_{i}_inner_layer_{j}",
            f"encoder/block_{number}",
            arguments["num_heads"],
            "self_attention_layer",
            TEXT_NORMS,
            TEXT_MLP,
        )
    ]
    return (
        *tables(("token", "position", "segment")),
        *EMBEDDING_NORM,
        *dense("embedding_projection", "embedding/projection/"),
        *blocks,
        *dense("pooled_dense", "pooler/"),
    )


def distilbert_rules(arguments):
    return (
        *tables(("token", "position"), "token_and_position_embedding/"),
        *EMBEDDING_NORM,
        *text_blocks(arguments),
    )


def deberta_rules(arguments):
    distances = "encoder/block_0/self_attention/position_scores/distances/"
    return (
        *tables(("token",)),
        *EMBEDDING_NORM,
        Rule("rel_embedding/rel_embedding", distances + "table"),
        *norm("rel_embedding/rel_embeddings_layer_norm", distances + "norm"),
        *text_blocks(
            arguments, "disentangled_attention_encoder_layer_{i}", is_split=False
        ),
    )


def gpt2_rules(arguments):
    return (
        *tables(("token", "position")),
        *text_blocks(arguments, ours="decoder", attention="self_attention"),
        *norm("layer_norm", "decoder/norm"),
    )


def read_gpt2(config):
    return {name: config["dropout"] for name in ("dropout", "embedding_dropout")}


def write_gpt2(arguments):
    width = arguments["mlp_dim"] or 4 * arguments["hidden_dim"]
    return {"intermediate_dim": width, "dropout": arguments["dropout"]}


VIT_FRONT = "vit_patching_and_embedding/"


def vit_rules(arguments):
    in_front = each(lambda x: x[0], lambda x: x[None])
    return (
        *dense(VIT_FRONT + "patch_embedding", "patch_embedding/"),
        Rule(VIT_FRONT + "class_token", "class_token/tokens", in_front),
        Rule(VIT_FRONT + "position_embedding/embeddings", "position_embedding/table"),
        *(
            rule
            for i in range(arguments["num_layers"])
            for rule in block_rules(
                f"vit_encoder/transformer_block_{i + 1}",
                f"encoder/block_{i}",
                arguments["num_heads"],
                "mha",
                ("ln_1", "ln_2"),
                ("mlp/dense_1", "mlp/dense_2"),
            )
        ),
        *norm("vit_encoder/ln", "norm"),
    )


def read_vit(config):
    known = {
        "use_mha_bias": True,
        "use_mlp_bias": True,
        "use_class_token": True,
        "use_patch_bias": True,
        "data_format": "channels_last",
    }
    for name, value in known.items():
        if config.get(name, value) != value:
            raise ValueError(
                f"Our ViT has {name}={value!r} alone. Received: a backbone with "
                f"{name}={config[name]!r}"
            )
    *size, channels = config["image_shape"]
    return {
        "image_size": tuple(size),
        "num_channels": channels,
        "patch_size": tuple(config["patch_size"]),
    }


def write_vit(arguments):
    size, patch = (
        (side, side) if isinstance(side, int) else tuple(side)
        for side in (arguments["image_size"], arguments["patch_size"])
    )
    return {
        "image_shape": (*size, arguments["num_channels"]),
        "patch_size": patch,
        "data_format": "channels_last",
    }


SEGMENTS = Field("num_segments", "num_segments")
LAYOUTS = {
    "BertBackbone": Layout(
        "BERT", text_fields(SEGMENTS), bert_rules, {"activation": "gelu_tanh"}
    ),
    "RobertaBackbone": Layout(
        "RoBERTa", text_fields(), roberta_rules, {"padding_id": 1}
    ),
    "AlbertBackbone": Layout(
        "ALBERT",
        text_fields(
            SEGMENTS,
            Field("embedding_dim", "table_dim"),
            Field("num_groups", "num_groups"),
            Field("num_inner_repetitions", "group_size"),
        ),
        albert_rules,
    ),
    "DistilBertBackbone": Layout("DistilBERT", text_fields(), distilbert_rules),
    "DebertaV3Backbone": Layout(
        "DeBERTaV2", text_fields(Field("bucket_size", "num_buckets")), deberta_rules
    ),
    "GPT2Backbone": Layout(
        "GPT2", text_fields(), gpt2_rules, read=read_gpt2, write=write_gpt2
    ),
    "ViTBackbone": Layout(
        "ViT",
        (
            Field("num_layers", "num_layers"),
            Field("num_heads", "num_heads"),
            Field("hidden_dim", "hidden_dim"),
            Field("mlp_dim", "mlp_dim"),
            Field("dropout_rate", "dropout"),
            Field("attention_dropout", "attention_dropout"),
            Field("layer_norm_epsilon", "epsilon"),
        ),
        vit_rules,
        read=read_vit,
        write=write_vit,
    ),
}
