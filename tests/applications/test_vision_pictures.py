"""Pictures in, names and features out, for each model that reads them."""

import numpy as np
import pytest
from vision_table import ONCE

from helpers import to_numpy

pytestmark = pytest.mark.once


@pytest.fixture(scope="module", params=ONCE, ids=lambda row: row.model.__name__)
def built(request):
    """A row of the table, and one model of it for all tests."""
    row = request.param
    return row, row.model(**{**row.arguments, "num_channels": 3})


def test_images_that_are_none_of_its_own_are_told(built):
    """Integers, another size, other channels; also where `fit` and `predict` begin."""
    _, model = built
    shape = model.input_shape[1:]
    images = np.zeros((2, *shape))
    with pytest.raises(ValueError, match="reads floats. .*uint8. Scale levels by"):
        model(images.astype("uint8"))
    for wrong in (images[:, 1:], images[..., [0, 0]], images[0]):
        with pytest.raises(ValueError, match="reads images .B, .*Received: images.sha"):
            model(wrong)
        with pytest.raises(ValueError, match="reads images .B, .*Received: images.sha"):
            model.predict(wrong, verbose=0)


def test_features_of_any_layer_are_given(built):
    """Hidden states by number, layers by name, patches as a grid."""
    row, model = built
    images = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:]))
    count = row.arguments["num_layers"]
    count = count if isinstance(count, int) else len(count)
    features = model.feature_model([*range(count + 1), -1])
    outputs = features(images)
    assert len(outputs) == count + 2
    np.testing.assert_array_equal(*map(to_numpy, outputs[-2:]))
    grids = model.feature_model([0, -1], as_grids=True)(images)
    assert all(len(grid.shape) == 4 for grid in grids)
    if hasattr(model, "encoder"):
        last = model.encoder(outputs[0])
        np.testing.assert_allclose(to_numpy(outputs[-1]), to_numpy(last), atol=1e-5)
        first = outputs[0].shape[1] - grids[0].shape[1] * grids[0].shape[2]
        tokens = to_numpy(outputs[0])[:, first:].reshape(grids[0].shape)
        np.testing.assert_array_equal(to_numpy(grids[0]), tokens)
    with pytest.raises(ValueError, match="hidden states, 0 to .*Received: 9"):
        model.feature_model([9])
    with pytest.raises(ValueError, match="has no layer 'patch_embeding'"):
        model.feature_model(["patch_embeding"])


def test_the_best_classes_are_named(built):
    _, model = built
    pictures = np.random.default_rng(0).integers(0, 256, (4, 9, 12, 3), "uint8")
    names, probabilities = model.classify(pictures)
    best, values = model.classify(pictures, top=2)
    assert [row[0] for row in best] == names
    np.testing.assert_allclose(values, -np.sort(-probabilities, axis=-1)[:, :2])
    with pytest.raises(ValueError, match="from 1 to the number of classes, 3"):
        model.classify(pictures, top=4)
