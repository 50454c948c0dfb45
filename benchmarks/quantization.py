"""What do weights of 8 and 4 bits gain and lose?

    KERAS_BACKEND=torch python benchmarks/quantization.py [--quick]

A quick run takes some minutes on two cores, a full one half an hour.

Speed and size: GPT-2 small (124 million parameters, random weights) continues a prompt
of 32 tokens by 64 (quick: 16), one prompt and eight at a time, and reads 512 tokens at
once, with weights of 32, 8 and 4 bits. "ours" has 8 bits, and a ratio above 1 says
that it is faster. Seconds are those of a token. Weights of 4 bits are timed where a
text is read at once: all of them become numbers of 32 bits in each step, which takes
seconds of it.

Quality: a GPT of 4 blocks of width 256 (quick: 2 of width 96) learns the letters of
Python's manual, and is asked for pages that it has not seen: bits a letter, and how
often its best guess is that of 32 bits.
"""

import functools
import math
import pydoc_data.topics
import tempfile
import time
import typing

import keras
import numpy as np
from harness import read_options
from harness import Report

from keras_attention.applications import GPT2

# Rows, length of the prompts, new tokens; without any the model reads the prompt.
CASES = {
    "full": ((1, 32, 64), (8, 32, 64), (1, 512, 0)),
    "quick": ((1, 32, 16), (1, 256, 0)),
    "tiny": ((1, 8, 4),),
}
ROUNDS = {"full": 5, "quick": 3, "tiny": 1}
# Steps of training, of 16 pieces of 128 letters; blocks and their width; the rate.
STEPS = {"full": 1500, "quick": 400, "tiny": 2}
BLOCKS = {"full": (4, 256), "quick": (2, 96), "tiny": (1, 16)}
RATES = {"full": 1e-3, "quick": 3e-3, "tiny": 1e-3}
LENGTH = 128


class Kind(typing.NamedTuple):
    """A way of quantizing."""

    mode: str | None
    rounds_inputs: bool = True

    def apply(self, model):
        if self.mode is None:
            return
        config = None
        if not self.rounds_inputs:
            config = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
        model.quantize(self.mode, config=config)


KINDS = {
    "ours": Kind("int8"),
    "int8, weights alone": Kind("int8", rounds_inputs=False),
    "int4": Kind("int4"),
    "float32": Kind(None),
}


def name_of(contender):
    """Without seconds there is no ratio to ours."""
    return "int8" if contender == "ours" else contender


def make_gpt2(size):
    """GPT-2 small, or a toy."""
    if size == "tiny":
        sizes = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2}
        return GPT2(vocabulary_size=50, max_length=64, end_id=None, seed=1, **sizes)
    return GPT2(end_id=None, seed=1)


def measure_speed(report, size):
    """Times the same model with weights of all kinds, and writes it to a file."""
    models = {}
    for name, kind in KINDS.items():
        keras.utils.set_random_seed(1)
        models[name] = make_gpt2(size)
        kind.apply(models[name])
        with tempfile.NamedTemporaryFile(suffix=".weights.h5") as file:
            models[name].save_weights(file.name)
            megabytes = file.seek(0, 2) / 1e6
        report.add(
            "file", name_of(name), megabytes=megabytes, note=f"{megabytes:.0f} MB"
        )
    vocabulary_size = models["ours"].vocabulary_size
    for rows, length, count in CASES[size]:
        rng = np.random.default_rng(0)
        prompts = rng.integers(0, vocabulary_size, (rows, length)).astype("int32")
        inputs = {"token_ids": prompts, "padding_mask": np.ones_like(prompts)}
        calls = {
            name: functools.partial(model.generate, prompts, max_new_tokens=count)
            if count
            else functools.partial(model.predict, inputs, verbose=0)
            for name, model in models.items()
            if not (count and name == "int4" and size != "tiny")
        }
        case = f"{rows} x {length}" + (f" + {count}" if count else "") + " tokens"
        tokens = rows * (count or length)
        report.compare(case, calls, rounds=ROUNDS[size], per=tokens, settle=False)


def measure_quality(report, size):
    """Trains a model, and asks it for held-out text with weights of all kinds."""
    text = "".join(text for _, text in sorted(pydoc_data.topics.topics.items()))
    letters = sorted(set(text))
    numbers = {letter: number for number, letter in enumerate(letters)}
    ids = np.array([numbers[letter] for letter in text], "int32")
    pieces = ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)
    held_out = np.arange(len(pieces)) % 10 == 9
    train, test = pieces[~held_out], pieces[held_out]
    keras.utils.set_random_seed(1)
    num_layers, hidden_dim = BLOCKS[size]
    model = GPT2(
        vocabulary_size=len(letters),
        max_length=LENGTH,
        hidden_dim=hidden_dim,
        num_layers=num_layers,
        num_heads=4,
        dropout=0.0,
        attention_dropout=0.0,
        embedding_dropout=0.0,
        end_id=None,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(RATES[size]), loss)
    test = test[: {"tiny": 4, "quick": 50, "full": 200}[size]]

    def read(rows):
        ones = np.ones(rows[:, :-1].shape, "int32")
        return {"token_ids": rows[:, :-1], "padding_mask": ones}

    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for _ in range(STEPS[size]):
        rows = train[rng.integers(0, len(train), 16)]
        model.train_on_batch(read(rows), rows[:, 1:])
    seconds = time.perf_counter() - start
    report.add("training of the letters", "ours", seconds)
    weights = model.get_weights()
    best = model.predict(read(test), verbose=0).argmax(-1)
    for name, kind in KINDS.items():
        copy = GPT2.from_config(model.get_config())
        copy.set_weights(weights)
        kind.apply(copy)
        logits = copy.predict(read(test), verbose=0)
        bits = float(loss(test[:, 1:], logits)) / math.log(2)
        same = float(np.mean(logits.argmax(-1) == best))
        report.add(
            "held-out letters",
            name_of(name),
            bits=bits,
            same=same,
            note=f"{bits:.4f} bits, {100 * same:.2f}% the same guess",
        )


def main(arguments=None):
    options = read_options(__doc__, arguments)
    report = Report("quantization", options)
    measure_speed(report, options.size)
    measure_quality(report, options.size)
    report.finish()


if __name__ == "__main__":
    main()
