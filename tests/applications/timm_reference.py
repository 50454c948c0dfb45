"""timm, where it is installed: `from timm_reference import timm`.

timm imports torchvision, for pictures. Models do without: where it is missing,
something stands in for it while timm is imported.
"""

import importlib.util
import sys
from unittest import mock

TORCHVISION = [
    "torchvision",
    "torchvision.datasets",
    "torchvision.models",
    "torchvision.models.feature_extraction",
    "torchvision.ops",
    "torchvision.ops.misc",
    "torchvision.transforms",
    "torchvision.transforms.functional",
]

missing = [] if importlib.util.find_spec("torchvision") else TORCHVISION
sys.modules.update({name: mock.MagicMock(name=name) for name in missing})
try:
    import timm
except ImportError:
    timm = None
finally:
    for name in missing:
        del sys.modules[name]


def save_timm(name, folder, **arguments):
    """Saves a model of timm with random weights, as timm saves it.

    Args:
        name: Its name there.
        folder: Where it is saved.
        **arguments: Those of timm.

    Returns:
        The model.
    """
    import torch

    torch.manual_seed(7)
    model = timm.create_model(name, **arguments).eval()
    randomize(model)
    squash = {"crop_mode": "squash"}  # pictures that are no squares need it
    timm.models.save_for_hf(model, folder, safe_serialization=True, data_config=squash)
    return model


def randomize(model, std=0.2):
    """Draws all weights of a model of PyTorch, and running statistics, if any."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=std)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=std)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)


def run_timm(model, images):
    """The logits of a model of timm for `(B, height, width, channels)`."""
    import numpy as np
    import torch

    with torch.no_grad():
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return model(torch.from_numpy(images)).numpy()
