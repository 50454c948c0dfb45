"""Learns to translate from your sentence pairs, and shows what each word reads.

    python -m keras_attention translate pairs.tsv

Each line of the file holds source<TAB>target. One pair in twenty is held out, and the
model is scored on them. With `--model rnn` it does without attention.

Ten minutes. With JAX on two CPU cores, the pairs of `tutorials/libreoffice_help.py`
with at most ten words, each seen forty times:

    words of a source    pairs   BLEU   chrF   copied
    all                    838   50.2   72.3      6.3
    1-5                    450   49.5   71.9      6.9
    6-10                   388   50.5   72.4      6.2
"""

import argparse
import pathlib
import sys
import time
import zlib

import keras
import numpy as np

from keras_attention.applications import AttentionSeq2Seq
from keras_attention.applications import RNNSeq2Seq
from keras_attention.applications import Transformer
from keras_attention.data import load_sentence_pairs
from keras_attention.data import SentencePairDataset
from keras_attention.tokenizers import SubwordTokenizer
from keras_attention.training import bleu
from keras_attention.training import chrf
from keras_attention.training import TimeBudget
from keras_attention.training import TokenCrossentropy
from keras_attention.visualization import save_views
from keras_attention.visualization import show_alignment

SEED = 2015
# An epoch is an eighth of the pairs: the learning rate changes between epochs, and the
# training ends near the end of its time, also where a machine makes few passes.
PARTS = 8
EPOCHS = 40 * PARTS
BATCH_SIZE = 32
# Pairs whose source has a checksum below this, modulo 1000, are held out; of more than
# the most, those with the smallest.
HELD_OUT_CLASSES = 50
MOST_HELD_OUT = 1000

# Words of the source, for the scores by length.
LENGTHS = {"1-5": range(1, 6), "6-10": range(6, 11), "11+": range(11, 1000)}

# Sizes that learn in minutes from some ten thousand pairs.
RECURRENT = {"hidden_dim": 160, "word_dim": 128, "num_layers": 1, "dropout": 0.2}
MODELS = {
    "attention": (
        AttentionSeq2Seq,
        RECURRENT | {"cell": "gru", "attention_dim": 64, "readout_dim": 64},
    ),
    "rnn": (RNNSeq2Seq, RECURRENT | {"cell": "gru", "bidirectional": True}),
    "transformer": (
        Transformer,
        {
            "hidden_dim": 128,
            "num_layers": 2,
            "num_heads": 4,
            "mlp_dim": 256,
            "norm_order": "pre",
            "share_embeddings": False,
            "dropout": 0.2,
        },
    ),
}
RATES = {"attention": 3e-3, "rnn": 3e-3, "transformer": 1e-3}

# The page shows sentences of some length that fit on a screen.
SHOWN = 10
SHOWN_TOKENS = range(5, 21)


def hold_out(pairs):
    """The pairs to learn from, and those held out.

    By a checksum of the source, so that a sentence is in one part with all its
    translations, and in the same part in each run.

    Raises:
        ValueError: There are too few pairs.
    """
    training, held_out = [], []
    for pair in pairs:
        number = zlib.crc32(pair[0].encode())
        if number % 1000 < HELD_OUT_CLASSES:
            held_out.append((number, pair))
        else:
            training.append(pair)
    if not training or not held_out:
        raise ValueError(
            f"There are too few pairs to hold some out. Received: {len(pairs)}. One "
            "in twenty is held out: some hundreds are needed, and some thousands to "
            "learn from."
        )
    return training, [pair for _, pair in sorted(held_out)[:MOST_HELD_OUT]]


def score(sources, texts, truths):
    """How good translations are, all of them and those of each length.

    Args:
        sources: List of n strings.
        texts: List of n strings, the translations.
        truths: List of n strings.

    Returns:
        Dict from `"all"` and the names of `LENGTHS`, where there are sentences so long,
        to their number, and BLEU and chrF from 0 to 100.
    """
    words = np.array([len(source.split()) for source in sources])
    groups = {"all": np.ones(len(words), bool)}
    groups |= {name: np.isin(words, list(span)) for name, span in LENGTHS.items()}
    scores = {}
    for name, chosen in groups.items():
        rows = np.flatnonzero(chosen)
        if len(rows):
            found = [texts[i] for i in rows], [truths[i] for i in rows]
            scores[name] = len(rows), bleu(*found, tokenize="13a"), chrf(*found)
    return scores


def print_scores(scores, copied):
    """Prints a line for each length; `copied` are the scores of the sources."""
    print(f"{'words of a source':19}{'pairs':>7}{'BLEU':>7}{'chrF':>7}{'copied':>9}")
    for name, (count, *numbers) in scores.items():
        cells = "".join(f"{number:7.1f}" for number in numbers)
        print(f"{name:19}{count:7,}{cells}{copied[name][1]:9.1f}")


def make_tokenizer(texts, vocabulary_size):
    """Subwords of one language; of a small corpus as many as there are."""
    characters = len(set("".join(texts)))
    # Room for characters beside the merges.
    return SubwordTokenizer.train(texts, max(vocabulary_size, 2 * characters + 8))


def run(
    path,
    target_path=None,
    model="attention",
    folder="translate",
    minutes=10.0,
    vocabulary_size=2000,
    max_words=10,
    quick=False,
):
    """Trains a model, prints BLEU and examples, and saves model and page.

    Args:
        path: Sentence pairs, see `load_sentence_pairs`.
        target_path: The file with the translations, or None.
        model: `"attention"`, `"rnn"` or `"transformer"`.
        folder: Where to save.
        minutes: Most time for the training.
        vocabulary_size: Subwords of each language.
        max_words: Pairs with more words on a side are left out.
        quick: Learn for a moment with a tiny model, only to see that all works.

    Returns:
        Dict with the `scores` of the held-out pairs (see `score`), those of the sources
        as they are, `copied`, and `passes` over the pairs and `seconds` of training.

    Raises:
        ValueError: The pairs cannot be read, or are too few.
    """
    keras.utils.set_random_seed(SEED)
    verbose = 1 if sys.stdout.isatty() else 2
    pairs = load_sentence_pairs(
        path, target_path, max_length=max_words, max_ratio=3.0, distinct=True
    )
    training, held_out = hold_out(pairs)
    sources, targets = (list(side) for side in zip(*training, strict=True))
    tokenizers = [make_tokenizer(side, vocabulary_size) for side in (sources, targets)]
    test_sources, truths = (list(side) for side in zip(*held_out, strict=True))
    batches = SentencePairDataset(
        training,
        *tokenizers,
        BATCH_SIZE,
        num_buckets=3,
        num_parts=PARTS,
        seed=SEED,
    )
    longest = int(batches.shapes.max())

    kind, sizes = MODELS[model]
    if quick:
        sizes = sizes | {"hidden_dim": 8, "num_layers": 1}
    translator = kind(
        source_vocabulary=tokenizers[0],
        target_vocabulary=tokenizers[1],
        seed=SEED,
        **sizes,
    )
    print(
        f"{len(training):,} pairs to learn from, {len(held_out):,} held out; "
        f"{len(tokenizers[0]):,} and {len(tokenizers[1]):,} subwords. "
        f"{kind.__name__}: {translator.count_params():,} weights. "
        f"Backend: {keras.backend.backend()}.",
        flush=True,
    )
    optimizer = keras.optimizers.AdamW(
        RATES[model], weight_decay=0.01, beta_2=0.98, clipnorm=1.0
    )
    translator.compile(optimizer, TokenCrossentropy(label_smoothing=0.1))
    begin = time.perf_counter()
    history = translator.fit(
        batches,
        epochs=2 if quick else EPOCHS,
        callbacks=[TimeBudget(minutes, warmup=0.1)],
        verbose=verbose,
    )
    seconds = time.perf_counter() - begin

    # Sentences of all lengths in one call: those that are too long are cut.
    source_ids = tokenizers[0].encode(test_sources, max_length=longest, truncate=True)
    texts = translator.translate(source_ids, max_length=longest)
    results = {
        "scores": score(test_sources, texts, truths),
        "copied": score(test_sources, test_sources, truths),
        "passes": len(history.epoch) / batches.num_parts,
        "seconds": seconds,
    }
    print()
    chosen = np.random.default_rng(SEED).permutation(len(truths))[:SHOWN]
    for i in chosen:
        print(f"  source  {test_sources[i]}\n  truth   {truths[i]}")
        print(f"  model   {texts[i]}\n")
    print_scores(results["scores"], results["copied"])
    print(
        f"Each pair was seen {results['passes']:.1f} times, in {seconds:.0f} seconds. "
        "`copied` is the BLEU of the sources as they are."
    )
    save(translator, pathlib.Path(folder), test_sources, truths)
    return results


def save(translator, folder, sources, truths):
    """Writes the model and the page, and says where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    translator.save_to_preset(folder / "model", overwrite=True)
    print(f"\nThe model:                   {folder / 'model'}")
    views = align(translator, sources)
    if not views:
        print(f"{type(translator).__name__} has no alignment to show.")
        return
    truth = dict(zip(sources, truths, strict=True))
    page = save_views(
        views.values(),
        folder / "alignments.html",
        title="Which words each word reads",
        captions=[f"{source} → {truth[source]}" for source in views],
    )
    print(f"Which words each word reads: {page}")


def align(translator, sources):
    """Dict from some sentences to a view of the alignment of their translation."""
    if isinstance(translator, RNNSeq2Seq):
        return {}
    vocabularies = translator.source_vocabulary, translator.target_vocabulary
    tokens = vocabularies[0].tokens(vocabularies[0].encode(sources))
    chosen = [i for i in range(len(sources)) if len(tokens[i]) in SHOWN_TOKENS]
    chosen = chosen[: 2 * SHOWN]
    if not chosen:
        return {}
    texts, weights = translator.translate(
        [sources[i] for i in chosen],
        max_length=3 * max(SHOWN_TOKENS),
        return_attention_scores=True,
    )
    if weights.ndim == 5:
        weights = weights.mean(axis=(0, 2))  # layers and heads
    views = {}
    for i, text, rows in zip(chosen, texts, weights, strict=True):
        if not text:
            continue
        (words,) = vocabularies[1].tokens(vocabularies[1].encode([text]))
        columns = ["[start]", *tokens[i], "[end]"]
        # The model may split a word in another way than the tokenizer.
        if len(words) == np.count_nonzero(rows.sum(axis=1)) and len(views) < SHOWN:
            rows = rows[: len(words), : len(columns)]
            views[sources[i]] = show_alignment(rows, columns, words)
    return views


def main(argv=None, parser_class=argparse.ArgumentParser):
    """Runs the command.

    Args:
        argv: List of strings. Defaults to the arguments of the process.
        parser_class: What reads them.
    """
    parser = parser_class(
        prog="python -m keras_attention translate",
        description="Learns to translate from sentence pairs, and shows what it reads.",
    )
    parser.add_argument(
        "pairs", metavar="FILE", help="source<TAB>target on each line, in UTF-8"
    )
    parser.add_argument(
        "targets",
        metavar="TARGETS",
        nargs="?",
        help="a second file: then each has one sentence a line",
    )
    parser.add_argument(
        "--model",
        choices=list(MODELS),
        default="attention",
        help="Bahdanau's attention, none, or the Transformer (%(default)s)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="most time for the training (%(default)s)",
    )
    parser.add_argument(
        "--vocabulary-size",
        type=int,
        default=2000,
        metavar="N",
        help="subwords of each language (%(default)s)",
    )
    parser.add_argument(
        "--max-words",
        type=int,
        default=10,
        metavar="N",
        help="leave out pairs with more words on a side (%(default)s)",
    )
    parser.add_argument(
        "--folder", default="translate", help="where to save (%(default)s)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a moment and a tiny model, only to see that all works",
    )
    options = parser.parse_args(argv)
    for name in ("minutes", "vocabulary_size", "max_words"):
        if not getattr(options, name) > 0:
            flag = name.replace("_", "-")
            parser.error(
                f"--{flag} must be positive. Received: {getattr(options, name)}"
            )
    try:
        run(
            options.pairs,
            options.targets,
            model=options.model,
            folder=options.folder,
            minutes=options.minutes,
            vocabulary_size=options.vocabulary_size,
            max_words=options.max_words,
            quick=options.quick,
        )
    except BrokenPipeError:
        raise  # nobody reads what is printed
    except (ValueError, OSError, ImportError) as error:
        parser.error(str(error))
