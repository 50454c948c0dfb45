"""Learns how English words are spoken, and shows which letters each sound reads.

    python -m keras_attention pronounce

Three models learn the words of CMUdict from random weights, two minutes each: a
recurrent encoder and decoder with one vector between them, the same with attention, and
a Transformer. Then they write the 11,826 words that were held out. Nine minutes on two
CPU cores. Phoneme errors with JAX, and how often the words were seen:

    letters of a word     all     1-5     6-9     10+  passes
    RNNSeq2Seq           9.8%    8.9%    9.2%   11.9%     6.4
    AttentionSeq2Seq     7.9%    8.9%    8.1%    6.9%     3.8
    Transformer          9.8%    9.1%    9.8%   10.2%     3.1
    g2p-en               8.3%    7.1%    7.6%   10.6%
"""

import argparse
import importlib.metadata
import pathlib
import sys
import time

import keras
import numpy as np

from keras_attention.applications import AttentionSeq2Seq
from keras_attention.applications import RNNSeq2Seq
from keras_attention.applications import Transformer
from keras_attention.data import cmudict
from keras_attention.data import SentencePairDataset
from keras_attention.data.phonemes import LETTERS
from keras_attention.data.phonemes import PHONEMES
from keras_attention.training import nearest_references
from keras_attention.training import TimeBudget
from keras_attention.training import TokenCrossentropy
from keras_attention.visualization import save_views
from keras_attention.visualization import show_alignment

SEED = 2014
# An epoch is an eighth of the words, so that training ends near the end of its time.
PARTS = 8
EPOCHS = 30 * PARTS
MAX_LENGTH = 24  # phonemes; the longest word of the dictionary has 28

# Letters of short words, of middle ones, and of all longer ones.
LENGTHS = {"1-5": range(1, 6), "6-9": range(6, 10), "10+": range(10, 100)}

# Words of which the page shows the alignment. All of them are held out.
SHOWN = 12

# Sizes with which the models learn most in two minutes on two CPU cores.
VOCABULARIES = {"source_vocabulary": LETTERS, "target_vocabulary": PHONEMES}
RECURRENT = {
    "hidden_dim": 128,
    "word_dim": 64,
    "num_layers": 1,
    "cell": "gru",
    "max_length": MAX_LENGTH,
}
MODELS = {
    "RNNSeq2Seq": (RNNSeq2Seq, RECURRENT | {"bidirectional": True}),
    "AttentionSeq2Seq": (
        AttentionSeq2Seq,
        RECURRENT | {"attention_dim": 64, "readout_dim": 64},
    ),
    "Transformer": (
        Transformer,
        {
            "hidden_dim": 128,
            "num_layers": 2,
            "num_decoder_layers": 1,
            "num_heads": 4,
            "mlp_dim": 256,
            "norm_order": "pre",
            "share_embeddings": False,
            "dropout": 0.0,
        },
    ),
}
RATES = {"RNNSeq2Seq": 3e-3, "AttentionSeq2Seq": 3e-3, "Transformer": 2e-3}
BATCH_SIZES = {"RNNSeq2Seq": 64, "AttentionSeq2Seq": 64, "Transformer": 32}
QUICK = {
    "RNNSeq2Seq": {"hidden_dim": 8, "word_dim": 4},
    "AttentionSeq2Seq": {"hidden_dim": 8, "word_dim": 4},
    "Transformer": {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 8},
}

PEER = "g2p-en"


def train(model, rate, batch_size, pairs, epochs, minutes, verbose):
    """Trains a model; returns how often it saw all words, and the seconds it took."""
    model.compile(
        keras.optimizers.Adam(rate, beta_2=0.99, clipnorm=1.0),
        TokenCrossentropy(label_smoothing=0.05),
    )
    batches = SentencePairDataset(
        pairs,
        LETTERS,
        PHONEMES,
        batch_size,
        num_buckets=2,
        num_parts=PARTS,
        seed=SEED,
    )
    begin = time.perf_counter()
    history = model.fit(
        batches, epochs=epochs, callbacks=[TimeBudget(minutes)], verbose=verbose
    )
    return len(history.epoch) / batches.num_parts, time.perf_counter() - begin


def score(words, texts, pronunciations):
    """Error rates of all words, and of those of each length, in percent.

    Args:
        words: List of n strings.
        texts: List of n strings, the phonemes that a model wrote.
        pronunciations: List of n lists of strings, all of which are right.

    Returns:
        Dict from `"all"` and the names of `LENGTHS` to the phoneme error rate and the
        word error rate.
    """
    errors, lengths = nearest_references(texts, pronunciations)
    letters = np.array([len(word) for word in words])
    groups = {"all": np.ones(len(words), bool)}
    groups |= {name: np.isin(letters, list(span)) for name, span in LENGTHS.items()}
    return {
        name: (
            100 * errors[chosen].sum() / max(1, lengths[chosen].sum()),
            100 * np.mean(errors[chosen] > 0) if chosen.any() else 0.0,
        )
        for name, chosen in groups.items()
    }


def print_table(results):
    """Prints a line for each model."""
    print(f"\n{'':17}{'phoneme errors':>32}{'word errors':>32}")
    heads = ["all", *LENGTHS]
    columns = "".join(f"{name:>8}" for name in [*heads, *heads])
    print(
        f"{'letters of a word':17}{columns}{'passes':>8}{'seconds':>9}{'weights':>11}"
    )
    for name, (rates, epochs, seconds, weights) in results.items():
        numbers = [rates[head][i] for i in (0, 1) for head in heads]
        cells = "".join(f"{number:7.1f}%" for number in numbers)
        rest = f"{epochs:8.1f}{seconds:9.0f}" if epochs else f"{'':17}"
        print(f"{name:17}{cells}{rest}{weights:11,}")


def run(
    folder="pronounce", minutes=2.0, names=tuple(MODELS), epochs=EPOCHS, quick=False
):
    """Trains the models, prints the table, and saves model, figure and page.

    Args:
        folder: Where to save.
        minutes: Most time for the training of each model.
        names: Which of `MODELS` to train.
        epochs: Most epochs, each an eighth of the words.
        quick: Learn a few words with tiny models, only to see that all works.

    Returns:
        Dict from the name of each model to its error rates, passes, seconds and number
        of weights.
    """
    keras.utils.set_random_seed(SEED)
    verbose = 1 if sys.stdout.isatty() else 2
    pairs = cmudict(split="train").pairs()
    words, pronunciations = cmudict(split="test")
    if quick:
        pairs, epochs = pairs[::400], 2
        words, pronunciations = words[::400], pronunciations[::400]
    # 22 of 110,000; a model writes none of them.
    pairs = [pair for pair in pairs if len(pair[1].split()) <= MAX_LENGTH]
    print(
        f"{len(pairs):,} words to learn from, {len(words):,} held out. "
        f"Backend: {keras.backend.backend()}."
    )

    results, written, models = {}, {}, {}
    for name in names:
        kind, options = MODELS[name]
        sizes = options | (QUICK[name] if quick else {})
        model = models[name] = kind(**VOCABULARIES, **sizes, seed=SEED)
        weights = model.count_params()
        print(f"\n{name}: {weights:,} weights", flush=True)
        passes, seconds = train(
            model, RATES[name], BATCH_SIZES[name], pairs, epochs, minutes, verbose
        )
        written[name] = model.translate(
            words, beam_width=1, max_length=MAX_LENGTH, batch_size=256
        )
        rates = score(words, written[name], pronunciations)
        results[name] = rates, passes, seconds, weights
        wrong = "{:.1f}% of the phonemes and {:.1f}% of the words are wrong"
        print(wrong.format(*rates["all"]), flush=True)
    peer = peer_pronunciations(words)
    if peer is not None:
        written[PEER], weights = peer
        results[PEER] = score(words, written[PEER], pronunciations), 0, 0.0, weights

    print_table(results)
    if peer is None:
        print("`pip install --no-deps g2p-en` puts a published model beside them.")
    else:
        print(f"{PEER} was published trained, probably on the words held out here too.")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if "AttentionSeq2Seq" in models:
        save(models["AttentionSeq2Seq"], folder, words, pronunciations)
    try:
        figure = draw_errors(words, written, pronunciations)
    except ImportError as error:
        print(error)
    else:
        figure.savefig(folder / "errors.png", dpi=120)
        print(f"Errors by the length of words:  {folder / 'errors.png'}")
    return results


def save(model, folder, words, pronunciations):
    """Writes the model and the page, and says where they are."""
    model.save_to_preset(folder / "model", overwrite=True)
    chosen = np.random.default_rng(SEED).permutation(len(words))[:SHOWN]
    views = align(model, [words[i] for i in sorted(chosen)])
    right = dict(zip(words, pronunciations, strict=True))
    page = save_views(
        views.values(),
        folder / "alignments.html",
        title="Which letters each sound reads",
        captions=[f"{word}: {' or '.join(right[word])}" for word in views],
    )
    print(
        f"\nThe model:                      {folder / 'model'}"
        f"\nWhich letters each sound reads: {page}"
    )


def align(model, words):
    """Dict from each word to a view of its alignment."""
    texts, weights = model.translate(
        words, beam_width=1, return_attention_scores=True
    )  # (B, T, S)
    views = {}
    for word, text, rows in zip(words, texts, weights, strict=True):
        phonemes, letters = text.split(), ["[start]", *word, "[end]"]
        if phonemes:
            rows = rows[: len(phonemes), : len(letters)]
            views[word] = show_alignment(rows, letters, phonemes)
    return views


def draw_errors(words, written, pronunciations):
    """A figure: phoneme errors of each model against the letters of a word."""
    from keras_attention.files import import_package

    Figure = import_package(
        "matplotlib.figure", "matplotlib", "plots", "The figure of the errors"
    ).Figure
    letters = np.array([len(word) for word in words])
    lengths = [n for n in range(3, 15) if np.any(letters == n)]
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for name, texts in written.items():
        errors, sizes = nearest_references(texts, pronunciations)
        rates = [
            100 * errors[letters == n].sum() / sizes[letters == n].sum()
            for n in lengths
        ]
        axes.plot(lengths, rates, marker="o", label=name)
    axes.set_xlabel("letters of the word")
    axes.set_ylabel("phoneme errors, %")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def peer_pronunciations(words):
    """What g2p-en writes for words, by its own weights in plain NumPy.

    Park and Kim 2019, github.com/Kyubyong/g2p: a GRU reads the letters, another one
    writes phonemes from its last state, without attention. Its package is not
    imported, as that fetches other data.

    Args:
        words: List of n strings of the letters a to z.

    Returns:
        List of n strings without stress, and the number of weights; None where the
        package is not installed.
    """
    try:
        package = importlib.metadata.distribution("g2p-en")
    except importlib.metadata.PackageNotFoundError:
        return None
    with np.load(package.locate_file("g2p_en/checkpoint20.npz")) as file:
        weights = {name: file[name] for name in file.files}
    end_letter, letter_ids = 2, {chr(ord("a") + i): i + 3 for i in range(26)}
    start, end = 2, 3
    vowels = {phoneme for phoneme in PHONEMES.words if phoneme[0] in "AEIOU"}
    stressed = [vowel + digit for vowel in vowels for digit in "012"]
    # Its list has one vowel without stress too.
    phonemes = sorted([*(set(PHONEMES.words) - vowels), *stressed, "UW"])
    phonemes = ["", "", "", "", *(phoneme.rstrip("012") for phoneme in phonemes)]

    def step(side, token_ids, state):
        x = weights[f"{side}_emb"][token_ids]
        inputs = x @ weights[f"{side}_w_ih"].T + weights[f"{side}_b_ih"]
        states = state @ weights[f"{side}_w_hh"].T + weights[f"{side}_b_hh"]
        (r, z, n), (r2, z2, n2) = (np.split(a, 3, axis=1) for a in (inputs, states))
        r, z = 1 / (1 + np.exp(-r - r2)), 1 / (1 + np.exp(-z - z2))
        return (1 - z) * np.tanh(n + r * n2) + z * state

    lengths = np.array([len(word) for word in words])
    letters = np.full((len(words), lengths.max() + 1), end_letter)
    for row, word in zip(letters, words, strict=True):
        row[: len(word)] = [letter_ids[letter] for letter in word]
    state = np.zeros((len(words), weights["enc_w_hh"].shape[1]), "float32")
    for i in range(letters.shape[1]):
        reads = (i <= lengths)[:, None]
        state = np.where(reads, step("enc", letters[:, i], state), state)
    token_ids = np.full(len(words), start)
    columns = []
    for _ in range(20):  # most phonemes that it writes
        state = step("dec", token_ids, state)
        token_ids = (state @ weights["fc_w"].T + weights["fc_b"]).argmax(axis=1)
        columns.append(token_ids)
    texts = []
    for row in np.stack(columns, axis=1).tolist():
        row = row[: row.index(end)] if end in row else row
        texts.append(" ".join(phonemes[i] for i in row))
    return texts, sum(weight.size for weight in weights.values())


def main(argv=None, parser_class=argparse.ArgumentParser):
    """Runs the command.

    Args:
        argv: List of strings. Defaults to the arguments of the process.
        parser_class: What reads them.
    """
    parser = parser_class(
        prog="python -m keras_attention pronounce",
        description=(
            "Learns how English words are spoken, with and without attention, and "
            "shows which letters each sound reads."
        ),
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=2.0,
        help="most time for the training of each of the models (%(default)s)",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        choices=list(MODELS),
        default=list(MODELS),
        metavar="MODEL",
        help="which to train: some of %(choices)s (all)",
    )
    parser.add_argument(
        "--folder", default="pronounce", help="where to save (%(default)s)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few words and tiny models, only to see that all works",
    )
    options = parser.parse_args(argv)
    if not options.minutes > 0:
        parser.error(f"--minutes must be positive. Received: {options.minutes}")
    try:
        run(options.folder, options.minutes, options.models, quick=options.quick)
    except ImportError as error:
        parser.error(str(error))
