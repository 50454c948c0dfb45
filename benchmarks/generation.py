"""Does a language model of ours write as fast as others on the same machine?

    KERAS_BACKEND=torch python benchmarks/generation.py [--quick]

GPT-2 small (124 million parameters, random weights, float32) continues prompts of 32
and 512 tokens by 64 tokens, one prompt and eight at a time, by greedy search: ours,
KerasHub's, and on PyTorch that of transformers with its cache. Then, with a toy model,
how often each compiles for prompts of twenty lengths.
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
from keras import ops

from keras_attention.applications import Application
from keras_attention.generation import TextGenerator
from keras_attention.layers import TokenAndPositionEmbedding
from keras_attention.layers import TransformerDecoder
from keras_attention.layers import TransformerDecoderBlock


class Shape(typing.NamedTuple):
    """Sizes of a model."""

    vocabulary_size: int
    num_layers: int
    num_heads: int
    width: int
    max_length: int


GPT2_SMALL = Shape(50257, 12, 12, 768, 1024)
TOY = Shape(50, 2, 2, 16, 256)
# Prompts, their length, new tokens.
CASES = {
    "full": ((1, 32, 64), (1, 512, 64), (8, 32, 64), (8, 512, 64)),
    "quick": ((1, 32, 64),),
    "tiny": ((1, 8, 4),),
}
LENGTHS = {"full": 20, "quick": 20, "tiny": 3}
ROUNDS = {"full": 3, "quick": 2, "tiny": 1}


class OurGPT(TextGenerator, Application):
    """GPT-2 from the layers of this library."""

    def __init__(self, *, shape, name=None):
        embedding = TokenAndPositionEmbedding(
            shape.vocabulary_size, shape.width, max_length=shape.max_length
        )
        block = TransformerDecoderBlock(
            shape.num_heads,
            4 * shape.width,
            use_cross_attention=False,
            activation="gelu_tanh",
            epsilon=1e-5,
        )
        decoder = TransformerDecoder(block, shape.num_layers)
        token_ids = keras.Input((None,), dtype="int32")
        x = decoder(embedding(token_ids))
        super().__init__(
            token_ids, embedding.token_embedding(x, reverse=True), name=name
        )
        self.embedding, self.decoder = embedding, decoder
        self.tokenizer = self.end_id = None
        self.vocabulary_size, self.max_length = shape.vocabulary_size, shape.max_length

    def embed(self, token_ids, positions):
        return self.embedding(token_ids, positions=positions)

    def predict_logits(self, x):
        return self.embedding.token_embedding(x, reverse=True)


class Ours:
    """This library."""

    def __init__(self, shape):
        self.model = OurGPT(shape=shape)

    def write(self, prompts, count):
        return self.model.generate(prompts, max_new_tokens=count)

    def num_compilations(self):
        return self.model.num_compilations


class KerasHub:
    """KerasHub, which is given how long the texts become."""

    def __init__(self, shape):
        import keras_hub

        backbone = keras_hub.models.GPT2Backbone(
            vocabulary_size=shape.vocabulary_size,
            num_layers=shape.num_layers,
            num_heads=shape.num_heads,
            hidden_dim=shape.width,
            intermediate_dim=4 * shape.width,
            dropout=0.0,
            max_sequence_length=shape.max_length,
        )
        self.model = keras_hub.models.GPT2CausalLM(backbone, preprocessor=None)
        self.model.compile(sampler="greedy")

    def write(self, prompts, count):
        length = prompts.shape[1]
        mask = np.zeros((len(prompts), length + count), "int32")
        mask[:, :length] = 1
        inputs = {
            "token_ids": np.pad(prompts, ((0, 0), (0, count))),
            "padding_mask": mask,
        }
        return self.model.generate(inputs, stop_token_ids=None)["token_ids"]

    def num_compilations(self):
        function = self.model.make_generate_function()
        if keras.backend.backend() == "tensorflow":
            return function.experimental_get_tracing_count()
        for cell in function.__closure__ or ():  # around the function that JAX compiles
            if hasattr(cell.cell_contents, "_cache_size"):
                return cell.cell_contents._cache_size()
        return 0


class Transformers:
    """transformers, with its cache."""

    def __init__(self, shape):
        import torch
        import transformers

        self.torch = torch
        self.model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=shape.vocabulary_size,
                n_layer=shape.num_layers,
                n_head=shape.num_heads,
                n_embd=shape.width,
                n_positions=shape.max_length,
                bos_token_id=0,
                eos_token_id=None,
            )
        ).eval()

    def write(self, prompts, count):
        prompts = self.torch.as_tensor(prompts)
        return self.model.generate(
            prompts,
            attention_mask=self.torch.ones_like(prompts),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            use_cache=True,
            pad_token_id=0,
        ).numpy()

    def num_compilations(self):
        return 0


def make_contenders():
    """The libraries that are there, by name."""
    found = {"ours": Ours}
    if installed("keras_hub", "keras-hub"):
        found["KerasHub"] = KerasHub
    if keras.backend.backend() == "torch" and installed("transformers", "transformers"):
        found["transformers"] = Transformers
    return found


def draw_prompts(rows, length, shape):
    """Token ids `(rows, length)`."""
    rng = np.random.default_rng(0)
    return rng.integers(0, shape.vocabulary_size, (rows, length)).astype("int32")


def main(arguments=None):
    options = read_options(__doc__, arguments, only="")
    shape = TOY if options.size == "tiny" else GPT2_SMALL
    report = Report("generation", options)
    classes = make_contenders()
    ops.convert_to_numpy(ops.matmul(ops.ones((2, 2)), ops.ones((2, 2))))
    models = {name: make(shape) for name, make in classes.items()}
    cases = CASES[options.size]
    only = options.only.split(",") if options.only else [*map(str, range(5))]
    cases = [case for i, case in enumerate(cases) if str(i) in only]
    for rows, length, count in cases:
        case = f"{rows} x {length} + {count} tokens"
        prompts = draw_prompts(rows, length, shape)
        for name, model in models.items():
            start = time.perf_counter()
            written = model.write(prompts, count)
            report.add(f"first call, {case}", name, time.perf_counter() - start)
            if np.shape(written) != (rows, length + count):
                raise ValueError(f"{name} wrote {np.shape(written)}")
        calls = {
            name: functools.partial(model.write, prompts, count)
            for name, model in models.items()
        }
        timed = time_in_turn(calls, ROUNDS[options.size], warm_up=0)
        for name, seconds in timed.items():
            best = float(np.median(seconds))
            speed = round(rows * count / best, 1)
            report.add(
                case, name, best, tokens_per_second=speed, note=f"{speed} tokens/s"
            )
    if "4" in only:
        count_compilations(report, classes, LENGTHS[options.size])
    report.finish()


def count_compilations(report, classes, number):
    """Lets a toy model continue prompts of several lengths, and counts."""
    case = f"{number} lengths of prompts, toy"
    for name, make in classes.items():
        model = make(TOY)
        start = time.perf_counter()
        for i in range(number):
            model.write(draw_prompts(1, 5 + 9 * i, TOY), 16)
        seconds = time.perf_counter() - start
        compiled = model.num_compilations()
        report.add(
            case, name, seconds, num_compilations=compiled, note=f"{compiled} compiled"
        )


if __name__ == "__main__":
    main()
