"""Transformer-XL against its formulas, by loops in NumPy over the published tensors.

The library transformers has its class up to version 4.57.3, which gives the same
numbers where both begin with a memory of zeros.
"""

import json
import math

import keras
import numpy as np
import pytest
import safetensors.numpy

from helpers import to_numpy
from keras_attention import applications
from keras_attention.checkpoints.arguments import argument_defaults
from keras_attention.tokenizers.tokenizer_files import byte_pair_tokenizer
from keras_attention.training import TokenCrossentropy
from published import assert_close

SMALL = {
    "vocabulary_size": 23,
    "cutoffs": [9, 15],
    "division": 2,
    "table_dim": 16,
    "hidden_dim": 12,
    "key_dim": 5,
    "num_layers": 2,
    "num_heads": 3,
    "mlp_dim": 20,
    "epsilon": 0.05,
    "memory_length": 6,
    "max_distance": 4,
    "initializer_range": 0.3,
    "seed": 4,
}
OTHERWISE = {
    "same_length": False,
    "max_distance": None,
    "tie_embeddings": False,
    "share_projections": False,
}
IDS = np.random.default_rng(0).integers(0, 23, (2, 12))


def randomized(**changes):
    """A model whose norms and biases are random, too."""
    model = applications.TransformerXL(**{**SMALL, **changes})
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(0, 0.3, x.shape) for x in model.get_weights()])
    return model


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


class Formulas:
    """Dai et al. 2019, Section 3.3, one text at a time, on the tensors of a folder."""

    def __init__(self, folder):
        tensors = safetensors.numpy.load_file(folder / "model.safetensors")
        self.t = {name: x.astype("float64") for name, x in tensors.items()}
        self.c = json.loads((folder / "config.json").read_text())
        self.edges = [0, *self.c["cutoffs"], self.c["vocab_size"]]

    def linear(self, x, name):
        y = x @ self.t[f"{name}.weight"].T
        return y + self.t[f"{name}.bias"] if f"{name}.bias" in self.t else y

    def norm(self, x, name):
        centered = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centered**2).mean(axis=-1, keepdims=True) + 0.05)
        return centered / scale * self.t[f"{name}.weight"] + self.t[f"{name}.bias"]

    def embed(self, token):
        cluster = np.searchsorted(self.edges, token, side="right") - 1
        row = self.t[f"transformer.word_emb.emb_layers.{cluster}.weight"]
        projection = self.t[f"transformer.word_emb.emb_projs.{cluster}"]
        return projection @ row[token - self.edges[cluster]] * math.sqrt(12)

    def distance(self, n):
        n = min(n, self.c["clamp_len"]) if self.c["clamp_len"] > 0 else n
        angles = n / 10000 ** (np.arange(0, 12, 2) / 12)
        return np.concatenate([np.sin(angles), np.cos(angles)])

    def block(self, x, memory, name):
        name = f"transformer.layers.{name}."
        t, heads, size = self.t, 3, self.c["d_head"]
        read = np.concatenate([memory, x])
        kernels = t[name + "dec_attn.qkv_net.weight"].reshape(3, heads, size, 12)
        u, v = t[name + "dec_attn.r_w_bias"], t[name + "dec_attn.r_r_bias"]
        r_kernel = t[name + "dec_attn.r_net.weight"].reshape(heads, size, 12)
        output = np.zeros((len(x), heads, size))
        for i in range(len(x)):
            here = len(memory) + i
            first = here - self.c["mem_len"] + 1 if self.c["same_length"] else 0
            seen = range(max(first, 0), here + 1)
            for h in range(heads):
                query, key, value = kernels[:, h]
                q = query @ x[i]
                scores = [
                    (q + u[h]) @ (key @ read[j])
                    + (q + v[h]) @ (r_kernel[h] @ self.distance(here - j))
                    for j in seen
                ]
                weights = softmax(np.array(scores) / math.sqrt(size))
                output[i, h] = weights @ (read[list(seen)] @ value.T)
        output = output.reshape(len(x), -1) @ t[name + "dec_attn.o_net.weight"].T
        x = self.norm(x + output, name + "dec_attn.layer_norm")
        hidden = np.maximum(self.linear(x, name + "pos_ff.CoreNet.0"), 0)
        hidden = self.linear(hidden, name + "pos_ff.CoreNet.3")
        return self.norm(x + hidden, name + "pos_ff.layer_norm")

    def predict(self, x):
        found, clusters = [], None
        for i in range(len(self.edges) - 1):
            projection = self.t.get(f"crit.out_projs.{i}")
            if projection is None:
                projection = self.t[f"transformer.word_emb.emb_projs.{i}"]
            table = self.t.get(f"crit.out_layers.{i}.weight")
            if table is None:
                table = self.t[f"transformer.word_emb.emb_layers.{i}.weight"]
            bias = self.t[f"crit.out_layers.{i}.bias"]
            if i == 0:
                table = np.concatenate([table, self.t["crit.cluster_weight"]])
                bias = np.concatenate([bias, self.t["crit.cluster_bias"]])
            p = softmax(x @ projection @ table.T + bias)
            if i == 0:
                clusters, p = p[:, 9:], p[:, :9]
            else:
                p = p * clusters[:, i - 1 : i]
            found.append(p)
        return np.log(np.concatenate(found, axis=-1))

    def read(self, ids, memories):
        x, new = np.stack([self.embed(token) for token in ids]), []
        for number in range(self.c["n_layer"]):
            memory = memories[number]
            new.append(np.concatenate([memory, x])[-self.c["mem_len"] :])
            x = self.block(x, memory, number)
        return self.predict(x), new


@pytest.mark.parametrize("changes", [{}, OTHERWISE], ids=["published", "otherwise"])
def test_segments_are_those_of_the_paper(tmp_path, changes):
    """Log-probabilities and memories, of three segments in a row."""
    model = randomized(**changes)
    model.save_to_preset(tmp_path)
    formulas = Formulas(tmp_path)
    theirs = [[np.zeros((0, 12))] * 2 for _ in IDS]
    memories = None
    for start in range(0, 12, 4):
        part = {"token_ids": IDS[:, start : start + 4], "padding_mask": np.ones((2, 4))}
        found, memories = model.read_segment(part, memories)
        for row in range(2):
            expected, theirs[row] = formulas.read(part["token_ids"][row], theirs[row])
            assert_close(to_numpy(found)[row], expected)
            for mine, other in zip(memories, theirs[row], strict=True):
                assert_close(to_numpy(mine)[row], other)
    again = applications.from_preset(tmp_path, name=model.name, seed=4)
    assert again.get_config() == model.get_config()
    assert_close(to_numpy(again(part)), to_numpy(model(part)))


@pytest.mark.compiles_much
def test_generate_goes_on_over_memories():
    """As reading token by token does; prompts of two lengths, further than they reach.

    What is kept between two tokens does not grow with the text.
    """
    model = randomized()
    prompts = [IDS[0, :5].tolist(), IDS[1, :3].tolist()]
    found, weights = model.generate(
        prompts, max_new_tokens=9, return_attention_scores=True, min_new_tokens=9
    )
    for row, prompt in enumerate(prompts):
        text, memories, new = list(prompt), None, prompt
        for _ in range(9):
            part = {"token_ids": np.array([new])}
            logits, memories = model.read_segment(part, memories)
            last = to_numpy(logits)[0, -1].copy()
            last[0] = -np.inf  # an end before its time
            new = [int(last.argmax())]
            text += new
        assert [i for i in found[row].tolist() if i != 0][: len(text)] == text
    read = weights[:, 0, :, -1]  # of the last token: itself and six before
    np.testing.assert_allclose(read.sum(axis=-1), 1, atol=1e-5)
    assert ((read > 0).sum(axis=-1) <= 6).all()
    decoder = model.make_steps().decoder
    short, long = (decoder.start_cache(1, slots)[1:] for slots in (10, 1000))
    for one, other in zip(short, long, strict=True):
        assert one[0].shape == other[0].shape


def test_padding_in_front_changes_nothing():
    model = randomized()
    mask = np.ones((2, 8), int)
    mask[1, :3] = 0
    found = to_numpy(model({"token_ids": IDS[:, :8], "padding_mask": mask}))
    alone = {"token_ids": IDS[1:, 3:8], "padding_mask": np.ones((1, 5))}
    assert_close(found[1:, 3:], to_numpy(model(alone)))
    np.testing.assert_allclose(np.exp(found).sum(axis=-1), 1, atol=1e-5)


@pytest.mark.compiles_much
def test_one_step_of_training_moves_every_weight():
    model = randomized(dropout=0.2, attention_dropout=0.1, same_length=False)
    model.compile("adam", TokenCrossentropy(padding_id=None))
    before = model.get_weights()
    ids = np.arange(23)[None].repeat(2, axis=0)
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    model.fit(inputs, np.roll(ids, -1, axis=1), verbose=0)
    after = model.get_weights()
    names = [weight.path for weight in model.weights]
    still = [n for n, a, b in zip(names, before, after, strict=True) if (a == b).all()]
    assert still == []


@pytest.mark.once
def test_texts_of_any_length_are_learned_and_continued():
    """There is no longest one, so that nothing is cut or refused."""
    letters = {letter: i for i, letter in enumerate("abĠ")} | {"<end>": 3}
    settings = {"eos_token": "<end>", "bos_token": "<end>", "unk_token": "<end>"}
    model = applications.TransformerXL(
        tokenizer=byte_pair_tokenizer(letters, [], settings),
        **{**SMALL, "vocabulary_size": 4, "cutoffs": [2], "end_id": 3},
    )
    inputs, targets, weights = model.collate(["ab" * 40, "a"])
    assert inputs["token_ids"].shape[1] >= 80
    assert weights.sum(axis=1).tolist() == [80, 1]
    model.compile("adam", TokenCrossentropy(padding_id=None))
    model.fit(["ab" * 40, "a"], verbose=0)
    text = model.generate("ab" * 10, max_new_tokens=9, min_new_tokens=9)
    assert text.startswith("ab" * 10) and len(text) == 29


@pytest.mark.once
def test_the_preset_has_the_published_size():
    """Counted with one block and few words, which tell the rest."""
    (entry,) = applications.TransformerXL.presets_table.values()
    assert entry.keys() == {"description", "parameters"}
    few = {"vocabulary_size": 8, "cutoffs": [2, 4, 6]}
    model = applications.TransformerXL(**few, num_layers=1)
    block = sum(math.prod(x.shape) for x in model.encoder.blocks[0].weights)
    counted = model.count_params() + 17 * block
    defaults = argument_defaults(applications.TransformerXL)
    edges = [0, *defaults["cutoffs"], defaults["vocabulary_size"]]
    for i, size in enumerate(np.diff(edges)):
        counted += (size - 2) * (1024 // 4**i + 1)  # a row, and a bias
    assert counted == entry["parameters"]


@pytest.mark.once
def test_every_argument_survives_a_keras_file(tmp_path):
    model = applications.TransformerXL(
        **{**SMALL, **OTHERWISE, "max_distance": 3},
        dropout=0.2,
        attention_dropout=0.3,
        head="classification",
        class_names=["x", "y", "z"],
        end_id=2,
        padding_id=3,
    )
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_a_language_model_begins_a_classifier(tmp_path):
    model = randomized()
    model.save_to_preset(tmp_path)
    again = applications.from_preset(tmp_path, num_classes=3)
    assert again.output_shape == (None, 3)
    for mine, other in zip(again.encoder.weights, model.encoder.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(mine), to_numpy(other))
    bare = applications.from_preset(tmp_path, head=None)
    assert bare.output_shape == (None, None, 12)


@pytest.mark.once
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"cutoffs": [9, 9]}, r"must ascend .* cutoffs=\[9, 9\], vocabulary_size=23"),
        ({"division": 5}, "narrower until nothing is left. .*table_dim=16, division=5"),
        ({"memory_length": 0}, "`memory_length` must be a positive integer"),
    ],
)
def test_sizes_that_do_not_fit_are_told(changes, message):
    with pytest.raises(ValueError, match=message):
        applications.TransformerXL(**{**SMALL, **changes})


@pytest.mark.once
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"div_val": 1}, "div_val=1, one table for all clusters"),
        ({"untie_r": False}, "untie_r=False, which"),
        ({"tie_projs": [True, True, True]}, r"tie_projs=\[True, True, True\] for 3"),
    ],
)
def test_files_of_other_models_are_refused(changes, message):
    family = applications.TransformerXL.families[0]
    config = family.write_config(
        {**argument_defaults(applications.TransformerXL), **SMALL}
    )
    with pytest.raises(ValueError, match=message):
        family.read_arguments({**config, **changes}, "config.json")
