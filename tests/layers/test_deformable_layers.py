"""Deformable layers compute what their references do, forward and backward."""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import input_gradients
from helpers import to_numpy
from helpers import weight_gradients
from keras_attention.backend.exporting import export_model
from keras_attention.layers import DeformableAttention
from keras_attention.layers import DeformableConv2D
from keras_attention.visualization import attention_maps
from layers.layer_table import randomize

B, T, D, E = 2, 5, 8, 6


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": (2, 4), "strides": 2},
        {"kernel_size": (3, 2), "padding": "valid", "dilation_rate": 2},
    ],
)
def test_it_begins_as_a_convolution(rng, options):
    options = {"padding": "same", **options}
    layer = DeformableConv2D(filters=5, **options)
    convolution = keras.layers.Conv2D(5, data_format="channels_last", **options)
    x = rng.normal(size=(B, 6, 9, E)).astype("float32")
    expected = to_numpy(convolution(x))
    layer.build(x.shape)
    layer.kernel.assign(keras.ops.reshape(convolution.kernel, layer.kernel.shape))
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-5)


def convolve_by_grid_sample(x, layer, kernel):
    """The layer's equation on PyTorch, whose `grid_sample` reads each place."""
    import torch

    def tensor(weight, *axes):
        return torch.tensor(to_numpy(weight)).permute(*axes)

    rows, columns = layer.kernel_size
    count, groups = rows * columns, layer.num_groups
    images = x.permute(0, 3, 1, 2)
    moved = torch.nn.functional.conv2d(
        images,
        tensor(layer.movement.kernel, 3, 2, 0, 1),
        tensor(layer.movement.bias, 0),
        padding=(rows // 2, columns // 2),
    ).permute(0, 2, 3, 1)
    height, width = x.shape[1:3]
    at_rest = torch.stack(
        torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), -1
    )
    total = tensor(layer.bias, 0)
    for group, channels in enumerate(images.chunk(groups, dim=1)):
        for place in range(count):
            first = 2 * (group * count + place)
            step = torch.tensor(divmod(place, columns))
            step = step - torch.tensor([rows // 2, columns // 2])
            points = at_rest + step + moved[..., first : first + 2]
            sides = torch.tensor([height, width])
            read = torch.nn.functional.grid_sample(
                channels, ((2 * points + 1) / sides - 1).flip(-1), align_corners=False
            )
            if layer.use_mask:
                factor = moved[..., 2 * count * groups + group * count + place]
                read = read * factor.sigmoid()[:, None]
            inside = kernel[place].chunk(groups)[group]
            total = total + torch.einsum("bdrc,df->brcf", read, inside)
    return total


@pytest.mark.parametrize("use_mask", [False, True])
def test_values_and_gradients_are_those_of_its_equation(rng, use_mask):
    torch = pytest.importorskip("torch")
    layer = DeformableConv2D(5, (3, 5), num_groups=2, use_mask=use_mask)
    x = rng.normal(size=(B, 7, 6, E)).astype("float32")
    slopes = rng.normal(size=(B, 7, 6, 5)).astype("float32")
    layer.build(x.shape)
    randomize(layer, scale=0.2)
    images = torch.tensor(x, requires_grad=True)
    kernel = torch.tensor(to_numpy(layer.kernel).reshape(15, E, 5), requires_grad=True)
    expected = convolve_by_grid_sample(images, layer, kernel)
    (expected * torch.tensor(slopes)).sum().backward()
    found = to_numpy(layer(x))
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-4)

    def weighed(x):
        return layer(x) * keras.ops.convert_to_tensor(slopes)

    (by_input,) = input_gradients(weighed, x)
    np.testing.assert_allclose(by_input, images.grad.numpy(), atol=1e-3)
    (by_kernel,) = weight_gradients(lambda: weighed(x), [layer.kernel])
    theirs = kernel.grad.reshape(-1, 5).numpy()
    np.testing.assert_allclose(by_kernel, theirs, atol=1e-3)


def reference(layer, sizes):
    """The layer of transformers with the weights of ours."""
    torch = pytest.importorskip("torch")
    module = pytest.importorskip(
        "transformers.models.deformable_detr.modeling_deformable_detr"
    )
    config = module.DeformableDetrConfig(
        d_model=D, num_feature_levels=len(sizes), disable_custom_kernels=True
    )
    theirs = module.DeformableDetrMultiscaleDeformableAttention(config, 2, 3)
    names = {
        "sampling_offsets": "offset",
        "attention_weights": "weight",
        "value_proj": "value",
        "output_proj": "output",
    }
    for name, ours in names.items():
        kernel, bias = (
            to_numpy(getattr(layer, f"{ours}_{kind}")) for kind in ("kernel", "bias")
        )
        if ours == "offset":  # theirs are columns and rows
            kernel = kernel.reshape(D, -1, 2)[..., ::-1].reshape(D, -1).copy()
            bias = bias.reshape(-1, 2)[..., ::-1].reshape(-1).copy()
        linear = getattr(theirs, name)
        linear.weight.data = torch.tensor(kernel.T.copy())
        linear.bias.data = torch.tensor(bias)
    return theirs


@pytest.mark.parametrize("coordinates", [2, 4])
def test_values_and_gradients_are_those_of_transformers(rng, coordinates):
    torch = pytest.importorskip("torch")
    sizes = [(6, 9), (3, 5)]
    layer = DeformableAttention(num_heads=2, num_points=3)
    query = rng.normal(size=(B, T, D)).astype("float32")
    maps = [rng.normal(size=(B, *size, D)).astype("float32") for size in sizes]
    points = rng.uniform(0, 1, (B, T, 2, coordinates)).astype("float32")
    slopes = rng.normal(size=(B, T, D)).astype("float32")
    layer(query, maps, points)
    randomize(layer)
    theirs = reference(layer, sizes)

    tensors = [torch.tensor(array, requires_grad=True) for array in (query, *maps)]
    flat = torch.cat([x.reshape(B, -1, D) for x in tensors[1:]], dim=1)
    swapped = points.reshape(B, T, 2, -1, 2)[..., ::-1].reshape(points.shape).copy()
    expected, weights = theirs(
        tensors[0],
        encoder_hidden_states=flat,
        reference_points=torch.tensor(swapped),
        spatial_shapes=torch.tensor(sizes),
        spatial_shapes_list=sizes,
        level_start_index=torch.tensor([0, 54]),
    )
    (expected * torch.tensor(slopes)).sum().backward()
    output, found = layer(query, maps, points, return_attention_scores=True)
    np.testing.assert_allclose(to_numpy(output), expected.detach().numpy(), atol=1e-4)
    weights = weights.flatten(-2).permute(0, 2, 1, 3).detach().numpy()
    np.testing.assert_allclose(to_numpy(found), weights, atol=1e-5)
    gradients = input_gradients(
        lambda query, *maps: (
            layer(query, list(maps), points) * keras.ops.convert_to_tensor(slopes)
        ),
        query,
        *maps,
    )
    for ours, tensor in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(ours, tensor.grad.numpy(), atol=1e-3)


@pytest.mark.once
def test_heads_look_in_all_directions_at_first():
    """On a map that tells where it is; in the middle, at steps of one place."""
    rows, columns = np.meshgrid(np.arange(9.0), np.arange(9.0), indexing="ij")
    where = np.stack([rows, columns], axis=-1)[None].astype("float32")
    layer = DeformableAttention(num_heads=4, num_points=1, value_dim=2, output_dim=8)
    query, middle = np.zeros((1, 1, 4)), np.full((1, 1, 2), 0.5)
    layer(query, where, middle)
    layer.value_kernel.assign(np.tile(np.eye(2), 4))
    layer.output_kernel.assign(np.eye(8))
    found = to_numpy(layer(query, where, middle)).reshape(4, 2)
    np.testing.assert_allclose(found - 4, [[0, 1], [1, 0], [0, -1], [-1, 0]], atol=1e-5)


@pytest.mark.once
def test_the_weights_of_the_points_are_recorded():
    query, points = keras.Input((T, D)), keras.Input((T, 2))
    maps = [keras.Input((4, 6, E)), keras.Input((None, None, E))]
    output = DeformableAttention(num_heads=2, name="reader")(query, maps, points)
    model = keras.Model([query, *maps, points], output)
    arrays = [np.zeros((B, *size)) for size in ((T, D), (4, 6, E), (2, 3, E), (T, 2))]
    (found,) = attention_maps(model, arrays).values()
    assert found.kind == "cross"
    np.testing.assert_allclose(found.weights, np.full((B, 2, T, 8), 1 / 8))


@pytest.mark.once
@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: DeformableConv2D(4, 3, num_groups=4)(np.ones((1, 5, 5, 6))),
            "6 channels do not divide into num_groups=4",
        ),
        (
            lambda: DeformableConv2D(4, 3)(keras.Input((None, 5, 6))),
            "whose size is known.*None, None, 5, 6",
        ),
        (
            lambda: DeformableConv2D(4, 3, strides=2, dilation_rate=2),
            "with strides or with dilation.*strides=2, dilation_rate=2",
        ),
        (lambda: DeformableConv2D(4, (3, 0)), "`kernel_size` must be a positive"),
        (
            lambda: DeformableAttention(2)(
                np.ones((1, T, D)), [np.ones((1, 4, 4, E))], np.ones((1, T, 3))
            ),
            "`reference_points` must be points .*1, 5, 3",
        ),
        (
            lambda: DeformableAttention(3)(
                np.ones((1, T, D)), np.ones((1, 4, 4, E)), np.ones((1, T, 2))
            ),
            "8 does not divide into num_heads=3",
        ),
    ],
)
def test_what_cannot_be_is_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.once
def test_another_number_of_maps_is_told():
    layer = DeformableAttention(2)
    query, points = np.ones((1, T, D)), np.ones((1, T, 2))
    features = np.ones((1, 4, 4, E))
    layer(query, [features, features], points)
    with pytest.raises(ValueError, match="reads 2 feature maps.*Received: 1"):
        layer(query, features, points)


@pytest.mark.compiles_much
def test_it_is_exported_for_batches_of_any_size(rng, tmp_path):
    """Without a kernel of a device: by operations that each backend has."""
    images = keras.Input((6, 9, 3), name="images")
    features = DeformableConv2D(8, 3, strides=2, use_mask=True)(images)
    points = keras.ops.sigmoid(features[:, 0, :, :2])
    output = DeformableAttention(num_heads=2)(features[:, 0], features, points)
    model = keras.Model(images, output)
    x = rng.normal(size=(3, 6, 9, 3)).astype("float32")
    signature = keras.InputSpec(shape=(None, 6, 9, 3), dtype="float32", name="images")
    if BACKEND == "torch":
        torch = pytest.importorskip("torch")
        path = str(tmp_path / "model.pt2")
        export_model(model, path, "torch", signature)
        found = torch.export.load(path).module()(torch.tensor(x))
        found = found[0] if isinstance(found, list | tuple) else found
        found = found.detach().numpy()
    else:
        tensorflow = pytest.importorskip("tensorflow")
        path = str(tmp_path / "model")
        export_model(model, path, "tf_saved_model", signature)
        program = tensorflow.saved_model.load(path)
        found = program.serve(x)
    np.testing.assert_allclose(np.asarray(found), to_numpy(model(x)), atol=1e-5)
