"""Trains a small GPT-2 on five novels of Jane Austen, and asks it about the sixth.

    apt-get download r-cran-janeaustenr
    python tutorials/jane_austen.py r-cran-janeaustenr_*.deb --output austen
    KERAS_BACKEND=jax python tutorials/gpt2_on_jane_austen.py austen

Of "Persuasion", 135,931 tokens of a vocabulary of 2,000 that the others made:

                          perplexity   bits of a character
    1-gram, Kneser-Ney      550.44           2.671
    2-gram, Kneser-Ney       85.49           1.883
    3-gram, Kneser-Ney       56.58           1.708
    4-gram, Kneser-Ney       54.60           1.693
    5-gram, Kneser-Ney       54.41           1.692
    GPT-2, 8.4 epochs        46.70           1.627

The last line is of twelve minutes on two CPU cores. The learning rate has fallen to its
end when they are over; after one or two epochs the counts are still ahead.
"""

import argparse
import pathlib
import tempfile
import time

import keras
import numpy as np

from keras_attention.applications import GPT2
from keras_attention.data import LanguageModelDataset
from keras_attention.generation import RandomSampler
from keras_attention.tokenizers import train_byte_pairs
from keras_attention.training import Perplexity
from keras_attention.training import TimeBudget
from keras_attention.training import TokenCrossentropy

BEGUN = ["Captain Wentworth", "She was sure that", "It was a truth"]


def kneser_ney(train, test, size, order):
    """Probabilities of tokens by counts of the tokens before them.

    Chen and Goodman 1999, "An empirical study of smoothing techniques for language
    modeling", Section 3: interpolated Kneser-Ney smoothing with three discounts. For
    g, a token behind the n - 1 tokens h, and h' without the first of these,

        p_n(g) = max(c(h g) - D, 0) / c(h) + left(h) p_{n-1}(g)

    c counts how often, for the longest n; else behind how many different tokens.

    Args:
        train: Integers `(N,)`, the tokens to count.
        test: Integers `(T,)`.
        size: How many tokens there are to choose from, `size ** order` below 2^63.
        order: n of the longest.

    Returns:
        `(T - order + 1,)`, the probabilities of the tokens from `order - 1` on.

    Raises:
        ValueError: There are too many sequences to count.
    """
    if size**order >= 2**63:
        raise ValueError(
            "`size ** order` must be below 2^63, since integers count sequences. "
            f"Received: size={size}, order={order}. Take fewer tokens or a lower order."
        )
    asked = sequences(test, size, order)
    p = np.full(len(asked), 1 / size)
    for n in range(1, order + 1):
        found = sequences(train, size, n)
        if n < order:
            found = np.unique(sequences(train, size, n + 1)) % size**n
        found, counts = np.unique(found, return_counts=True)
        ones, twos, threes, fours = (np.sum(counts == k) for k in (1, 2, 3, 4))
        ratio = ones / max(ones + 2 * twos, 1)
        discounts = [
            0,
            1 - 2 * ratio * twos / max(ones, 1),
            2 - 3 * ratio * threes / max(twos, 1),
            3 - 4 * ratio * fours / max(threes, 1),
        ]
        # Where few tokens are counted the estimates may leave their range.
        discounts = np.clip(discounts, 0, [0, 1, 2, 3])[np.minimum(counts, 3)]
        before, first = np.unique(found // size, return_index=True)
        totals = np.add.reduceat(counts, first)
        left = np.add.reduceat(discounts, first) / totals

        own = look_up(found, counts - discounts, asked % size**n)
        total = look_up(before, totals, asked % size**n // size)
        rest = look_up(before, left, asked % size**n // size)
        p = np.where(total > 0, own / np.maximum(total, 1) + rest * p, p)
    return p


def sequences(tokens, size, n):
    """All n tokens in a row, each row as one integer, whose last digit is the last."""
    windows = np.lib.stride_tricks.sliding_window_view(tokens.astype("int64"), n)
    return windows @ size ** np.arange(n, dtype="int64")[::-1]


def look_up(keys, values, asked):
    """The values of sorted keys, and 0 for what is not among them."""
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, values[place], 0)


def count_tokens(train, test, size, order):
    """Perplexity of an n-gram, which reads on from the text it has counted.

    Args:
        train, test, size, order: As for `kneser_ney`.

    Returns:
        Perplexity of all tokens of `test` but the first.
    """
    text = np.concatenate([train[-order:], test])
    p = kneser_ney(train, text, size, order)[1 - len(test) :]
    return float(np.exp(-np.log(p).mean()))


def build(tokenizer, length, sizes):
    """A GPT-2 that has not learned yet."""
    return GPT2(
        tokenizer=tokenizer,
        vocabulary_size=len(tokenizer),
        max_length=length,
        end_id=tokenizer.end_id,
        dropout=0.0,  # a few epochs: no sentence is seen often enough to be kept
        attention_dropout=0.0,
        embedding_dropout=0.0,
        **sizes,
    )


def train_model(model, dataset, minutes, rate=3e-3):
    """Trains until the time is over, with a learning rate that rises and falls."""
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.01, clipnorm=1.0),
        TokenCrossentropy(padding_id=None),
        weighted_metrics=[Perplexity(padding_id=None)],
    )
    budget = TimeBudget(minutes, warmup=0.1)
    model.fit(dataset, epochs=10_000, callbacks=[budget], verbose=2)


def main(arguments=None):
    """Trains the model, and prints what it and what counts make of the novel.

    Args:
        arguments: List of strings. Defaults to those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="what jane_austen.py wrote")
    parser.add_argument("--held-out", default="persuasion", help="(%(default)s)")
    parser.add_argument("--minutes", type=float, default=12.0, help="(%(default)s)")
    parser.add_argument("--vocabulary", type=int, default=2000, help="(%(default)s)")
    parser.add_argument("--width", type=int, default=128, help="(%(default)s)")
    parser.add_argument("--blocks", type=int, default=4, help="(%(default)s)")
    parser.add_argument("--length", type=int, default=128, help="(%(default)s)")
    options = parser.parse_args(arguments)
    novels = sorted(pathlib.Path(options.folder).glob("*.txt"))
    held_out = [path for path in novels if path.stem == options.held_out]
    novels = [path for path in novels if path not in held_out]
    if not held_out or not novels:
        parser.error(
            f"'{options.folder}' must hold {options.held_out}.txt and other novels. "
            "tutorials/jane_austen.py writes them."
        )
    keras.utils.set_random_seed(0)
    tokenizer = train_byte_pairs(novels, vocabulary_size=options.vocabulary)
    cuts = {"tokenizer": tokenizer, "length": options.length, "batch_size": 16}
    with tempfile.TemporaryDirectory() as cache:
        train = LanguageModelDataset(novels, num_parts=10, cache=cache, **cuts)
        test = LanguageModelDataset(held_out, shuffle=False, cache=cache, **cuts)
        counted, asked = np.array(train.token_ids), np.array(test.token_ids)
        print(f"{len(counted):,} tokens to learn from, {len(asked):,} held out")
        num_characters = len(held_out[0].read_text("utf-8"))

        def show(name, perplexity):
            bits = np.log2(perplexity) * (len(asked) - 1) / num_characters
            print(f"{name:24} {perplexity:7.2f} {bits:6.3f}", flush=True)

        print(f"{'':24} perplexity, bits of a character")
        for order in range(1, 6):
            name = f"{order}-gram, Kneser-Ney"
            show(name, count_tokens(counted, asked, len(tokenizer), order))
        sizes = {
            "hidden_dim": options.width,
            "num_layers": options.blocks,
            "num_heads": max(options.width // 32, 1),
        }
        model = build(tokenizer, options.length, sizes)
        begin = time.time()
        train_model(model, train, options.minutes)
        seconds = time.time() - begin
        found = model.evaluate(test, return_dict=True, verbose=0)
        show("GPT-2", found["perplexity"])
        tokens = int(model.optimizer.iterations) * train.batch_size * options.length
        epochs = tokens / len(counted)
        print(
            f"{model.count_params():,} parameters, {seconds:.0f} seconds, "
            f"{epochs:.1f} epochs"
        )
    for seed, begun in enumerate(BEGUN):
        sampler = RandomSampler(temperature=0.8, seed=seed)
        written = model.generate(begun, sampler=sampler, max_length=options.length)
        print(">", written)


if __name__ == "__main__":
    main()
