"""Pictures in, against the processors of transformers that use Pillow."""

import json

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.images import ImageProcessor
from keras_attention.images import load_image_processor
from keras_attention.images.image_processor_files import read_timm_processor

# Heights and widths: both larger, both smaller, one of each, one as it is.
SIZES = [(37, 53), (53, 31), (5, 7), (9, 40), (12, 20), (12, 33)]
LEVEL = 1 / 255


def pictures(rng, sizes=SIZES):
    """Noise, which resizing changes most, with the ends of the range in it."""
    return [
        rng.integers(-60, 316, (*size, 3)).clip(0, 255).astype("uint8")
        for size in sizes
    ]


def reference(name="ViTImageProcessor", **config):
    transformers = pytest.importorskip("transformers")
    return getattr(transformers, name + "Pil")(**config)


def theirs(processor, image):
    values = processor(image, input_data_format="channels_last", return_tensors="np")
    return values["pixel_values"].transpose(0, 2, 3, 1)


CONFIGS = [
    {},
    {"size": {"height": 12, "width": 20}},
    {"size": {"height": 12, "width": 20}, "resample": 3},
    {"size": {"height": 12, "width": 20}, "resample": 0},
    {"size": [20, 12], "resample": 3, "image_mean": [0.1, 0.2, 0.3]},
    {"size": {"shortest_edge": 11}, "resample": 3, "image_std": [0.5, 0.7, 0.2]},
    {"size": 17, "do_center_crop": True, "crop_size": {"height": 9, "width": 14}},
    {"size": {"shortest_edge": 9}, "do_center_crop": True, "crop_size": 14},
    {"do_resize": False, "do_center_crop": True, "crop_size": [8, 13]},
    {"do_resize": False, "do_rescale": False},
    {"size": 7, "rescale_factor": 1 / 127.5, "image_mean": 1.0, "image_std": 1.0},
    {"size": 7, "do_normalize": False},
    {"size": 7, "do_rescale": False, "image_mean": [90.0, 100, 110]},
]


@pytest.mark.once
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_it_computes_what_that_of_transformers_does(tmp_path, rng, config):
    expected = reference(**config)
    expected.save_pretrained(tmp_path)
    processor = load_image_processor(tmp_path)
    for image in pictures(rng):
        wanted = theirs(expected, image)
        np.testing.assert_allclose(processor.load([image]), wanted, atol=1e-5)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_the_layer_resizes_as_pillow_does_along_rows_then_columns(rng, interpolation):
    """Pillow 13 takes columns first where that is less work, so it is asked twice."""
    pillow = pytest.importorskip("PIL.Image")
    method = pillow.Resampling[interpolation.upper()]
    processor = ImageProcessor(image_size=(12, 20), interpolation=interpolation)
    for image in pictures(rng):
        rows = pillow.fromarray(image).resize((20, len(image)), method)
        wanted = processor.load([rows.resize((20, 12), method)])
        found = to_numpy(processor(image[None]))
        assert found.dtype == "float32"
        # One level: roundings differ where a sum is nearly a half.
        np.testing.assert_allclose(found, wanted, atol=2.01 * LEVEL)


@pytest.mark.once
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_what_is_saved_opens_there(tmp_path, rng, config):
    transformers = pytest.importorskip("transformers")
    reference(**config).save_pretrained(tmp_path)
    load_image_processor(tmp_path).save(tmp_path)
    again = transformers.ViTImageProcessorPil.from_pretrained(tmp_path)
    (image,) = pictures(rng, [(19, 33)])
    expected = theirs(reference(**config), image)
    np.testing.assert_allclose(theirs(again, image), expected, atol=1e-5)
    ours = load_image_processor(tmp_path)
    np.testing.assert_allclose(ours.load([image]), expected, atol=1e-5)


@pytest.mark.once
def test_what_a_file_leaves_out_is_what_its_class_has(tmp_path, rng):
    (image,) = pictures(rng, [(300, 280)])
    for name in ("ViT", "DeiT", "ConvNext", "Beit", "Bit"):
        name += "ImageProcessor"
        path = tmp_path / "preprocessor_config.json"
        path.write_text(json.dumps({"image_processor_type": name + "Fast"}))
        expected = theirs(reference(name), image)
        found = load_image_processor(tmp_path).load([image])
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("shape", [(300, 280), (40, 60)])
def test_convnext_cuts_a_fraction_out_of_small_pictures(tmp_path, rng, shape):
    """As files of 2022 say it, too: the size is one number."""
    (image,) = pictures(rng, [shape])
    config = {"size": 22, "crop_pct": 0.9, "resample": 2}
    expected = theirs(reference("ConvNextImageProcessor", **config), image)
    config["feature_extractor_type"] = "ConvNextFeatureExtractor"
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    processor = load_image_processor(tmp_path)
    assert (processor.shortest_edge, processor.crop_size) == (24, (22, 22))
    np.testing.assert_allclose(processor.load([image]), expected, atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(
    "config, message",
    [
        ({"resample": 1}, "resample=1.*0 .nearest., 2 .bilinear. and 3 .bicubic"),
        ({"size": {"max_height": 3, "max_width": 4}}, "size={'max_height': 3"),
        ({"do_center_crop": True}, "crop_size=None"),
        ({"do_pad": True}, "do_pad=True, which is not known here. Move the file"),
        ({"crop_pct": 0.9}, "crop_pct=0.9"),
        ({"image_processor_type": "SamImageProcessor"}, "='SamImageProcessor'.*ViTIm"),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path, config, message):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        load_image_processor(tmp_path)


@pytest.mark.once
def test_a_file_that_is_no_json_is_told(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON.*Copy or download it again"):
        load_image_processor(tmp_path)


@pytest.mark.once
def test_the_processor_of_timm():
    config = {
        "input_size": [3, 12, 12],
        "crop_pct": 0.9,
        "interpolation": "bilinear",
        "mean": [0.1, 0.2, 0.3],
        "std": [0.5, 0.6, 0.7],
    }
    processor = read_timm_processor(config, "config.json")
    own = {
        "shortest_edge": 13,
        "crop_size": (12, 12),
        "interpolation": "bilinear",
        "mean": [0.1, 0.2, 0.3],
        "std": [0.5, 0.6, 0.7],
    }
    assert {name: getattr(processor, name) for name in own} == own
    squashed = read_timm_processor({**config, "crop_mode": "squash"}, "")
    assert (squashed.image_size, squashed.shortest_edge) == ((13, 13), None)
    for changes, message in (
        ({"crop_mode": "border"}, "config.json has crop_mode='border'"),
        ({"interpolation": "lanczos"}, "interpolation='lanczos'.*nearest, bilinear"),
        ({"input_size": [3, 12, 20]}, r"input_size=\[3, 12, 20\].*Known: squares"),
    ):
        with pytest.raises(ValueError, match=message):
            read_timm_processor({**config, **changes}, "config.json")


def test_it_works_in_a_pipeline_of_tensorflow(rng):
    tf = pytest.importorskip("tensorflow")
    images = rng.integers(0, 256, (5, 7, 9, 3)).astype("uint8")
    processor = ImageProcessor(image_size=(4, 6), interpolation="bicubic")
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(2).map(processor)
    found = np.concatenate(list(dataset.as_numpy_iterator()))
    np.testing.assert_allclose(found, processor.load(list(images)), atol=2.01 * LEVEL)
    one = next(iter(tf.data.Dataset.from_tensors(images[0]).map(processor)))
    np.testing.assert_allclose(one.numpy(), found[0], atol=1e-5)


def test_it_works_in_a_model(tmp_path, rng):
    processor = ImageProcessor(shortest_edge=6, crop_size=(4, 5))
    model = keras.Sequential([keras.Input((9, 12, 3)), processor])
    assert model.output_shape == (None, 4, 5, 3)
    images = rng.integers(0, 256, (3, 9, 12, 3)).astype("uint8")
    found = model.predict(images, verbose=0)
    np.testing.assert_allclose(found, processor.load(list(images)), atol=2.01 * LEVEL)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(images, verbose=0), found)


@pytest.mark.once
def test_a_model_that_holds_it_has_nothing_left_to_build():
    """Else each `train_on_batch` would run the model once more, uncompiled."""
    calls = []

    class Counted(keras.layers.Layer):
        def call(self, x):
            calls.append(x)
            return x

    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, Counted()(inputs))
    model.image_processor = ImageProcessor(4)
    model.predict_on_batch(np.ones((1, 4, 4, 3), "float32"))
    calls.clear()
    model.predict_on_batch(np.ones((1, 4, 4, 3), "float32"))
    assert len(calls) == (keras.backend.backend() == "torch")  # which does not compile


def test_every_argument_survives():
    arguments = {
        "shortest_edge": 6,
        "crop_size": (4, 5),
        "interpolation": "nearest",
        "scale": 0.5,
        "mean": [1.0, 2.0, 3.0],
        "std": None,
        "name": "mine",
    }
    processor = ImageProcessor(**arguments)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(processor)
    )
    assert {name: getattr(again, name) for name in arguments} == arguments
    assert ImageProcessor(image_size=3).get_config()["image_size"] == (3, 3)


@pytest.mark.once
def test_a_white_picture_on_black_bands():
    """Cut out of a picture that is smaller, as transformers pads it: more before."""
    white = np.full((2, 6, 3), 255, "uint8")
    processor = ImageProcessor(crop_size=(5, 4), mean=None, std=None)
    found = processor.load([white])[0, :, :, 0]
    np.testing.assert_array_equal(found[:, 0], [0, 0, 1, 1, 0])
    np.testing.assert_array_equal(to_numpy(processor(white[None]))[0, :, :, 0], found)


@pytest.mark.once
def test_what_cannot_be_processed_is_told():
    with pytest.raises(ValueError, match="Received both: 3 and 4"):
        ImageProcessor(image_size=3, shortest_edge=4)
    with pytest.raises(ValueError, match="`std` must be more than 0.*std=0"):
        ImageProcessor(std=0)
    with pytest.raises(ValueError, match="interpolation"):
        ImageProcessor(interpolation="lanczos")
    square, wide = np.zeros((4, 4, 3)), np.zeros((4, 8, 3))
    with pytest.raises(ValueError, match=r"that become \[\(2, 2\), \(2, 4\)\]. Give "):
        ImageProcessor(shortest_edge=2).load([square, wide])
    with pytest.raises(ValueError, match="must be known.*height=None, width=4"):
        ImageProcessor(image_size=2)(keras.Input((None, 4, 3)))
