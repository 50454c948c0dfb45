"""What comes out of `generate`, `translate` and `caption`, as its callers get it.

Letters: B sequences, n beams that come out, T tokens of the longest, L new tokens, N
heads, S tokens that were read.
"""

import typing

import keras
import numpy as np

from keras_attention.generation.stream import strip_end


class Written(typing.NamedTuple):
    """What was written for one sequence.

    Args:
        token_ids: n lists of the new token ids, without what ended them.
        log_probabilities: `(n,)`.
        weights: `(n, L, ..., S)`, what was read for each new token, or `None`. S begins
            with the first token of the prompt.
    """

    token_ids: list
    log_probabilities: np.ndarray
    weights: np.ndarray | None


def read_loop(inputs, loop, size, options):
    """Takes what was written for each sequence of a batch out of the loop.

    Args:
        inputs: Dict of NumPy arrays, `mask` `(B, S)` where a prompt has padding.
        loop: The loop after the last step.
        size: Slots of the prompts.
        options: `Options`.

    Returns:
        List of B `Written`.
    """
    count = options.sampler.num_results or 1
    names = ("sequences", "log_p", "kept")
    found = {
        name: keras.ops.convert_to_numpy(loop[name])[:, :count]
        for name in names
        if name in loop
    }
    written = []
    for i, beams in enumerate(found["sequences"]):
        weights = None
        if "kept" in found:
            padding = np.count_nonzero(~inputs["mask"][i]) if "mask" in inputs else 0
            weights = found["kept"][i, ..., padding:]
        new = [[int(t) for t in beam[size:] if t >= 0] for beam in beams]
        new = [strip_end(beam, options.rules) for beam in new]
        written.append(Written(new, found["log_p"][i], weights))
    return written


def collect(
    texts,
    written,
    options,
    *,
    return_log_probabilities=False,
    return_attention_scores=False,
    lengths=None,
):
    """Puts together what a call returns.

    Args:
        texts: For each of B sequences a list of n strings or lists of token ids.
        written: List of B `Written`.
        options: `Options`.
        return_log_probabilities: Whether they come out.
        return_attention_scores: Whether the weights come out.
        lengths: S of the sequences, for their weights.

    Returns:
        List of what is returned: strings, or integers `(B, T)`; log-probabilities
        `(B,)`; and the weights, `(B, T, S)`, or `(num_layers, B, N, T, S)` of a decoder
        with layers and heads. With `num_results` there is an axis n behind B.
    """
    is_single = options.sampler.num_results is None
    flat = [text for few in texts for text in few]
    if flat and isinstance(flat[0], str):
        results = [[few[0] for few in texts] if is_single else texts]
    else:
        results = [_pad(flat, options.rules.padding_id)]
        if not is_single:
            results = [results[0].reshape(len(texts), -1, results[0].shape[-1])]
    if return_log_probabilities:
        log_p = np.stack([each.log_probabilities for each in written])  # (B, n)
        results.append(log_p[:, 0] if is_single else log_p)
    if return_attention_scores:
        weights = _join_weights(written, lengths)  # (B, n, T, ..., S)
        weights = weights[:, 0] if is_single else weights
        if written[0].weights.ndim == 5:
            *first, t, layers, heads, s = range(weights.ndim)
            weights = weights.transpose(layers, *first, heads, t, s)
        results.append(weights)
    return results


def _pad(rows, padding_id):
    """Lists of token ids as one array."""
    padded = np.full((len(rows), max(map(len, rows))), padding_id, "int32")
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded


def _join_weights(written, lengths):
    """The weights of all sequences, `(B, n, T, ..., S)`, 0 after the last token."""
    first = written[0].weights
    longest = max(len(beam) for each in written for beam in each.token_ids)
    shape = (len(written), len(first), longest, *first.shape[2:-1], max(lengths))
    weights = np.zeros(shape, first.dtype)
    for place, each in zip(weights, written, strict=True):
        for row, beam, found in zip(place, each.token_ids, each.weights, strict=True):
            part = found[: len(beam), ..., : shape[-1]]
            row[: len(part), ..., : part.shape[-1]] = part
    return weights
