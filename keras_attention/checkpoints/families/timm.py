"""Models as the library timm publishes them: a name, and what differs from it."""

from keras_attention.checkpoints.family import Family
from keras_attention.images.image_processor import IMAGENET
from keras_attention.images.image_processor import ImageProcessor
from keras_attention.images.image_processor_files import write_timm_processor

# The fields of a `config.json` of timm.
CONFIG_FIELDS = (
    "architecture",
    "global_pool",
    "label_descriptions",
    "label_names",
    "license",
    "model_args",
    "num_classes",
    "num_features",
    "pretrained_cfg",
    "tags",
)
# What timm calls an activation, and we.
ACTIVATIONS = {name: name for name in ("gelu", "gelu_tanh", "relu", "silu", "tanh")}


def timm_family(
    *,
    is_ours,
    read_name,
    written_as,
    fields,
    rules,
    first_conv,
    classifier,
    fixed=None,
    ours_fixed=None,
    ignored=(),
    image_field="img_size",
    normalization=IMAGENET,
    read=None,
    write=None,
    **options,
):
    """A family of models of timm.

    Args:
        is_ours: Function of a name of timm's models to whether it is one of these.
        read_name: Function of such a name to the arguments of timm that it stands for.
        written_as: The name under which models are written, with all arguments of
            timm beside it; or a function of our arguments to it.
        fields: List of `Field`, of the arguments of timm.
        rules: As those of a `Family`.
        first_conv: Name of the convolution that reads the pictures.
        classifier: Name, or tuple of names, of the layers that classify.
        fixed: Dict from arguments of timm to the one value of each that is known.
        ours_fixed: Dict from our arguments to the one value that timm's models have.
        ignored: Arguments of timm that change nothing in what is computed.
        image_field: What timm calls the size of images, or `None` where it has no
            argument for it.
        normalization: Mean and deviation of the pictures, where no processor is given.
        read: Function of timm's arguments and ours to more of ours.
        write: Function of our arguments to more of timm's.
        **options: Others of a `Family`.

    Returns:
        A `Family`.
    """
    fixed, ours_fixed = fixed or {}, ours_fixed or {}

    def read_config(config):
        name = config["architecture"]
        changes = dict(config.get("model_args") or {})
        size = (config.get("pretrained_cfg") or {}).get("input_size")
        if size is not None and image_field is not None:
            size = size[1] if size[1] == size[2] else size[1:]
            changes.setdefault(image_field, size)
        if config.get("global_pool") is not None:
            changes.setdefault("global_pool", config["global_pool"])
        said = {**read_name(name), **changes}
        place = f"timm's {name!r}"
        known = {field.name for field in fields} | {*ignored, "num_classes"}
        unknown = [
            f"{key}={value!r}"
            for key, value in sorted(said.items())
            if key not in known and (key not in fixed or value != fixed[key])
        ]
        if unknown:
            raise ValueError(
                f"{place} has model_args that are not known here: {', '.join(unknown)}."
            )
        arguments = {field.argument: field.read(said, place) for field in fields}
        num_classes = config.get("num_classes", said.get("num_classes", 1000))
        arguments |= {
            **ours_fixed,
            "num_classes": num_classes or None,
            "class_names": config.get("label_names"),
        }
        if size is not None and image_field is None:
            arguments["image_size"] = size[1] if size[1] == size[2] else size[1:]
        return {**arguments, **(read(said, arguments) if read else {})}

    def write_config(arguments):
        for name, value in ours_fixed.items():
            if arguments[name] != value:
                raise ValueError(f"timm has no such model: {name}={arguments[name]!r}.")
        size, num_classes = arguments["image_size"], arguments["num_classes"] or 0
        sides = (size, size) if isinstance(size, int) else tuple(size)
        processor = arguments["image_processor"]
        processor = processor or ImageProcessor(sides, **normalization)
        said = {field.name: field.write(arguments[field.argument]) for field in fields}
        said |= write(arguments) if write else {}
        config = {
            "architecture": written_as(arguments)
            if callable(written_as)
            else written_as,
            "num_classes": num_classes,
            "model_args": said,
            "pretrained_cfg": {
                "input_size": [arguments["num_channels"], *sides],
                "fixed_input_size": image_field is not None,
                "first_conv": first_conv,
                "classifier": classifier,
                "num_classes": num_classes,
                **write_timm_processor(processor.fitted_to(sides)),
            },
        }
        if "global_pool" in said:
            config["global_pool"] = said["global_pool"]
        if arguments["class_names"] is not None:
            config["label_names"] = list(arguments["class_names"])
        return config

    return Family(
        model_type="timm",
        architectures={"timm": {}},
        fields=(),
        rules=rules,
        ignored=CONFIG_FIELDS,
        read=read_config,
        write=write_config,
        is_ours=lambda config: is_ours(str(config.get("architecture"))),
        **options,
    )


def read_table(names, example):
    """A function that reads a name of timm from a table.

    Args:
        names: Dict from a name, without the tag of its weights, to arguments of timm.
        example: What the names begin with, for messages.

    Returns:
        A function of a name, with or without a tag.

    Example:

    >>> read_table({"resnet18": {"layers": [2, 2, 2, 2]}}, "resnet")("resnet18.a1_in1k")
    {'layers': [2, 2, 2, 2]}
    """

    def read_name(name):
        bare = name.partition(".")[0]
        if bare not in names:
            raise ValueError(
                f"timm's architecture {name!r} is not known here. Known of those that "
                f"begin with {example}: {', '.join(names)}."
            )
        return dict(names[bare])

    return read_name
