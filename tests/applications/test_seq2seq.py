"""Translators without and with attention: train, translate, save, load, refuse.

Words are spelled backwards: letters "abc" in, "C B A" out.
"""

import json

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import run_in_fresh_process
from helpers import to_numpy
from keras_attention.applications import AttentionSeq2Seq
from keras_attention.applications import from_preset
from keras_attention.applications import RNNSeq2Seq
from keras_attention.tokenizers import Vocabulary
from keras_attention.training import TokenCrossentropy

LETTERS = Vocabulary(list("abcd"), split="characters")
NAMES = Vocabulary(list("ABCD"), split="spaces")
WORDS = ["abc", "da", "bbcd", "c"]
BACKWARDS = ["C B A", "A D", "D C B B", "C"]
both = pytest.mark.parametrize("translator", [AttentionSeq2Seq, RNNSeq2Seq])


def make(translator, **options):
    sizes = {"hidden_dim": 8, "word_dim": 5, "max_length": 5}
    if translator is RNNSeq2Seq:
        sizes["num_layers"] = 2
    words = {"source_vocabulary": LETTERS, "target_vocabulary": NAMES}
    return translator(**(sizes | words | options))


@pytest.fixture
def data():
    source, target = LETTERS.encode(WORDS), NAMES.encode(BACKWARDS)
    inputs = {"encoder_token_ids": source, "decoder_token_ids": target[:, :-1]}
    return inputs, target[:, 1:]


def train(model, inputs, targets, epochs=1):
    model.compile(keras.optimizers.Adam(0.03), TokenCrossentropy())
    options = {"epochs": epochs, "batch_size": 4, "verbose": 0}
    return model.fit(inputs, targets, **options).history["loss"]


@pytest.mark.compiles_much
def test_a_new_length_compiles_only_in_a_new_bucket():
    """Sentences are filled up to 8, 16 and so on; PyTorch compiles the loop."""
    model = make(RNNSeq2Seq)
    counts = [model.num_compilations]
    for length in (1, 4, 6, 7, 14):  # and a start and an end each
        model.translate(["a" * length], beam_width=1)
        counts.append(model.num_compilations)
    assert counts == ([0, 1, 1, 1, 1, 1] if BACKEND == "torch" else [0, 2, 2, 2, 3, 3])


@pytest.mark.parametrize("beam_width, more", [(1, True), (2, False)])
@pytest.mark.compiles_much
def test_log_probabilities_change_no_translation(beam_width, more):
    """One beam is searched without them unless asked; several need them anyway."""
    model = make(RNNSeq2Seq)
    expected = model.translate(WORDS, beam_width=beam_width)
    count = model.num_compilations
    found, log_p = model.translate(
        WORDS, beam_width=beam_width, return_log_probabilities=True
    )
    assert found == expected
    assert (log_p < 0).all()
    assert (model.num_compilations > count) == more


@both
@pytest.mark.compiles_much
def test_it_learns_words_by_heart_and_translates_them(translator, data):
    """Also with its probability, which is that of the teacher-forced pass."""
    model = make(translator, hidden_dim=16)
    assert model.output_shape == (None, None, 8)
    train(model, *data, epochs=60)
    found, log_p = model.translate(WORDS, beam_width=2, return_log_probabilities=True)
    assert found == BACKWARDS
    assert model.translate(WORDS, beam_width=1) == BACKWARDS
    inputs, targets = data
    logits = model.predict(inputs, verbose=0).astype("float64")
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    chosen = np.take_along_axis(logits, targets[:, :, None], axis=-1)[:, :, 0]
    expected = (chosen * (targets != 0)).sum(axis=1)
    np.testing.assert_allclose(log_p, expected, atol=1e-4)


@pytest.mark.compiles_much
def test_translations_come_with_their_attention(data):
    """T is that of the longest translation, S that of the source, padding at zero."""
    model = make(AttentionSeq2Seq, dropout=0.1, seed=1)
    train(model, *data, epochs=5)
    found, log_p, weights = model.translate(
        WORDS, return_log_probabilities=True, return_attention_scores=True
    )
    lengths = [len(words.split()) for words in found]
    assert weights.shape == (4, max(lengths), 6)  # [start] b b c d [end]
    for rows, length, word in zip(weights, lengths, WORDS, strict=True):
        np.testing.assert_allclose(rows[:length].sum(axis=1), 1, rtol=1e-5)
        assert not rows[length:].any()
        assert not rows[:, len(word) + 2 :].any()
    assert model.translate(WORDS) == found
    # Padding of the batch and the size of it change nothing.
    alone, one = model.translate(["da"], return_log_probabilities=True)
    assert alone == found[1:2]
    np.testing.assert_allclose(one, log_p[1:2], atol=1e-5)


def test_without_vocabularies_it_reads_and_writes_token_ids():
    model = RNNSeq2Seq(
        source_vocabulary_size=9,
        target_vocabulary_size=7,
        hidden_dim=6,
        word_dim=4,
        num_layers=1,
        cell="gru",
        bidirectional=True,
        repeat_context=True,
    )
    found = model.translate([[4, 8], [5, 6, 7]], max_length=3, beam_width=1)
    assert found.shape[0] == 2 and np.isin(found, [0, 4, 5, 6]).all()
    padded = np.array([[4, 8, 0], [5, 6, 7]])
    np.testing.assert_array_equal(
        model.translate(padded, max_length=3, beam_width=1), found
    )


@both
def test_padding_of_the_source_changes_nothing(translator, data):
    model, inputs = make(translator), data[0]
    logits = model.predict(inputs, verbose=0)
    longer = np.pad(inputs["encoder_token_ids"], ((0, 0), (0, 3)))
    others = model.predict({**inputs, "encoder_token_ids": longer}, verbose=0)
    np.testing.assert_allclose(others, logits, atol=1e-6)


@both
@pytest.mark.compiles_much
def test_translating_changes_nothing_in_the_model(translator, data):
    model = make(translator)
    config = model.get_config()
    before = [to_numpy(v.value) for v in model.variables]
    assert model.translate(WORDS) == model.translate(WORDS)
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, to_numpy(variable.value))
    assert model.get_config() == config


@both
@pytest.mark.compiles_much
def test_a_folder_holds_the_model_and_its_words(translator, data, tmp_path):
    model = make(translator)
    model.save_to_preset(tmp_path / "folder")
    assert {path.name for path in (tmp_path / "folder").iterdir()} == {
        "config.json",
        "model.safetensors",
        "source_vocabulary.txt",
        "target_vocabulary.txt",
    }
    again = from_preset(tmp_path / "folder")
    assert type(again) is translator
    assert again.source_vocabulary == LETTERS and again.target_vocabulary == NAMES
    found = again.predict(data[0], verbose=0)
    np.testing.assert_allclose(found, model.predict(data[0], verbose=0), atol=1e-6)


def test_a_folder_with_other_words_is_refused(tmp_path):
    make(RNNSeq2Seq).save_to_preset(tmp_path)
    other = Vocabulary(list("abce"), split="characters")
    other.save(tmp_path / "source_vocabulary.txt")
    with pytest.raises(ValueError, match="source_vocabulary.txt in .* holds other"):
        from_preset(tmp_path)


@pytest.mark.compiles_much
def test_they_come_back_in_a_fresh_process_with_every_argument_changed(data, tmp_path):
    shared = {"dropout": 0.1, "seed": 5, "name": "mine"}
    models = {
        "attention": make(
            AttentionSeq2Seq,
            attention_dim=7,
            readout_dim=3,
            num_layers=2,
            cell="lstm",
            bidirectional=False,
            reverse_source=True,
            dtype="mixed_bfloat16",
            **shared,
        ),
        "rnn": make(
            RNNSeq2Seq,
            cell="cho_gru",
            bidirectional=True,
            reverse_source=False,
            repeat_context=True,
            **shared,
        ),
    }
    expected = {}
    for name, model in models.items():
        assert np.isfinite(train(model, *data)).all()
        model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", *model.get_weights())
        expected[name] = model.translate(WORDS, return_log_probabilities=True)
    code = f"""
        import json
        import keras
        import numpy as np
        import keras_attention

        found = {{}}
        for name in ("attention", "rnn"):
            model = keras.saving.load_model({str(tmp_path)!r} + f"/{{name}}.keras")
            saved = np.load({str(tmp_path)!r} + f"/{{name}}.npz").values()
            for new, old in zip(model.get_weights(), saved, strict=True):
                np.testing.assert_array_equal(new, old)
            words, p = model.translate({WORDS!r}, return_log_probabilities=True)
            found[name] = words, p.astype("float64").tolist()
        print(json.dumps(found))
    """
    found = json.loads(run_in_fresh_process(code).splitlines()[-1])
    for name, tolerance in (("attention", 1e-2), ("rnn", 1e-5)):
        np.testing.assert_allclose(found[name][1], expected[name][1], atol=tolerance)
    assert found["rnn"][0] == expected["rnn"][0]


@pytest.mark.once
def test_parameters_are_those_of_the_papers():
    """Counted by hand at small sizes; the same sums give the papers' figures."""

    def sutskever(V_in, V_out, H, L):
        lstms = 2 * L * (4 * H * (2 * H) + 4 * H)
        return lstms + V_in * H + V_out * H + (H + 1) * V_out

    model = RNNSeq2Seq(
        source_vocabulary_size=9,
        target_vocabulary_size=7,
        hidden_dim=4,
        word_dim=4,
        num_layers=3,
    )
    assert model.count_params() == sutskever(9, 7, 4, 3)
    # Section 3.4: "384M parameters of which 64M are pure recurrent connections".
    assert round(sutskever(160000, 80000, 1000, 4) / 1e6) == 384

    def bahdanau(V_in, V_out, n, m, a, l_):
        unit = 3 * n * (m + n + 1)
        decoder = 3 * n * (m + 2 * n + n + 1) + n * n + n
        attention = n * a + 2 * n * a + a
        readout = (n + m + 2 * n + 1) * 2 * l_ + (l_ + 1) * V_out
        return (V_in + V_out) * m + 2 * unit + decoder + attention + readout

    model = AttentionSeq2Seq(
        source_vocabulary_size=9,
        target_vocabulary_size=7,
        hidden_dim=4,
        word_dim=3,
        attention_dim=5,
        readout_dim=2,
    )
    assert model.count_params() == bahdanau(9, 7, 4, 3, 5, 2)


@both
@pytest.mark.once
def test_the_small_preset_spells(translator):
    name = next(n for n in translator.presets() if n.endswith("phonemes"))
    model = translator.from_preset(name, hidden_dim=8)
    assert len(model.source_vocabulary) == 30 and len(model.target_vocabulary) == 43
    assert len(model.translate(["attention"], max_length=3)) == 1


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source_vocabulary": None}, "Pass `source_vocabulary`, a Vocabulary or"),
        ({"target_vocabulary_size": 9}, "has 8 entries.*target_vocabulary_size=9"),
        ({"source_vocabulary": "abc"}, "must be a list of words"),
        ({"hidden_dim": 0}, "`hidden_dim` must be a positive integer"),
        ({"cell": "rnn"}, "`cell` must be one of"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(AttentionSeq2Seq, **options)


@pytest.mark.once
def test_sentences_that_cannot_be_read_are_refused():
    model = make(RNNSeq2Seq)
    for sentences, message in (
        ("abc", "`sentences` must be a list.*'abc'"),
        ([], "at least one sentence"),
        (["abc", " "], "a word in it. Received: ' ' as sentence 1"),
        (["abc", 3], "Received: 3 as sentence 1"),
        ([[4, 5], [0, 0]], "Sentence 1 has no token but padding"),
        ([[4, 8]], "from 0 to 7, as its vocabulary has 8 entries.*0 to 8|4 to 8"),
        ([[4.5, 1.0]], r"integers \(B, S\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.translate(sentences)
    for options, message in (
        ({"beam_width": 0}, "`beam_width` must be a positive integer"),
        ({"max_length": 0}, "`max_length` must be a positive integer"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"sampler": "greedy", "beam_width": 4}, "Received both.*beam_width=4"),
        ({"sampler": "greedy", "length_penalty": 0.0}, "Received both.*penalty=0.0"),
        ({"return_attention_scores": True}, "RNNSeq2Seq has no attention to return"),
    ):
        with pytest.raises(ValueError, match=message):
            model.translate(WORDS, **options)
    without = RNNSeq2Seq(
        source_vocabulary_size=9, target_vocabulary_size=9, hidden_dim=3, word_dim=2
    )
    with pytest.raises(ValueError, match="no source vocabulary.*such as 'abc'"):
        without.translate(["abc"])


def test_data_that_does_not_fit_is_refused(data):
    model, (inputs, targets) = make(AttentionSeq2Seq), data
    model.compile("sgd", TokenCrossentropy())
    wrong = {**inputs, "encoder_token_ids": inputs["encoder_token_ids"] + 3}
    with pytest.raises(ValueError, match="`encoder_token_ids` must be from 0 to 7"):
        model.fit(wrong, targets, verbose=0)
    with pytest.raises(ValueError, match="`y` must be from 0 to 7.*-1 to"):
        model.evaluate(inputs, targets - 1, verbose=0)
    fewer = {**inputs, "decoder_token_ids": inputs["decoder_token_ids"][:3]}
    with pytest.raises(ValueError, match="as many rows. Received: 4 of enc.*3 of dec"):
        model.predict(fewer, verbose=0)
    with pytest.raises(ValueError, match="Source and target must have the same batch"):
        model(fewer)
