"""What of the preprocessing meets the tensors and the models of a backend."""

import keras
import numpy as np

from keras_attention.data import CaptionDataset
from keras_attention.images import load_image
from keras_attention.tokenizers import Vocabulary


def test_token_ids_in_tensors_are_decoded():
    vocabulary = Vocabulary(["cat", "black"])
    ids = keras.ops.convert_to_tensor([[1, 5, 4, 2]])
    assert vocabulary.decode(ids) == ["black cat"]
    assert vocabulary.decode([ids[0]]) == ["black cat"]


def test_pictures_in_tensors_are_taken():
    image = np.linspace(0, 1, 24).reshape(2, 4, 3).astype("float32")
    expected = np.rint(image * 255).astype("uint8")
    for dtype in ("float32", "float16"):
        tensor = keras.ops.convert_to_tensor(image, dtype=dtype)
        np.testing.assert_allclose(load_image(tensor), expected, atol=1)
    for dtype in ("uint8", "int32"):
        tensor = keras.ops.convert_to_tensor(expected, dtype=dtype)
        np.testing.assert_array_equal(load_image(tensor), expected)
    tensor = keras.ops.convert_to_tensor(np.ones((2, 4, 3)), dtype="bfloat16")
    np.testing.assert_array_equal(load_image(tensor), np.full((2, 4, 3), 255))


def test_a_model_is_fit_from_a_caption_dataset(rng):
    """The dataset names its inputs as the captioners do, and each image is cast."""
    pictures = rng.integers(0, 256, (3, 4, 4, 3), "uint8")
    records = [(picture, ["a cat", "a black cat"]) for picture in pictures]
    vocabulary = Vocabulary(["a", "black", "cat"])
    images = keras.Input((4, 4, 3), name="images")
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = keras.layers.Embedding(len(vocabulary), 3)(token_ids)
    y = keras.layers.Rescaling(1 / 255)(images)
    y = keras.layers.Dense(3)(keras.layers.Flatten()(y))
    logits = keras.layers.Dense(len(vocabulary))(x + keras.ops.expand_dims(y, 1))
    model = keras.Model({"images": images, "token_ids": token_ids}, logits)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    dataset = CaptionDataset(records, vocabulary, 4, batch_size=4, workers=2)
    history = model.fit(dataset, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert dataset.epoch >= 2  # another order for each
