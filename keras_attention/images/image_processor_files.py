"""Files that say what a published vision model was trained on, as `ImageProcessor`."""

import math
import pathlib

from keras_attention.files import read_json
from keras_attention.images.image_processor import IMAGENET
from keras_attention.images.image_processor import ImageProcessor
from keras_attention.images.image_processor import INTERPOLATIONS
from keras_attention.images.image_processor import of_channels
from keras_attention.images.image_processor import PROCESSOR

# What a file does not say, by the class that wrote it.
DEFAULTS = {
    "ViT": {
        "do_resize": True,
        "size": {"height": 224, "width": 224},
        "resample": 2,
        "do_center_crop": False,
        "crop_size": None,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": 0.5,
        "image_std": 0.5,
        "default_to_square": True,
    },
}
DEFAULTS["DeiT"] = {
    **DEFAULTS["ViT"],
    "size": {"height": 256, "width": 256},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
}
DEFAULTS["Beit"] = {**DEFAULTS["ViT"], "resample": 3}
# With the mean and deviation of CLIP (Radford et al. 2021).
DEFAULTS["Bit"] = {
    **DEFAULTS["ViT"],
    "size": {"shortest_edge": 224},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "default_to_square": False,
}
DEFAULTS["ViTHybrid"] = DEFAULTS["Bit"]
# Below that size the pictures are larger first, by the fraction that is cut out.
NO_CROP = 384
DEFAULTS["ConvNext"] = {
    **DEFAULTS["ViT"],
    "size": {"shortest_edge": 384},
    "resample": 3,
    "crop_pct": 224 / 256,
    "default_to_square": False,
}
# Fields that change nothing here: pictures become RGB, and channels come last.
IGNORED = frozenset(
    """
    auto_map data_format device disable_grouping do_convert_rgb feature_extractor_type
    image_processor_type input_data_format processor_class return_tensors
    """.split()
)


def load_image_processor(folder):
    """What a checkpoint says of its pictures: `preprocessor_config.json`, or timm's.

    Args:
        folder: Folder of the checkpoint.

    Returns:
        An `ImageProcessor`, or `None` where there is no such file.

    Raises:
        ValueError: The file asks for something that is not known here.

    Example:

    >>> import tempfile
    >>> load_image_processor(tempfile.mkdtemp()) is None
    True
    """
    path = pathlib.Path(folder) / PROCESSOR
    if path.is_file():
        return read_processor(read_json(path), path)
    path = pathlib.Path(folder) / "config.json"
    config = read_json(path) if path.is_file() else {}
    if "pretrained_cfg" in config:
        return read_timm_processor(config["pretrained_cfg"], path)
    return None


def read_processor(config, place):
    """The processor that a `preprocessor_config.json` describes.

    Args:
        config: What it holds.
        place: Where it was read, for messages.

    Returns:
        An `ImageProcessor`.
    """
    written_by = config.get("image_processor_type") or config.get(
        "feature_extractor_type", "ViTImageProcessor"
    )
    model = written_by.removesuffix("Fast").removesuffix("Pil")
    model = model.removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    if model not in DEFAULTS:
        _refuse(place, "image_processor_type", written_by, "ViTImageProcessor")
    defaults = DEFAULTS[model]
    for name, value in config.items():
        is_known = name in defaults or name in IGNORED or name.startswith("_")
        if not is_known and value not in (None, False):
            _refuse(place, name, value, None)
    said = {name: value for name, value in config.items() if value is not None}
    said = {**defaults, **said}
    if said["resample"] not in INTERPOLATIONS:
        known = "0 (nearest), 2 (bilinear) and 3 (bicubic)"
        _refuse(place, "resample", said["resample"], known)
    arguments = {"interpolation": INTERPOLATIONS[said["resample"]]}
    if said["do_resize"] and model == "ConvNext":
        arguments |= _read_fraction(place, said)
    elif said["do_resize"]:
        size = said["size"]
        if isinstance(size, int) and not said["default_to_square"]:
            size = {"shortest_edge": size}
        if isinstance(size, dict) and set(size) == {"shortest_edge"}:
            arguments["shortest_edge"] = size["shortest_edge"]
        else:
            arguments["image_size"] = _read_size(place, "size", size)
    if said["do_center_crop"]:
        crop_size = _read_size(place, "crop_size", said["crop_size"])
        arguments["crop_size"] = crop_size
    arguments["scale"] = said["rescale_factor"] if said["do_rescale"] else 1
    names = {"mean": "image_mean", "std": "image_std"}
    for ours, name in names.items():
        arguments[ours] = said[name] if said["do_normalize"] else None
    return ImageProcessor(**arguments)


def read_timm_processor(config, place):
    """The processor that the `pretrained_cfg` of a checkpoint of timm describes.

    timm resizes to the size over `crop_pct` and cuts out the middle. Where an odd
    number of pixels is left over, its middle may be one further on.

    Args:
        config: The `pretrained_cfg`.
        place: Where it was read, for messages.

    Returns:
        An `ImageProcessor`.

    Example:

    >>> config = {"input_size": [3, 224, 224], "crop_pct": 0.9, "mean": [0.5] * 3}
    >>> processor = read_timm_processor(config, "config.json")
    >>> processor.shortest_edge, processor.crop_size, processor.mean
    (248, (224, 224), [0.5, 0.5, 0.5])
    """
    # These are the defaults of timm.
    _, *size = config.get("input_size") or (3, 224, 224)
    fraction = config.get("crop_pct") or 0.875
    interpolation = config.get("interpolation") or "bicubic"
    if interpolation not in INTERPOLATIONS.values():
        known = ", ".join(INTERPOLATIONS.values())
        _refuse(place, "interpolation", interpolation, known)
    larger = [math.floor(side / fraction) for side in size]
    mode = config.get("crop_mode") or "center"
    arguments = {"crop_size": size}
    if mode == "squash":
        arguments["image_size"] = larger
    elif mode == "center" and larger[0] == larger[1]:
        arguments["shortest_edge"] = larger[0]
    elif mode == "center":
        _refuse(place, "input_size", config["input_size"], "squares")
    else:
        _refuse(place, "crop_mode", mode, "center and squash")
    return ImageProcessor(
        **arguments,
        interpolation=interpolation,
        mean=config.get("mean") or IMAGENET["mean"],
        std=config.get("std") or IMAGENET["std"],
    )


def write_timm_processor(processor):
    """What `read_timm_processor` reads, for timm.

    Args:
        processor: An `ImageProcessor`.

    Returns:
        Dict, fields of a `pretrained_cfg`.

    Raises:
        ValueError: timm has no such processor.

    Example:

    >>> config = write_timm_processor(ImageProcessor(image_size=(2, 4)))
    >>> config["crop_mode"], config["crop_pct"], config["mean"]
    ('squash', 1.0, [0.5, 0.5, 0.5])
    """
    size, edge = processor.output_size, processor.shortest_edge
    larger = processor.image_size or (edge, edge)
    fraction = None
    if size is not None and None not in larger:
        # timm rounds down what is left of the division.
        fractions = [(s / x, s / (x + 0.5)) for s, x in zip(size, larger, strict=True)]
        for each in [fraction for pair in fractions for fraction in pair]:
            if tuple(math.floor(side / each) for side in size) == tuple(larger):
                fraction = fraction or each
    if fraction is None or (edge is not None and size[0] != size[1]):
        raise ValueError(
            f"timm has no processor with image_size={processor.image_size}, "
            f"shortest_edge={edge} and crop_size={processor.crop_size}."
        )
    if not math.isclose(processor.scale, 1 / 255):
        raise ValueError(f"timm has no processor with scale={processor.scale}.")
    return {
        "interpolation": processor.interpolation,
        "crop_pct": fraction,
        "crop_mode": "squash" if edge is None else "center",
        "mean": of_channels(processor.mean, 0.0).tolist(),
        "std": of_channels(processor.std, 1.0).tolist(),
    }


def _read_fraction(place, said):
    """A middle that is cut out of small pictures; large ones are squashed."""
    size = said["size"]
    side = size.get("shortest_edge") if isinstance(size, dict) else size
    if not isinstance(side, int):
        _refuse(place, "size", size, "shortest_edge")
    if side >= NO_CROP:
        return {"image_size": side}
    return {"shortest_edge": int(side / said["crop_pct"]), "crop_size": side}


def _read_size(place, name, size):
    if isinstance(size, dict):
        if set(size) != {"height", "width"}:
            _refuse(place, name, size, "height and width, or shortest_edge")
        return size["height"], size["width"]
    if size is None:
        _refuse(place, name, size, "height and width")
    return size


def _refuse(place, name, value, known):
    raise ValueError(
        f"{place} has {name}={value!r}, which is not known here"
        + (f". Known: {known}" if known else "")
        + ". Move the file away, and pass an `image_processor` of your own."
    )
