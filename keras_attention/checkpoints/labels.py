"""The classes of a head, in `config.json` and in our arguments."""

from keras_attention.checks import check_positive


def read_labels(config):
    """The arguments `num_classes` and `class_names` that a `config.json` holds.

    Args:
        config: What it holds.

    Returns:
        Dict. Names that only count, `LABEL_0`, are none.

    Example:

    >>> read_labels({"id2label": {"0": "cat", "1": "dog", "2": "fox"}})
    {'num_classes': 3, 'class_names': ['cat', 'dog', 'fox']}
    """
    labels = config.get("id2label")
    if not labels:
        number = config.get("num_labels", config.get("_num_labels", 2))
        return {"num_classes": number, "class_names": None}
    names = [labels[key] for key in sorted(labels, key=int)]
    counted = [f"LABEL_{number}" for number in range(len(names))]
    return {
        "num_classes": len(names),
        "class_names": None if names == counted else names,
    }


def write_labels(arguments):
    """The fields of `config.json` for `num_classes` and `class_names`.

    Args:
        arguments: Dict with both.

    Returns:
        Dict.

    Example:

    >>> write_labels({"num_classes": 2, "class_names": ["cat", "dog"]})
    {'id2label': {'0': 'cat', '1': 'dog'}, 'label2id': {'cat': 0, 'dog': 1}}
    """
    number = arguments["num_classes"] or 2
    names = arguments["class_names"] or [f"LABEL_{i}" for i in range(number)]
    return {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


def count_classes(num_classes, class_names, head, heads_with_classes):
    """Checks how many classes a head has.

    Args:
        num_classes: Number of classes, or `None`.
        class_names: Their names, or `None`.
        head: The head of the model.
        heads_with_classes: The heads that have classes.

    Returns:
        The number of classes, by default 2; `None` for a head without.

    Raises:
        ValueError: The head has no classes, or not as many as there are names.

    Example:

    >>> count_classes(None, ["cat", "dog", "fox"], "classification", ["classification"])
    3
    """
    if head not in heads_with_classes:
        if num_classes is None and class_names is None:
            return None
        known = " or ".join(f"head={name!r}" for name in heads_with_classes)
        raise ValueError(
            "`num_classes` and `class_names` are for a model that classifies. "
            f"Received: head={head!r}, num_classes={num_classes}. Pass {known}."
        )
    if num_classes is None:
        return 2 if class_names is None else len(class_names)
    check_positive(num_classes=num_classes)
    if class_names is not None and len(class_names) != num_classes:
        raise ValueError(
            f"`class_names` must be as many as there are classes. Received: "
            f"num_classes={num_classes}, {len(class_names)} names."
        )
    return num_classes
