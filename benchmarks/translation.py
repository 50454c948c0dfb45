"""Does a translator of ours write as fast as others on the same machine?

    KERAS_BACKEND=torch python benchmarks/translation.py [--quick]

Models of random weights, float32, translate sentences of 24 tokens into 48. First some
of the size of Marian's (6 + 6 blocks of width 512, 58,101 tokens, tied): ours,
KerasHub's BART in that size, and on PyTorch the Marian of transformers with its cache.
Then the recurrent network of Bahdanau et al. (1,000 units, 30,000 words), which has no
peer. Each by greedy search and with four beams, but KerasHub by greedy search only.
Last, how often toy models of ours compile for sentences of twenty lengths.
"""

import functools
import time
import typing

import keras
import numpy as np
from harness import installed
from harness import read_options
from harness import Report
from harness import time_in_turn

from keras_attention.applications import AttentionSeq2Seq
from keras_attention.applications import Transformer


class Shape(typing.NamedTuple):
    """Sizes of a Transformer and of a recurrent network."""

    vocabulary_size: int
    num_layers: int
    num_heads: int
    width: int
    words: int
    units: int
    word_dim: int


MARIAN = Shape(58101, 6, 8, 512, 30000, 1000, 620)
TOY = Shape(50, 2, 2, 16, 50, 16, 8)
START, END = 1, 2
# Sentences, their tokens, tokens that are written, beams.
CASES = {
    "full": ((1, 24, 48, 1), (8, 24, 48, 1), (1, 24, 48, 4), (8, 24, 48, 4)),
    "quick": ((1, 24, 48, 1),),
    "tiny": ((2, 5, 4, 2),),
}
LENGTHS = {"full": 20, "quick": 20, "tiny": 3}
ROUNDS = {"full": 3, "quick": 2, "tiny": 1}


def our_transformer(shape):
    return Transformer(
        source_vocabulary_size=shape.vocabulary_size,
        hidden_dim=shape.width,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        mlp_dim=4 * shape.width,
        activation="silu",
        start_id=START,
        end_id=END,
    )


def our_network(shape):
    return AttentionSeq2Seq(
        source_vocabulary_size=shape.words,
        target_vocabulary_size=shape.words,
        hidden_dim=shape.units,
        word_dim=shape.word_dim,
    )


class Ours:
    """A model of this library.

    Args:
        make: Function of a shape that returns it.
        shape: The shape.
    """

    def __init__(self, make, shape):
        self.model = make(shape)

    def write(self, sentences, count, beam_width):
        # One token more, for the end, which is not written.
        translations = self.model.translate(
            sentences, beam_width=beam_width, max_length=count
        )
        return translations.shape[1]

    def num_compilations(self):
        return self.model.num_compilations


class KerasHub:
    """KerasHub, which is given the length of the translation."""

    def __init__(self, shape):
        import keras_hub

        backbone = keras_hub.models.BartBackbone(
            vocabulary_size=shape.vocabulary_size,
            num_layers=shape.num_layers,
            num_heads=shape.num_heads,
            hidden_dim=shape.width,
            intermediate_dim=4 * shape.width,
            dropout=0.0,
            max_sequence_length=512,
        )
        self.model = keras_hub.models.BartSeq2SeqLM(backbone)
        self.model.compile(sampler="greedy")

    def write(self, sentences, count, beam_width):
        del beam_width
        shape = (len(sentences), count + 1)
        mask = np.zeros(shape, "int32")
        mask[:, 0] = 1
        inputs = {
            "encoder_token_ids": sentences,
            "encoder_padding_mask": np.ones_like(sentences),
            "decoder_token_ids": np.full(shape, START, "int32") * mask,
            "decoder_padding_mask": mask,
        }
        written = self.model.generate(inputs, stop_token_ids=None)
        return written["decoder_token_ids"].shape[1] - 1


class Transformers:
    """transformers, with its cache."""

    def __init__(self, shape):
        import torch
        import transformers

        self.torch = torch
        self.model = transformers.MarianMTModel(
            transformers.MarianConfig(
                vocab_size=shape.vocabulary_size,
                d_model=shape.width,
                encoder_layers=shape.num_layers,
                decoder_layers=shape.num_layers,
                encoder_attention_heads=shape.num_heads,
                decoder_attention_heads=shape.num_heads,
                encoder_ffn_dim=4 * shape.width,
                decoder_ffn_dim=4 * shape.width,
                activation_function="swish",
                pad_token_id=0,
                eos_token_id=END,
                forced_eos_token_id=None,
                decoder_start_token_id=START,
            )
        ).eval()

    def write(self, sentences, count, beam_width):
        sentences = self.torch.as_tensor(sentences)
        written = self.model.generate(
            sentences,
            attention_mask=self.torch.ones_like(sentences),
            max_new_tokens=count,
            min_new_tokens=count,
            num_beams=beam_width,
            do_sample=False,
            use_cache=True,
        )
        return written.shape[1] - 1


def draw_sentences(rows, length, size):
    """Token ids `(rows, length)`."""
    rng = np.random.default_rng(0)
    return rng.integers(END + 1, size, (rows, length)).astype("int32")


def main(arguments=None):
    options = read_options(__doc__, arguments)
    report = Report("translation", options)
    shape = TOY if options.size == "tiny" else MARIAN
    transformers = {"ours": Ours(our_transformer, shape)}
    if installed("keras_hub", "keras-hub"):
        transformers["KerasHub"] = KerasHub(shape)
    if keras.backend.backend() == "torch" and installed("transformers", "transformers"):
        transformers["transformers"] = Transformers(shape)
    networks = {"ours": Ours(our_network, shape)}
    kinds = {
        "Transformer": (transformers, shape.vocabulary_size),
        "RNN": (networks, shape.words),
    }
    for kind, (models, size) in kinds.items():
        for rows, length, count, beam_width in CASES[options.size]:
            search = "greedy" if beam_width == 1 else f"{beam_width} beams"
            compare(
                report,
                f"{kind}, {rows} x {length} -> {count} tokens, {search}",
                {
                    name: functools.partial(
                        model.write,
                        draw_sentences(rows, length, size),
                        count,
                        beam_width,
                    )
                    for name, model in models.items()
                    if beam_width == 1 or name != "KerasHub"
                },
                rows,
                count,
                ROUNDS[options.size],
            )
    for kind, make in (("Transformer", our_transformer), ("RNN", our_network)):
        count_compilations(report, kind, make, LENGTHS[options.size])
    report.finish()


def compare(report, case, calls, rows, count, rounds):
    """Times the first call of each, then all in turn."""
    for name, call in calls.items():
        start = time.perf_counter()
        written = call()
        report.add(f"first call, {case}", name, time.perf_counter() - start)
        if written != count:
            raise ValueError(f"{name} wrote {written} tokens, not {count}")
    for name, seconds in time_in_turn(calls, rounds, warm_up=0).items():
        median = float(np.median(seconds))
        speed = round(rows * count / median, 1)
        report.add(
            case, name, median, tokens_per_second=speed, note=f"{speed} tokens/s"
        )


def count_compilations(report, kind, make, number):
    """Lets a toy model translate sentences of several lengths, and counts."""
    model = Ours(make, TOY)
    start = time.perf_counter()
    for i in range(number):
        model.write(draw_sentences(1, 5 + 3 * i, TOY.vocabulary_size), 8, 1)
    seconds = time.perf_counter() - start
    compiled = model.num_compilations()
    report.add(
        f"{number} lengths of sentences, toy {kind}",
        "ours",
        seconds,
        num_compilations=compiled,
        note=f"{compiled} compiled",
    )


if __name__ == "__main__":
    main()
