"""Values between the places of a map are those of PyTorch's `grid_sample`."""

import numpy as np
import pytest
from keras import ops

from helpers import input_gradients
from helpers import to_numpy
from keras_attention.ops import sample_bilinear

B, R, C, D, P = 2, 4, 7, 3, 40


@pytest.fixture
def case(rng):
    """A map, points in it, at its places, at its edges and far outside."""
    x = rng.normal(size=(B, R, C, D)).astype("float32")
    points = rng.uniform(-2.0, 8.0, (B, P, 2))
    points[0, :4] = [[0, 0], [R - 1, C - 1], [-0.5, 2.25], [1.0, C - 0.25]]
    points[1, :2] = [[1e12, 0.0], [0.0, -1e12]]
    return x, points.astype("float32"), rng.normal(size=(B, P, D)).astype("float32")


def by_hand(x, points):
    """The sum over all places, as the paper writes it."""
    near = [
        np.maximum(0, 1 - np.abs(points[..., axis, None] - np.arange(length)))
        for axis, length in enumerate((R, C))
    ]
    return np.einsum("bpr,bpc,brcd->bpd", *near, x)


def test_a_point_is_read_from_the_places_around(case):
    x, points, _ = case
    found = to_numpy(sample_bilinear(x, points))
    np.testing.assert_allclose(found, by_hand(x, points), atol=1e-5)


def test_values_and_gradients_are_those_of_grid_sample(case):
    torch = pytest.importorskip("torch")
    x, points, slopes = case
    points[1, :2] = 0.5
    theirs = [torch.tensor(array, requires_grad=True) for array in (x, points)]
    sides = torch.tensor([R, C], dtype=torch.float32)
    grid = ((2 * theirs[1] + 1) / sides - 1).flip(-1)[:, :, None]
    expected = torch.nn.functional.grid_sample(
        theirs[0].permute(0, 3, 1, 2),
        grid,
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )[..., 0].permute(0, 2, 1)
    (expected * torch.tensor(slopes)).sum().backward()
    found = to_numpy(sample_bilinear(x, points))
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-5)
    # On a place itself the slope is another on each side, and theirs is rounded.
    between = np.abs(points - np.round(points)).min(axis=-1, keepdims=True) > 1e-3
    gradients = input_gradients(
        lambda x, points: sample_bilinear(x, points) * ops.convert_to_tensor(slopes),
        x,
        points,
    )
    ours_and_theirs = zip(gradients, theirs, (1.0, between), strict=True)
    for ours, tensor, counts in ours_and_theirs:
        np.testing.assert_allclose(
            ours * counts, tensor.grad.numpy() * counts, atol=1e-4
        )


@pytest.mark.once
@pytest.mark.parametrize("shapes", [((1, 2, 3), (1, 4, 2)), ((1, 2, 3, 4), (1, 4, 3))])
def test_other_axes_are_told(shapes):
    with pytest.raises(ValueError, match="points .B, P, 2.. Received.*points.shape"):
        sample_bilinear(*map(ops.ones, shapes))
