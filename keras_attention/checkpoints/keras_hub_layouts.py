"""How KerasHub's backbones correspond to our models: their arguments, their weights."""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping

import numpy as np

from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import each
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import Transform


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
