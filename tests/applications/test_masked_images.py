"""Models that guess masked patches, against transformers, and how they learn."""

import json

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import applications
from keras_attention.applications import BEiT
from keras_attention.applications import Swin
from keras_attention.applications import ViT
from keras_attention.checkpoints import named_weights
from keras_attention.data import FollowEpochs
from keras_attention.data import mask_patches
from keras_attention.data import MaskedImageDataset
from published import assert_close
from published import run_reference
from published import save_reference
from published import state_of

TOKENS = {
    "image_size": 12,
    "patch_size": 4,
    "num_channels": 3,
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "layer_norm_eps": 0.05,
    "encoder_stride": 4,
}
WINDOWS = {
    "image_size": 16,
    "patch_size": 2,
    "num_channels": 3,
    "embed_dim": 6,
    "depths": [1, 2],
    "num_heads": [2, 3],
    "window_size": 4,
    "encoder_stride": 4,
}
PUBLISHED = {"ViT": TOKENS, "DeiT": TOKENS, "Swin": WINDOWS, "Swinv2": WINDOWS}
SMALL = {
    "image_size": (8, 12),
    "patch_size": 4,
    "hidden_dim": 8,
    "num_layers": 1,
    "num_heads": 2,
    "mlp_dim": 16,
}
GUESSES = {**SMALL, "head": "masked_image_model", "num_classes": None}


def pictures(count=5):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (9, 7, 3), "uint8") for _ in range(count)]


def batch(config, seed=3):
    side = config["image_size"]
    images = np.random.default_rng(seed).normal(size=(2, side, side, 3))
    return mask_patches(
        images.astype("float32"), config["patch_size"], block_size=4, seed=seed
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_guessed_is_that_of_transformers(tmp_path, name):
    """And its loss is "mae" with the weights of the pixels."""
    config = PUBLISHED[name]
    reference = save_reference(f"{name}ForMaskedImageModeling", tmp_path, **config)
    model = applications.from_preset(tmp_path)
    assert model.head == "masked_image_model"
    inputs, images, weights = batch(config)
    expected = run_reference(
        reference,
        pixel_values=np.ascontiguousarray(images.transpose(0, 3, 1, 2)),
        bool_masked_pos=inputs["masked_patches"],
    )
    found = to_numpy(model(inputs))
    assert_close(found.transpose(0, 3, 1, 2), expected["reconstruction"])
    error = np.abs(found - images).mean(axis=-1)
    np.testing.assert_allclose((error * weights).mean(), expected["loss"], rtol=1e-4)


@pytest.mark.once
@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_saved_here_opens_there(tmp_path, name):
    reference = save_reference(
        f"{name}ForMaskedImageModeling", tmp_path / "theirs", **PUBLISHED[name]
    )
    model = applications.from_preset(tmp_path / "theirs")
    model.save_to_preset(tmp_path / "ours")
    again, report = type(reference).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys"))
    theirs, ours = state_of(reference), state_of(again)
    assert set(ours) == set(theirs)
    for key, tensor in theirs.items():
        np.testing.assert_array_equal(ours[key], tensor, err_msg=key)


@pytest.mark.once
def test_the_body_is_read_into_a_classifier_and_back(tmp_path):
    """What is not of the other head is new."""
    guesses = ViT(**GUESSES)
    guesses.save_to_preset(tmp_path / "guesses")
    classifier = ViT.from_preset(tmp_path / "guesses", num_classes=3)
    assert (classifier.head, classifier.output_shape) == ("classification", (None, 3))
    classifier.save_to_preset(tmp_path / "classifier")
    again = ViT.from_preset(tmp_path / "classifier", head="masked_image_model")
    before, after = named_weights(guesses), named_weights(again)
    assert before.keys() == after.keys()
    for name in before.keys() - {"decoder/kernel"}:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    again.save(tmp_path / "model.keras")
    kept = keras.models.load_model(tmp_path / "model.keras")
    assert kept.get_config() == again.get_config()
    assert kept.input_shape == again.input_shape


@pytest.mark.once
def test_the_body_of_a_pretrained_beit_gets_classes(tmp_path):
    """What guessed the words of its images is left out, and its last norm is new."""
    config = {**TOKENS, "use_relative_position_bias": True, "use_mask_token": True}
    config.pop("encoder_stride")
    reference = save_reference("BeitForMaskedImageModeling", tmp_path, **config)
    with pytest.raises(ValueError, match="is a BeitForMaskedImageModeling, which is n"):
        BEiT.from_preset(tmp_path)
    with pytest.warns(UserWarning, match="left out|stay random"):
        model = BEiT.from_preset(tmp_path, num_classes=3)
    found = named_weights(model)["encoder/block_0/self_attention/position_bias/table"]
    theirs = state_of(reference)
    (name,) = [name for name in theirs if name.endswith("position_bias_table")]
    np.testing.assert_array_equal(to_numpy(found), theirs[name])


@pytest.mark.compiles_much
@pytest.mark.parametrize("cls", [ViT, Swin])
def test_it_learns_from_pictures_alone(cls):
    """Other patches are masked in each epoch, and the mask token learns."""
    options = (
        GUESSES if cls is ViT else {**GUESSES, "num_layers": [1], "num_heads": [2]}
    )
    model = cls(**options)
    model.compile(keras.optimizers.Adam(0.01), "mae")
    before = model.get_weights()
    images = pictures()
    losses = model.fit(images, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    after = model.get_weights()
    names = [weight.path for weight in model.weights]
    still = [n for n, a, b in zip(names, before, after, strict=True) if (a == b).all()]
    assert still == []
    found = model.evaluate(images, verbose=0)
    np.testing.assert_allclose(model.evaluate(images, verbose=0), found, rtol=1e-6)
    assert model.predict(images, verbose=0).shape == (5, 8, 12, 3)


@pytest.mark.once
def test_blocks_of_patches_are_masked():
    images = np.ones((3, 12, 20, 2), "float32")
    inputs, targets, weights = mask_patches(images, (2, 5), 4, rate=0.5, seed=1)
    grids = inputs["masked_patches"].reshape(3, 6, 4)
    assert targets is inputs["images"] is images
    np.testing.assert_array_equal(grids[:, ::2], grids[:, 1::2])  # blocks of 2 x 1
    assert grids.sum(axis=(1, 2)).tolist() == [12, 12, 12]
    assert len({grid.tobytes() for grid in grids}) == 3
    np.testing.assert_array_equal(weights[:, ::2, ::5] > 0, grids)
    np.testing.assert_allclose(weights.mean(), 1, rtol=1e-6)
    again = mask_patches(images, (2, 5), 4, rate=0.5, seed=1)[0]["masked_patches"]
    np.testing.assert_array_equal(again, inputs["masked_patches"])


@pytest.mark.once
def test_a_data_set_goes_on_where_it_was():
    processor = ViT(**GUESSES).image_processor
    data = MaskedImageDataset(pictures(), processor, 4, batch_size=2, block_size=4)
    first = data[0][0]["masked_patches"]
    _, _, weights = data[2]  # one picture, and one that fills up
    assert weights[0].max() > 0
    assert weights[1].max() == 0
    data.on_epoch_end()
    later = data[0][0]["masked_patches"]
    assert (first != later).any()
    other = MaskedImageDataset(pictures(), processor, 4, batch_size=2, block_size=4)
    FollowEpochs(other).on_epoch_begin(1)
    np.testing.assert_array_equal(other[0][0]["masked_patches"], later)


@pytest.mark.once
def test_what_cannot_be_guessed_is_told(tmp_path):
    with pytest.raises(ValueError, match="gives images, not classes. .*num_classes=5"):
        ViT(**{**GUESSES, "num_classes": 5})
    with pytest.raises(ValueError, match="pooling='average'"):
        ViT(**GUESSES, pooling="average")
    with pytest.raises(ValueError, match="must divide into the cells"):
        Swin(**{**GUESSES, "num_layers": [1, 1], "num_heads": [1, 2]})
    model = ViT(**GUESSES)
    with pytest.raises(ValueError, match="from pictures alone. Received labels"):
        model.fit(pictures(2), [0, 1])
    with pytest.raises(ValueError, match="does not classify"):
        model.classify(pictures(2))
    for options in ({"rate": 1.0}, {"block_size": 0}, {"patch_size": 5}):
        with pytest.raises(ValueError, match="rate|block_size|divide into patches"):
            mask_patches(
                **{"images": np.ones((1, 8, 8, 3)), "patch_size": 4, **options}
            )
    model.save_to_preset(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "encoder_stride": 8}))
    with pytest.raises(ValueError, match="encoder_stride=8, and a cell .* pixels"):
        ViT.from_preset(tmp_path)
