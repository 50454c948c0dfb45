"""Classes by name or by number.

Letters for axes: n examples.
"""

import numpy as np

from keras_attention.tokenizers.vocabulary import shorten


def class_ids(labels, class_names=None, num_classes=None):
    """The numbers of classes.

    Args:
        labels: Names, or numbers, which stay as they are.
        class_names: The names in the order of the classes, or `None`.
        num_classes: How many there are, where integers `(n,)` are classes.

    Returns:
        Array with n rows.

    Raises:
        ValueError: A name or a number is no class.

    Example:

    >>> class_ids(["dog", "cat"], ["cat", "dog"]).tolist()
    [1, 0]
    """
    labels = labels if isinstance(labels, list) else np.asarray(labels)
    if any(isinstance(label, str) for label in labels):
        if class_names is None:
            raise ValueError(
                f"The labels are names, such as {labels[0]!r}, but the model has none. "
                "Build it with `class_names`, or pass numbers."
            )
        numbers = {name: number for number, name in enumerate(class_names)}
        unknown = [i for i, label in enumerate(labels) if label not in numbers]
        if unknown:
            raise ValueError(
                f"Each label must be one of {shorten(list(class_names))}. Received "
                f"{labels[unknown[0]]!r} at position {unknown[0]}."
            )
        return np.array([numbers[label] for label in labels], "int32")
    labels = np.asarray(labels)
    is_class = labels.ndim == 1 and labels.dtype.kind in "iuf" and labels.size > 0
    if is_class and num_classes is not None and num_classes > 1:
        parts = np.flatnonzero(labels != np.floor(labels))
        if parts.size:
            raise ValueError(
                f"A class is a whole number from 0 to {num_classes - 1}. Received "
                f"{labels[parts[0]]} at position {parts[0]}. Pass the class of each "
                "example; a model that learns numbers has one output for each."
            )
        wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
        if wrong.size:
            raise ValueError(
                f"The labels must be from 0 to {num_classes - 1}, as the model has "
                f"{num_classes} classes. Received {labels[wrong[0]]} at position "
                f"{wrong[0]}. Build the model with `num_classes`."
            )
    return labels
