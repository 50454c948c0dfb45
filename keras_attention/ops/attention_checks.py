"""What `attend` refuses before it computes anything.

Letters: B batch, T query length, S key length, N query heads, K key and value heads,
H width of a query and a key in one head, Hv width of a value in one head.
"""


def check_shapes(query, key, value):
    """Refuses queries, keys and values that do not go together.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.

    Raises:
        ValueError: A rule is broken.
    """
    rule = _broken_rule(query.shape, key.shape, value.shape)
    if rule:
        raise ValueError(
            f"{rule}. Received: query.shape={tuple(query.shape)}, "
            f"key.shape={tuple(key.shape)}, value.shape={tuple(value.shape)}"
        )


def _broken_rule(query_shape, key_shape, value_shape):
    """Says which rule these shapes break, or returns `None`."""
    if not len(query_shape) == len(key_shape) == len(value_shape) == 4:
        return (
            "`query`, `key` and `value` must have four axes (batch, length, heads, "
            "width)"
        )
    batch_size, _, num_heads, head_dim = query_shape
    _, key_length, num_key_heads, key_dim = key_shape
    if _differ(key_shape[0], batch_size) or _differ(value_shape[0], batch_size):
        return "`query`, `key` and `value` must have the same batch size"
    if _differ(value_shape[1], key_length):
        return "`key` and `value` must have the same length"
    if value_shape[2] != num_key_heads or num_heads % num_key_heads:
        return (
            "`key` and `value` must have the same number of heads, and it must divide "
            "the number of query heads"
        )
    if head_dim != key_dim:
        return "`query` and `key` must have heads of the same width"
    return None


def check_broadcast(name, tensor, expected, received):
    """Refuses a mask or a bias that does not fit the scores.

    Args:
        name: `"mask"` or `"bias"`.
        tensor: It, with at most four axes.
        expected: `(B, N, T, S)`, with `None` for what is not known.
        received: What the user passed.

    Raises:
        ValueError: It does not broadcast.
    """
    shape = tuple(tensor.shape)
    fits = len(shape) <= 4 and all(
        size == 1 or not _differ(size, axis)
        for size, axis in zip(shape[::-1], expected[::-1], strict=False)
    )
    if not fits:
        batch_size, num_heads, query_length, key_length = expected
        forms = (
            f"have the shape (B, S)=({batch_size}, {key_length}) or (B, T, S)="
            f"({batch_size}, {query_length}, {key_length}), or "
        )
        raise ValueError(
            f"`{name}` must {forms if name == 'mask' else ''}broadcast to "
            f"(B, N, T, S)={expected}. Received: "
            f"{name}.shape={tuple(received.shape)}"
        )


def checked_score(score, expected):
    """Lets a score return its whole shape only; others may broadcast in silence.

    Args:
        score: Function of `query` and `key`.
        expected: `(B, N, T, S)`, with `None` for what is not known.

    Returns:
        A function that does the same, and raises a ValueError for another shape.
    """

    def checked(query, key):
        scores = score(query, key)
        shape = tuple(scores.shape)
        if len(shape) != 4 or any(map(_differ, shape, expected)):
            raise ValueError(
                f"`score` must return scores of the shape (B, N, T, S)={expected}. "
                f"Received: {shape}"
            )
        return scores

    return checked


def _differ(size, other):
    """Whether two lengths are known and not the same."""
    return size is not None and other is not None and size != other
