"""Tiny random models of transformers, to compare with: `from published import ...`."""

import numpy as np

ATOL, RTOL = 5e-5, 1e-4

# Rows without padding, with padding behind, and with padding in front.
MASK = np.array(
    [[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1]], "int64"
)


def save_reference(name, folder, **config):
    """Saves a model of transformers with random weights, biases and norms too.

    Args:
        name: Its class.
        folder: Where it is saved.
        **config: Fields of its `config.json`.

    Returns:
        The model.
    """
    import torch
    import transformers

    torch.manual_seed(7)
    cls = getattr(transformers, name)
    model = cls(cls.config_class(**config, attn_implementation="eager")).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    model.save_pretrained(folder)
    return model


def run_reference(model, **inputs):
    """What a model of transformers computes, as a dict of NumPy arrays.

    Args:
        model: The model.
        **inputs: NumPy arrays.
    """
    import torch

    with torch.no_grad():
        outputs = model(**{k: torch.from_numpy(v) for k, v in inputs.items()})
    return {
        key: [part.numpy() for part in value] if isinstance(value, tuple) else value
        for key, value in outputs.items()
        if key != "past_key_values"
    }


def state_of(model):
    """The tensors of a model of transformers, as a dict of NumPy arrays."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def assert_close(ours, theirs, mask=None):
    """Asserts that two arrays agree, at the places where a mask is true."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    if mask is not None:
        ours, theirs = ours[mask.astype(bool)], theirs[mask.astype(bool)]
    np.testing.assert_allclose(ours, theirs, atol=ATOL, rtol=RTOL)
