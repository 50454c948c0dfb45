"""How probable a language model finds texts, read in windows that overlap.

Letters: n texts, W windows, B of them in a batch, T tokens of a window, V vocabulary.
"""

import typing

import keras
import numpy as np
from keras import ops

from keras_attention.backend.kept_variables import one_thread
from keras_attention.backend.programs import Program
from keras_attention.backend.programs import Recent
from keras_attention.generation.writer import into_batches


class Window(typing.NamedTuple):
    """A part of a text that the model reads at once.

    Attributes:
        text: Number of the text.
        start: Place of its first token in the text.
        end: Place behind its last one.
        scored_from: Place of the first token whose probability is counted: those
            before it were counted in the window before.
    """

    text: int
    start: int
    end: int
    scored_from: int


def cut_windows(lengths, size=None, stride=None):
    """Cuts texts into windows in which each token but the first is counted once.

    Args:
        lengths: Number of tokens of each text.
        size: Most tokens of a window. By default a text is one window.
        stride: How far a window begins behind the one before. Defaults to half of
            `size`, so that each token is predicted from `size - stride` tokens at
            least, but at the beginning of its text.

    Returns:
        List of W `Window`.

    Example:

    >>> [tuple(window) for window in cut_windows([6], size=4, stride=2)]
    [(0, 0, 4, 1), (0, 2, 6, 4)]
    """
    windows = []
    for text, length in enumerate(lengths):
        start, scored_from = 0, 1
        while scored_from < length:
            end = min(length, start + (size or length))
            windows.append(Window(text, start, end, scored_from))
            start, scored_from = start + (stride or (size or length) // 2), end
    return windows


class Scorer:
    """Says how probable tokens are; see `TextGenerator.perplexity`.

    It keeps what it compiled. Nothing in the model changes.

    Args:
        model: A `TextGenerator`.
        smallest: Fewest tokens to which windows are filled up where sizes are compiled.
    """

    def __init__(self, model, smallest=16):
        self._model = model
        self._smallest = smallest
        self._made = Recent(2)

    def log_probabilities(self, rows, windows, batch_size, verbose=0):
        """The log-probability of each token that is counted.

        Args:
            rows: Token ids of texts, n lists.
            windows: List of W `Window`.
            batch_size: B.
            verbose: 1 shows a bar.

        Returns:
            List of n float64 arrays, one number for each token but the first.
        """
        found = [np.zeros(max(0, len(row) - 1)) for row in rows]
        lengths = [window.end - window.start for window in windows]
        batches = list(into_batches(lengths, batch_size))
        bar = keras.utils.Progbar(len(batches), verbose=verbose, unit_name="batch")
        for numbers in batches:
            batch = [windows[i] for i in numbers]
            size = max(lengths[i] for i in numbers)
            if keras.backend.backend() != "torch":
                size = max(self._smallest, 1 << (size - 1).bit_length())
                size = min(size, self._model.max_length or size)
            ids = np.zeros((len(batch), size), "int32")
            mask = np.zeros((len(batch), size), "bool")
            for i, window in enumerate(batch):
                tokens = rows[window.text][window.start : window.end]
                ids[i, : len(tokens)], mask[i, : len(tokens)] = tokens, True
            scores = ops.convert_to_numpy(self._program()(ids, mask))  # (B, T - 1)
            for row, (text, start, end, scored_from) in zip(scores, batch, strict=True):
                part = row[scored_from - start - 1 : end - start - 1]
                found[text][scored_from - 1 : end - 1] = part
            bar.add(1)
        return found

    def _program(self):
        if hasattr(self._model, "jax_state_sync"):
            with one_thread(self._model):
                self._model.jax_state_sync()  # within a callback, fit has the newest
        variables = self._model.variables
        return self._made.get(
            tuple(map(id, variables)),
            lambda: Program(self._score, variables, model=self._model),
        )

    def _score(self, token_ids, mask):
        """The log-probability of each token but the first, `(B, T - 1)`."""
        inputs = self._model.input
        if isinstance(inputs, dict):
            known = {"token_ids": token_ids, "padding_mask": mask}
            given = {name: known[name] for name in inputs}
        else:
            given = token_ids
        logits = ops.cast(self._model(given, training=False), "float32")
        return -keras.losses.sparse_categorical_crossentropy(
            token_ids[:, 1:], logits[:, :-1], from_logits=True
        )
