"""Which source words each word of a translation reads (Bahdanau et al. 2015, Figure 3).

Letters: T target words, S source words.
"""

from keras_attention.visualization.view import check_weights
from keras_attention.visualization.view import check_words
from keras_attention.visualization.view import colour_map
from keras_attention.visualization.view import pack_rows
from keras_attention.visualization.view import RAMPS
from keras_attention.visualization.view import to_array
from keras_attention.visualization.view import View


def show_alignment(weights, source, target):
    """Shows the weights of a translation: target words down, source words across.

    Bahdanau et al. 2015, arXiv:1409.0473, Figure 3. Pointing at a cell, or walking with
    the arrow keys, shows its number; pointing at a word shows its largest weights.

    Args:
        weights: `(T, S)`, each row the weights of one target word.
        source: S words, with the end of the sentence if the model reads it.
        target: T words, with the end of the sentence if the weights have its row.

    Returns:
        A `View`: the last line of a notebook cell shows it, `.save("alignment.html")`
        writes one file, `.figure()` draws with matplotlib.

    Raises:
        ValueError: a size, a value or the number of words is wrong.

    Example:

    >>> weights = [[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]]
    >>> show_alignment(weights, ["the", "red", "car"], ["la", "voiture"])
    <View 'la voiture'>
    """
    weights = to_array(weights)
    source, target = check_words(source, "source"), check_words(target, "target")
    if weights.ndim != 2 or 0 in weights.shape:
        raise ValueError(
            "`weights` must have the shape (target words, source words). Received: "
            f"weights.shape={weights.shape}. Pass one sentence, weights[0] of a batch; "
            "of several heads one, or their mean."
        )
    if weights.shape != (len(target), len(source)):
        swapped = weights.shape == (len(source), len(target))
        raise ValueError(
            "There must be one row for each target word and one column for each "
            f"source word. Received: weights.shape={weights.shape}, {len(target)} "
            f"words in `target`, {len(source)} words in `source`. "
            + (
                "Swap `source` and `target`."
                if swapped
                else "Cut off the padding, and count the end of the sentence in both."
            )
        )
    check_weights(weights, "weights")
    side = 46 * min(max(weights.shape), 16)
    return View(
        body="alignment.html",
        data={
            "ramps": RAMPS,
            "source": source,
            "target": target,
            "weights": pack_rows(weights),
        },
        title=" ".join(target),
        draw=lambda: _figure(weights, source, target),
        height=min(760, 250 + side * len(target) // max(weights.shape)),
    )


def _figure(weights, source, target):
    from keras_attention.visualization.figures import Figure

    rows, columns = weights.shape
    cell = min(0.45, max(0.16, 9 / max(rows, columns)))  # inches
    letters = [0.1 * max(map(len, words)) for words in (source, target)]
    figure = Figure(
        figsize=(columns * cell + letters[1] + 1.3, rows * cell + letters[0] + 0.4),
        layout="constrained",
    )
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # inches
    axes = figure.add_subplot()
    drawn = axes.imshow(weights, cmap=colour_map(), vmin=0, vmax=1)
    size = min(11, 50 * cell)
    axes.xaxis.tick_top()
    axes.set_xticks(range(columns), source, rotation=90, fontsize=size)
    axes.set_yticks(range(rows), target, fontsize=size)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_parse_math(False)
    axes.tick_params(length=0)
    axes.spines[:].set_color("lightgrey")
    bar = figure.colorbar(drawn, shrink=min(1, 2.5 / (rows * cell)), aspect=16)
    bar.set_label("weight", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    return figure
