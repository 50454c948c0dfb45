"""ViT as the library transformers publishes it."""

import numpy as np

from keras_attention.checkpoints.family import ACTIVATIONS
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.family import Field
from keras_attention.checkpoints.labels import read_labels
from keras_attention.checkpoints.labels import write_labels
from keras_attention.checkpoints.rules import AXIS_IN_FRONT
from keras_attention.checkpoints.rules import CONVOLUTION
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import TRANSPOSED

OURS = "encoder/block_{i}/"
# The cubic kernel of PyTorch; that of TensorFlow, JAX and Pillow has -0.5.
SHARPNESS = -0.75


def stretch_positions(table, saved, arguments, weights=None):
    """Fits the positions of patches to images of another size, by cubic splines.

    Dosovitskiy et al. 2021, Section 3.2: positions are stretched over the new grid.

    Args:
        table: Positions of the published model, `(rows * columns, D)`, those of the
            tokens in front of the patches first, if they have any.
        saved: Arguments of the published model.
        arguments: Arguments of ours. More tokens in front get zeros.
        weights: Function from two numbers of points to how much each of the old ones
            counts for each of the new ones. Defaults to `cubic_weights`.

    Returns:
        The same for ours.

    Raises:
        ValueError: Ours has fewer tokens in front of the patches that have positions.
    """
    weights = cubic_weights if weights is None else weights
    old, new = grid_of(saved), grid_of(arguments)
    first, wanted = table.shape[0] - old[0] * old[1], prefix_positions(arguments)
    if first > wanted:
        raise ValueError(
            f"The checkpoint has positions for {first} tokens in front of the patches, "
            f"the model for {wanted}. Leave `use_class_token` and "
            "`use_prefix_positions` as they were saved."
        )
    grid = np.reshape(table[first:], (*old, -1))
    grid = np.einsum("ab,bcd->acd", weights(old[0], new[0]), grid)
    grid = np.einsum("ab,cbd->cad", weights(old[1], new[1]), grid)
    in_front = np.pad(table[:first], ((0, wanted - first), (0, 0)))
    return np.concatenate([in_front, np.reshape(grid, (new[0] * new[1], -1))])


def prefix_positions(arguments):
    """How many tokens in front of the patches have positions."""
    if not arguments["use_prefix_positions"]:
        return 0
    return arguments["num_registers"] + int(arguments["use_class_token"])


def grid_of(arguments):
    """Rows and columns of patches."""
    sides, sizes = (
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (arguments["image_size"], arguments["patch_size"])
    )
    return tuple(side // size for side, size in zip(sides, sizes, strict=True))


def cubic_weights(old, new):
    """How much each of `old` points counts for each of `new`, `(new, old)`.

    Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing",
    Equation 15. The points are the middles of cells; the ends repeat.
    """
    places = (np.arange(new) + 0.5) * old / new - 0.5
    before = np.floor(places).astype(int)
    weights = np.zeros((new, old))
    for step in range(-1, 3):
        distance = np.abs(places - before - step)
        near = (SHARPNESS + 2) * distance**3 - (SHARPNESS + 3) * distance**2 + 1
        far = SHARPNESS * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        weight = np.where(distance <= 1, near, far)
        index = np.clip(before + step, 0, old - 1)
        np.add.at(weights, (np.arange(new), index), weight)
    return weights


def linear(published, ours, **options):
    """The rules of a `Linear`."""
    return (
        Rule(published + ".weight", ours + "kernel", TRANSPOSED, **options),
        Rule(published + ".bias", ours + "bias", **options),
    )


def norm(published, ours, **options):
    """The rules of a `LayerNorm`."""
    return (
        Rule(published + ".weight", ours + "/gamma", **options),
        Rule(published + ".bias", ours + "/beta", **options),
    )


def front(class_token, positions, projection, resize):
    """The rules of what makes tokens of patches."""
    return (
        Rule(class_token, "class_token/tokens", AXIS_IN_FRONT),
        Rule(positions, "position_embedding/table", AXIS_IN_FRONT, resize=resize),
        Rule(projection + ".weight", "patch_embedding/kernel", CONVOLUTION),
        Rule(projection + ".bias", "patch_embedding/bias"),
    )


def options(hidden_dim, **kwargs):
    """The rules of what ViT has on request, by the names of timm."""
    attention, block = OURS + "self_attention/", "blocks.{i}."
    sizes = (hidden_dim, 2 * hidden_dim)  # of the query, of key and value
    return (
        Rule("reg_token", "registers/tokens", AXIS_IN_FRONT, **kwargs),
        *norm(block + "attn.q_norm", attention + "query_norm", **kwargs),
        *norm(block + "attn.k_norm", attention + "key_norm", **kwargs),
        Rule(
            block + "ls1.gamma", OURS + "self_attention_residual/scale/scale", **kwargs
        ),
        Rule(block + "ls2.gamma", OURS + "feed_forward_residual/scale/scale", **kwargs),
        Rule("attn_pool.latent", "pooling/query", **kwargs),
        Rule(
            ("attn_pool.q.weight", "attn_pool.kv.weight"),
            "pooling/attention/query_key_value_kernel",
            side_by_side(TRANSPOSED, sizes=sizes),
            **kwargs,
        ),
        Rule(
            ("attn_pool.q.bias", "attn_pool.kv.bias"),
            "pooling/attention/query_key_value_bias",
            side_by_side(sizes=sizes),
            **kwargs,
        ),
        *linear("attn_pool.proj", "pooling/attention/output_", **kwargs),
        *norm("attn_pool.norm", "pooling_norm", **kwargs),
        *linear("attn_pool.mlp.fc1", "pooling_feed_forward/hidden_", **kwargs),
        *linear("attn_pool.mlp.fc2", "pooling_feed_forward/output_", **kwargs),
    )


BLOCK = "vit.encoder.layer.{i}."
ATTENTION = BLOCK + "attention.attention."
RULES = (
    *front(
        "vit.embeddings.cls_token",
        "vit.embeddings.position_embeddings",
        "vit.embeddings.patch_embeddings.projection",
        stretch_positions,
    ),
    Rule(
        tuple(ATTENTION + f"{part}.weight" for part in ("query", "key", "value")),
        OURS + "self_attention/query_key_value_kernel",
        side_by_side(TRANSPOSED),
    ),
    Rule(
        tuple(ATTENTION + f"{part}.bias" for part in ("query", "key", "value")),
        OURS + "self_attention/query_key_value_bias",
        side_by_side(),
    ),
    *linear(BLOCK + "attention.output.dense", OURS + "self_attention/output_"),
    *norm(BLOCK + "layernorm_before", OURS + "self_attention_residual/norm"),
    *norm(BLOCK + "layernorm_after", OURS + "feed_forward_residual/norm"),
    *linear(BLOCK + "intermediate.dense", OURS + "feed_forward/hidden_"),
    *linear(BLOCK + "output.dense", OURS + "feed_forward/output_"),
    *norm("vit.layernorm", "norm"),
    *linear("vit.pooler.dense", "pooler/", optional=True),
    *linear("classifier", "classifier/"),
)


def rules(arguments):
    """The table of transformers, and what no file has but a model may be asked for."""
    return (*RULES, *options(arguments["hidden_dim"], optional=True))


def read(config):
    if config.get("architectures") == ["ViTForImageClassification"]:
        return read_labels(config)
    return {"use_pooler": config.get("add_pooling_layer", True)}


def write(arguments):
    if arguments["num_classes"] is not None:
        return write_labels(arguments)
    # A field of ours: transformers adds its pooler in any case.
    return {} if arguments["use_pooler"] else {"add_pooling_layer": False}


# What transformers knows: a class token, which is read, and nothing else in front.
PLAIN = {
    "use_class_token": True,
    "num_registers": 0,
    "use_prefix_positions": True,
    "query_key_norm": None,
    "layer_scale": None,
    "pooling": "token",
}

VIT_FAMILY = Family(
    model_type="vit",
    architectures={
        "ViTModel": {"num_classes": None, "class_names": None, **PLAIN},
        "ViTForImageClassification": PLAIN,
    },
    fields=(
        Field("image_size", "image_size", 224),
        Field("patch_size", "patch_size", 16),
        Field("num_channels", "num_channels", 3),
        Field("hidden_size", "hidden_dim", 768),
        Field("num_hidden_layers", "num_layers", 12),
        Field("num_attention_heads", "num_heads", 12),
        Field("intermediate_size", "mlp_dim", 3072),
        Field("hidden_act", "activation", "gelu", ACTIVATIONS),
        Field("layer_norm_eps", "epsilon", 1e-12),
        Field("hidden_dropout_prob", "dropout", 0.0),
        Field("attention_probs_dropout_prob", "attention_dropout", 0.0),
        Field("qkv_bias", "use_attention_bias", True),
    ),
    rules=rules,
    fixed={"pooler_act": "tanh"},
    # Of masked images, and of a pooler as wide as the tokens.
    ignored=("add_pooling_layer", "encoder_stride", "pooler_output_size"),
    prefix="vit.",
    harmless=(r"pooler\.dense\.(weight|bias)",),
    read=read,
    write=write,
)
