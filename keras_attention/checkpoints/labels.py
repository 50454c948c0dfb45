"""The classes of a head, in `config.json` and in our arguments."""


def read_labels(config):
    """The arguments `num_classes` and `class_names` that a `config.json` holds.

    Args:
        config: What it holds.

    Returns:
        Dict. Names that only count, `LABEL_0` or `0`, are none.

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
    only_count = names in (counted, list(range(len(names))))
    return {
        "num_classes": len(names),
        "class_names": None if only_count else list(map(str, names)),
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
