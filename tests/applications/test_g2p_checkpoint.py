"""A trained encoder-decoder of another library: letters to phonemes.

The package g2p-en (Park and Kim 2019, Apache-2.0) holds one, with the GRU of PyTorch.
It is read without being imported, as that would need nltk and its data.
"""

import importlib.util
import pathlib

import numpy as np
import pytest

from keras_attention.applications import RNNSeq2Seq
from keras_attention.tokenizers import Vocabulary

VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
STRESSED = [f"{vowel}{stress}" for vowel in VOWELS for stress in (0, 1, 2)]
PHONEMES = sorted([*STRESSED, *CONSONANTS, "UW"])
# Ours by theirs: [pad] <pad>, [start] <s>, [end] </s>, [unk] <unk>.
TARGETS = [0, 2, 3, 1, *range(4, 74)]
SOURCES = [0, 0, 2, 1, *range(3, 29)]  # their source has no start


@pytest.fixture(scope="module")
def weights():
    spec = importlib.util.find_spec("g2p_en")
    if spec is None:
        pytest.skip("needs the file of weights in g2p-en: pip install --no-deps g2p-en")
    with np.load(pathlib.Path(spec.origin).parent / "checkpoint20.npz") as file:
        return dict(file)


def gru(weights, side):
    """PyTorch's gates are r, z, n, Keras's z, r, n; kernels are transposed."""

    def ours(x):
        r, z, n = np.split(x, 3)
        return np.concatenate([z, r, n])

    kernels = [ours(weights[f"{side}_w_{name}"]).T for name in ("ih", "hh")]
    biases = [ours(weights[f"{side}_b_{name}"]) for name in ("ih", "hh")]
    return [*kernels, np.stack(biases)]


@pytest.fixture(scope="module")
def model(weights):
    model = RNNSeq2Seq(
        source_vocabulary_size=30,
        target_vocabulary=Vocabulary(PHONEMES, split="spaces"),
        hidden_dim=256,
        word_dim=256,
        num_layers=1,
        cell="gru",
        reverse_source=False,
        max_length=20,
    )
    model.encoder.embedding.set_weights([weights["enc_emb"][SOURCES]])
    model.encoder.forwards[0].set_weights(gru(weights, "enc"))
    model.decoder.embedding.set_weights([weights["dec_emb"][TARGETS]])
    model.decoder.recurrent[0].set_weights(gru(weights, "dec"))
    output = weights["fc_w"][TARGETS].T, weights["fc_b"][TARGETS]
    model.decoder.word_output.set_weights(output)
    return model


def letters(word):
    return [*(4 + ord(letter) - ord("a") for letter in word), 2]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def their_step(weights, side, x, h):
    a = weights[f"{side}_w_ih"] @ x + weights[f"{side}_b_ih"]
    b = weights[f"{side}_w_hh"] @ h + weights[f"{side}_b_hh"]
    (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(a, 3), np.split(b, 3)
    z = sigmoid(a_z + b_z)
    return (1 - z) * np.tanh(a_n + sigmoid(a_r + b_r) * b_n) + z * h


def test_it_pronounces_as_it_was_trained(model):
    words = ["attention", "keras", "transformer"]
    found = model.translate([letters(word) for word in words], beam_width=1)
    assert found[0] == "AH0 T EH1 N SH AH0 N"
    assert all(found)


def test_its_logits_are_those_of_the_equations(model, weights):
    h = np.zeros(256)
    for x in weights["enc_emb"][[3 + ord(c) - ord("a") for c in "attention"] + [2]]:
        h = their_step(weights, "enc", x, h)
    phonemes = "AH0 T EH1 N SH AH0 N".split()
    expected = []
    for i in [2, *(4 + PHONEMES.index(p) for p in phonemes)]:
        h = their_step(weights, "dec", weights["dec_emb"][i], h)
        expected.append((weights["fc_w"] @ h + weights["fc_b"])[TARGETS])
    ids = [1, *(4 + PHONEMES.index(p) for p in phonemes)]
    inputs = {
        "encoder_token_ids": np.array([letters("attention")]),
        "decoder_token_ids": np.array([ids]),
    }
    logits = model.predict(inputs, verbose=0)[0]
    np.testing.assert_allclose(logits, expected, atol=1e-4)
