"""ViT as the library transformers publishes it."""

from keras_attention.checkpoints.copies import UNUSED
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.common import query_key_value
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.labels import read_labels
from keras_attention.checkpoints.labels import write_labels
from keras_attention.checkpoints.rules import AXIS_IN_FRONT
from keras_attention.checkpoints.rules import CONVOLUTION
from keras_attention.checkpoints.rules import each
from keras_attention.checkpoints.rules import POINTWISE
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import TRANSPOSED
from keras_attention.images.grids import stretch_positions

OURS = "encoder/block_{i}/"


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


def encoder_rules(prefix):
    """The rules of transformers for what reads the tokens.

    Args:
        prefix: What stands before all names, with its dot.

    Returns:
        Tuple of rules.
    """
    return (
        *block_rules(prefix + "encoder.layer.{i}."),
        *norm(prefix + "layernorm", "norm"),
        *linear(prefix + "pooler.dense", "pooler/", optional=True),
    )


def block_rules(block):
    """The rules of transformers for a block.

    Args:
        block: What stands before its names.

    Returns:
        Tuple of rules.
    """
    return (
        *query_key_value(block + "attention.attention.", OURS + "self_attention"),
        *linear(block + "attention.output.dense", OURS + "self_attention/output_"),
        *norm(block + "layernorm_before", OURS + "self_attention_residual/norm"),
        *norm(block + "layernorm_after", OURS + "feed_forward_residual/norm"),
        *linear(block + "intermediate.dense", OURS + "feed_forward/hidden_"),
        *linear(block + "output.dense", OURS + "feed_forward/output_"),
    )


# (1, 1, D) there.
OF_TOKEN = each(lambda array: array.reshape(-1), lambda array: array[None, None])


def masked_rules(prefix):
    """The rules of transformers for what guesses masked patches.

    Args:
        prefix: What stands before all names of the body, with its dot.

    Returns:
        Tuple of rules.
    """
    return (
        Rule(prefix + "embeddings.mask_token", "mask_token/token", OF_TOKEN),
        *linear("decoder.0", "decoder/", POINTWISE),
    )


def check_stride(stride, size, place):
    """Refuses decoders whose pictures are not as large as those that are read."""
    sizes = size if isinstance(size, list | tuple) else [size] * 2
    if any(side != stride for side in sizes):
        raise ValueError(
            f"{place} has encoder_stride={stride}, and a cell of the last grid stands "
            f"for {tuple(sizes)} pixels. Known are models where both are the same."
        )


RULES = (
    *front(
        "vit.embeddings.cls_token",
        "vit.embeddings.position_embeddings",
        "vit.embeddings.patch_embeddings.projection",
        stretch_positions,
    ),
    *encoder_rules("vit."),
    *masked_rules("vit."),
    *linear("classifier", "classifier/"),
)


def rules(arguments):
    """The table of transformers, and what no file has but a model may be asked for."""
    return (*RULES, *options(arguments["hidden_dim"], optional=True))


def read(config):
    architecture = (config.get("architectures") or [""])[0]
    if architecture == "ViTForImageClassification":
        return read_labels(config)
    if architecture == "ViTForMaskedImageModeling":
        return read_masked(config)
    return {"use_pooler": config.get("add_pooling_layer", True)}


def read_masked(config):
    size = config.get("patch_size", 16)
    check_stride(config.get("encoder_stride", 16), size, "config.json")
    return {"use_pooler": False}


def write_masked(arguments):
    size = arguments["patch_size"]
    stride = size if isinstance(size, int) else size[0]
    check_stride(stride, size, "The published file")
    return {"encoder_stride": stride}


def write(arguments):
    if arguments["norm_before_pooling"] is False:
        raise ValueError("A ViT of transformers has its norm before the pooling.")
    if arguments["head"] == MASKED["head"]:
        return write_masked(arguments)
    if arguments["num_classes"] is not None:
        return write_labels(arguments)
    # A field of ours: transformers adds its pooler in any case.
    return {} if arguments["use_pooler"] else {"add_pooling_layer": False}


# The heads of the published classes, in our arguments.
CLASSES = {"head": "classification"}
BODY = {**CLASSES, "num_classes": None, "class_names": None}
MASKED = {**BODY, "head": "masked_image_model"}
# What transformers knows: a class token, which is read, and nothing else in front.
PLAIN = {
    "use_class_token": True,
    "num_registers": 0,
    "use_prefix_positions": True,
    "query_key_norm": None,
    "layer_scale": None,
    "pooling": "token",
}

FIELDS = (
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
)
VIT_FAMILY = Family(
    model_type="vit",
    architectures={
        "ViTModel": {**BODY, **PLAIN},
        "ViTForImageClassification": {**CLASSES, **PLAIN},
        "ViTForMaskedImageModeling": {**MASKED, **PLAIN},
    },
    fields=FIELDS,
    rules=rules,
    fixed={"pooler_act": "tanh"},
    # Of masked images, and of a pooler as wide as the tokens.
    ignored=("add_pooling_layer", "encoder_stride", "pooler_output_size"),
    prefix="vit.",
    # A mask token is for images with masked patches.
    harmless={
        "embeddings.mask_token": UNUSED,
        "pooler.dense.weight": UNUSED,
        "pooler.dense.bias": UNUSED,
    },
    # Only training asks for them; with classes there is no pooler.
    beside=("drop_path", "norm_before_pooling", "use_pooler"),
    read=read,
    write=write,
    module_names={
        "encoder.layer.": "layers.",
        "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
    },
)
