"""Which words each head of each layer reads.

Letters: L layers, B sequences, N heads, T queries, S keys.
"""

import numpy as np

from keras_attention.visualization.view import check_weights
from keras_attention.visualization.view import check_words
from keras_attention.visualization.view import colour_map
from keras_attention.visualization.view import deflate
from keras_attention.visualization.view import RAMPS
from keras_attention.visualization.view import to_array
from keras_attention.visualization.view import View

# Twelve layers of twelve heads over 512 tokens: a page of some 25 MB, which a browser
# still opens.
MOST_WEIGHTS = 40_000_000


def show_heads(maps, queries=None, keys=None, index=0, title=None):
    """Shows every head of every layer small, and one of them large, with its words.

    Pointing at a word shows what it reads and its three largest weights. The arrow
    keys move from head to head. Long sequences are drawn as matrices, without lines.
    The small pictures show the square root of a weight, so that small ones are seen.

    Args:
        maps: The weights of one layer after the other: a list of arrays
            `(B, N, T, S)` or `(N, T, S)`, a dictionary from names to such arrays, or
            one array `(L, B, N, T, S)` or `(L, N, T, S)`, as `generate` returns and a
            part of it. What a dictionary holds may also have its array
            as an attribute `weights`, as what `attention_maps` returns.
        queries: T words. Defaults to numbers.
        keys: S words. Defaults to `queries` where there are as many, else to numbers.
            Where layers read several sequences, each axis takes the words that fit its
            length.
        index: Which sequence of the batch.
        title: Title of the page. Defaults to the numbers of layers and heads.

    Returns:
        A `View`: the last line of a notebook cell shows it, `.save("heads.html")`
        writes one file, `.figure()` draws with matplotlib.

    Raises:
        ValueError: a size, a value or the number of words is wrong.

    Example:

    >>> weights = np.full((2, 4, 3, 3), 1 / 3)  # 2 layers of 4 heads, 3 tokens
    >>> show_heads(weights, queries=["a", "red", "dog"])
    <View '2 layers, 8 heads'>
    """
    layers = _layers(maps, index)
    size = sum(weights.size for _, weights, _ in layers)
    if size > MOST_WEIGHTS:
        raise ValueError(
            f"A page holds at most {MOST_WEIGHTS:,} weights. Received: {size:,} in "
            f"{len(layers)} layers. Pass fewer layers, fewer heads, or a part of the "
            "sequence."
        )
    queries = None if queries is None else check_words(queries, "queries")
    keys = None if keys is None else check_words(keys, "keys")
    _check_fit(queries, "queries", [weights.shape[1] for _, weights, _ in layers])
    _check_fit(keys, "keys", [weights.shape[2] for _, weights, _ in layers])
    short = short_names([name for name, _, _ in layers])
    items, labels, peaks, packed = [], [], [], []
    for (name, weights, kind), shown in zip(layers, short, strict=True):
        heads, rows, columns = weights.shape
        ours, theirs = _labels(weights, kind, queries, keys)
        labels.append((ours, theirs))
        items.append(
            {
                "name": name,
                "short": shown,
                "shape": [heads, rows, columns],
                "queries": ours,
                "keys": theirs,
            }
        )
        peak = weights.max(axis=-1, keepdims=True)
        scaled = weights / np.where(peak > 0, peak, 1)
        peaks.append(peak.ravel().astype("<f4"))
        packed.append(np.rint(scaled * 255).astype("uint8").ravel())
    count = sum(item["shape"][0] for item in items)
    if title is None:
        title = f"{_number(len(items), 'layer')}, {_number(count, 'head')}"
    return View(
        body="heads.html",
        data={
            "title": title,
            "ramps": RAMPS,
            "maps": items,
            "peaks": deflate(np.concatenate(peaks)),
            "bytes": deflate(np.concatenate(packed)),
        },
        title=title,
        draw=lambda: _figure(layers, short, labels),
        height=_height(items),
    )


def _layers(maps, index):
    """Tuples of a name, `(N, T, S)` and the kind of attention, None if not known."""
    if hasattr(maps, "keys"):
        pairs = [(str(name), maps[name]) for name in maps.keys()]
    else:
        if hasattr(maps, "shape") and len(maps.shape) not in (4, 5):
            raise ValueError(
                "One array must have the shape (layers, heads, queries, keys), or with "
                "the batch (layers, batch, heads, queries, keys). "
                f"Received: maps.shape={tuple(maps.shape)}. Pass a list of one array "
                "for each layer, [weights] for one layer."
            )
        pairs = [(f"layer {i}", weights) for i, weights in enumerate(maps)]
    if not pairs:
        raise ValueError(
            "`maps` must hold at least one layer. Received: none. Ask the model for "
            "its weights, and its layers by a name that occurs."
        )
    layers = []
    for name, value in pairs:
        weights = getattr(value, "weights", value)
        weights = to_array(weights)
        if weights.ndim not in (3, 4) or 0 in weights.shape:
            raise ValueError(
                f"The weights of {name!r} must have the shape (batch, heads, queries, "
                f"keys) or (heads, queries, keys). Received: {weights.shape}. Add the "
                "axis of one head with weights[:, None]."
            )
        if weights.ndim == 4:
            if not -len(weights) <= index < len(weights):
                raise ValueError(
                    f"`index` must name a sequence of the batch. Received: {index}, "
                    f"and {name!r} has {_number(len(weights), 'sequence')}. Choose "
                    f"one from 0 to {len(weights) - 1}."
                )
            weights = weights[index]
        check_weights(weights, name)
        layers.append((name, weights, getattr(value, "kind", None)))
    return layers


def _check_fit(words, argument, lengths):
    """Words that fit no layer are a mistake; other layers may read another sequence."""
    if words is not None and len(words) not in lengths:
        found = ", ".join(map(str, sorted(set(lengths))))
        raise ValueError(
            f"There must be one word for each of the {argument}. Received: "
            f"{len(words)} words, for layers that have {found} {argument}. Pass the "
            "tokens as the model reads them, with those at the start and the end and "
            "the padding; where layers read two sequences, both `queries` and `keys`."
        )


def _labels(weights, kind, queries, keys):
    """The words of the two axes, None for numbers."""
    _, rows, columns = weights.shape
    ours = _choose(rows, queries, keys)
    theirs = ours if kind == "self" and ours else _choose(columns, keys, queries)
    return ours, theirs


def _choose(length, *candidates):
    fitting = [words for words in candidates if words and len(words) == length]
    return fitting[0] if fitting else None


def short_names(names):
    """The names without the parts of their paths that all of them share."""
    parts = [name.split("/") for name in names]
    if len(names) > 1:
        while min(map(len, parts)) > 1 and len({part[0] for part in parts}) == 1:
            parts = [part[1:] for part in parts]
        while min(map(len, parts)) > 1 and len({part[-1] for part in parts}) == 1:
            parts = [part[:-1] for part in parts]
    return ["/".join(part) for part in parts]


def _number(count, noun):
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _height(items):
    """Of the frame: what its small pictures need, and one large one of 16 words."""
    tokens = max(max(item["shape"][1:]) for item in items)
    return max(150 + 50 * min(12, len(items)), 200 + 24 * min(20, tokens))


def _figure(layers, short, labels):
    from matplotlib.colors import PowerNorm

    from keras_attention.visualization.figures import Figure

    rows, columns = len(layers), max(len(weights) for _, weights, _ in layers)
    panel = min(3.0, max(0.8, 9 / columns))  # inches, as all that follow
    words = [
        [w if w and panel / len(w) > 0.11 else None for w in pair] for pair in labels
    ]
    # A letter of 9 points is 0.075 wide, one of 7 points 0.06.
    left = 0.25 + max(
        0.075 * len(name) if ours is None else 0.25 + 0.06 * max(map(len, ours))
        for name, (ours, _) in zip(short, words, strict=True)
    )
    below = [
        0.1 + (0.06 * max(map(len, theirs)) if theirs else 0) for _, theirs in words
    ]
    gap, right, top = 0.07, 0.8, 0.35
    width = left + columns * (panel + gap) + right
    height = top + rows * panel + sum(below) + 0.05
    figure = Figure(figsize=(width, height))
    bottom = height - top
    for (_, weights, _), name, (ours, theirs), space in zip(
        layers, short, words, below, strict=True
    ):
        bottom -= panel
        for h, head in enumerate(weights):
            axes = figure.add_axes(
                (
                    (left + h * (panel + gap)) / width,
                    bottom / height,
                    panel / width,
                    panel / height,
                )
            )
            drawn = axes.imshow(
                head,
                cmap=colour_map(),
                norm=PowerNorm(0.5, 0, 1),
                interpolation="nearest",
                aspect="auto",
            )
            axes.spines[:].set_color("lightgrey")
            axes.set_xticks(
                range(len(theirs or [])),
                theirs or [],
                fontsize=7,
                rotation=90,
                parse_math=False,
            )
            shown = ours if ours and h == 0 else []
            axes.set_yticks(range(len(shown)), shown, fontsize=7, parse_math=False)
            axes.tick_params(length=0)
            if h == 0:
                turn = {} if ours else {"rotation": 0, "ha": "right", "va": "center"}
                axes.set_ylabel(name, fontsize=9, parse_math=False, **turn)
            if bottom > height - top - panel - 0.01:
                axes.set_title(f"head {h}" if panel > 1 else str(h), fontsize=9)
        bottom -= space
    tall = min(rows * panel, 3.0)
    place = (1 - 0.6 / width, 1 - (top + tall) / height, 0.1 / width, tall / height)
    bar = figure.colorbar(
        drawn, cax=figure.add_axes(place), ticks=[0, 0.05, 0.25, 0.5, 1]
    )
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    return figure
