"""The Transformer: its sizes, who reads what, training, saving, bad input.

Sources of S = 5 tokens, targets of T = 4, a vocabulary of 11.
"""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.applications import from_preset
from keras_attention.applications import Transformer
from keras_attention.tokenizers import Vocabulary
from keras_attention.training import TokenCrossentropy
from keras_attention.visualization import attention_maps
from keras_attention.visualization import show_heads

TINY = {
    "source_vocabulary_size": 11,
    "hidden_dim": 8,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_dim": 12,
}
# No argument at its default.
UNUSUAL = {
    "source_vocabulary": Vocabulary(["one", "two"]),
    "target_vocabulary": Vocabulary(["eins", "zwei", "drei"]),
    "source_vocabulary_size": 6,
    "target_vocabulary_size": 7,
    "hidden_dim": 12,
    "num_layers": 1,
    "num_heads": 3,
    "mlp_dim": 5,
    "num_decoder_layers": 2,
    "num_decoder_heads": 2,
    "decoder_mlp_dim": 7,
    "activation": "swiglu",
    "norm_order": "pre",
    "epsilon": 1e-3,
    "positions": "learned",
    "max_length": 9,
    "share_embeddings": False,
    "tie_output": False,
    "use_output_bias": True,
    "scale_embeddings": False,
    "use_attention_bias": True,
    "dropout": 0.2,
    "attention_dropout": 0.1,
    "mlp_dropout": 0.3,
    "padding_id": 3,
    "start_id": 2,
    "end_id": 1,
    "forbidden_ids": [3, 2],
    "seed": 5,
}


def inputs_of(sources, targets):
    return {
        "encoder_token_ids": np.array(sources, "int32"),
        "decoder_token_ids": np.array(targets, "int32"),
    }


SOURCES = [[5, 7, 9, 4, 2], [8, 10, 2, 0, 0]]
TARGETS = [[1, 6, 7, 5], [1, 9, 10, 8]]
INPUTS = inputs_of(SOURCES, TARGETS)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(7)
    return Transformer(**TINY)


@pytest.mark.once
@pytest.mark.parametrize(
    "preset, count",
    [
        ("transformer_base", 63_045_632),
        pytest.param("transformer_big", 214_171_648, marks=pytest.mark.slow),
    ],
)
def test_it_has_as_many_parameters_as_in_table_3(preset, count):
    """The paper rounds to 65 and 213 million."""
    assert Transformer.from_preset(preset).count_params() == count


@pytest.mark.once
def test_the_small_preset_spells_out_its_vocabularies():
    model = Transformer.from_preset("transformer_letters_to_phonemes")
    assert 3.9e6 < model.count_params() < 4.0e6
    (found,) = model.translate(["keras"], beam_width=2, max_length=3)
    assert all(phoneme in model.target_vocabulary for phoneme in found.split())


def test_logits_have_the_length_of_the_target(model):
    assert model.predict(INPUTS, verbose=0).shape == (2, 4, 11)
    assert model.output_shape == (None, None, 11)


def test_a_token_reads_the_source_and_the_past_alone(model):
    """A change at place 2 of the target moves the logits from there on."""
    changed = inputs_of(SOURCES, TARGETS)
    changed["decoder_token_ids"][:, 2] = 4
    before, after = to_numpy(model(INPUTS)), to_numpy(model(changed))
    np.testing.assert_allclose(before[:, :2], after[:, :2], atol=1e-6)
    assert (np.abs(before[:, 2:] - after[:, 2:]).max(axis=-1) > 1e-3).all()
    changed = inputs_of(SOURCES, TARGETS)
    changed["encoder_token_ids"][:, 1] = 4
    after = to_numpy(model(changed))
    assert (np.abs(before - after).max(axis=-1) > 1e-4).all()


@pytest.mark.parametrize("positions", ["sinusoidal", "fairseq"])
def test_padding_changes_nothing(positions):
    """Three more columns of padding in the source, two in the target."""
    model = Transformer(**TINY, positions=positions)
    padded = inputs_of(
        np.pad(SOURCES, [(0, 0), (0, 3)]), np.pad(TARGETS, [(0, 0), (0, 2)])
    )
    before, after = to_numpy(model(INPUTS)), to_numpy(model(padded))
    np.testing.assert_allclose(before, after[:, :4], atol=1e-5)


@pytest.mark.compiles_much
def test_positions_of_fairseq_are_those_of_the_tokens_without_padding():
    model = Transformer(**TINY, positions="fairseq")
    before = model(inputs_of([[8, 10, 2]], [[1, 9]]))
    after = model(inputs_of([[0, 8, 0, 10, 2]], [[1, 9]]))
    np.testing.assert_allclose(to_numpy(before), to_numpy(after), atol=1e-5)


def test_the_order_of_the_source_matters(model):
    swapped = inputs_of([[7, 5, 9, 4, 2], [10, 8, 2, 0, 0]], TARGETS)
    assert np.abs(to_numpy(model(INPUTS)) - to_numpy(model(swapped))).max() > 1e-2


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.compiles_much
def test_tables_of_tokens_are_shared_or_not(share, tie):
    """One table is 11 x 8; the bias of the output has 11 numbers."""
    model = Transformer(
        **TINY, share_embeddings=share, tie_output=tie, use_output_bias=True
    )
    tables = [w for w in model.weights if 11 in w.shape]
    assert sum(w.value.shape != (11,) for w in tables) == 3 - share - tie
    assert sum(w.value.shape == (11,) for w in tables) == 1


@pytest.mark.compiles_much
def test_it_learns_to_reverse_sequences(rng):
    """Three digits, written backwards: most of 100 new ones are right."""

    def batch(count):
        digits = rng.integers(4, 11, (count, 3))
        ends = np.full((count, 1), 2)
        targets = np.concatenate([ends - 1, digits[:, ::-1], ends], axis=1)
        sources = np.concatenate([digits, ends], axis=1)
        return inputs_of(sources, targets[:, :-1]), targets[:, 1:]

    model = Transformer(**{**TINY, "hidden_dim": 32, "num_layers": 1}, dropout=0.0)
    model.compile(
        keras.optimizers.Adam(0.01, beta_2=0.98, epsilon=1e-9),
        TokenCrossentropy(label_smoothing=0.1),
    )
    model.fit(*batch(128 * 180), batch_size=128, verbose=0)
    inputs, targets = batch(100)
    found = model.predict(inputs, verbose=0).argmax(axis=-1)
    assert (found == targets).all(axis=1).mean() > 0.8


@pytest.mark.compiles_much
def test_it_is_the_same_after_saving(tmp_path):
    assert set(UNUSUAL) | {"name", "dtype"} == set(Transformer(**TINY)._arguments)
    model = Transformer(**UNUSUAL, name="unusual")
    inputs = inputs_of([[4, 5, 1, 3]], [[2, 5, 6]])
    expected = to_numpy(model(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    assert again.source_vocabulary == model.source_vocabulary
    np.testing.assert_array_equal(to_numpy(again(inputs)), expected)
    model.save_to_preset(tmp_path / "folder")
    again = from_preset(tmp_path / "folder")
    assert type(again) is Transformer
    np.testing.assert_array_equal(to_numpy(again(inputs)), expected)


def test_all_of_its_attention_can_be_seen(model):
    maps = attention_maps(model, INPUTS)
    assert sorted(maps) == [
        "decoder/block_0/cross_attention",
        "decoder/block_0/self_attention",
        "decoder/block_1/cross_attention",
        "decoder/block_1/self_attention",
        "encoder/block_0/self_attention",
        "encoder/block_1/self_attention",
    ]
    shapes = {"encoder": (2, 2, 5, 5), "decoder": (2, 2, 4, 4)}
    for name, each in maps.items():
        shape = shapes[name.partition("/")[0]] if each.kind == "self" else (2, 2, 4, 5)
        assert each.weights.shape == shape
        np.testing.assert_allclose(each.weights.sum(axis=-1), 1.0, rtol=1e-5)
    cross = maps["decoder/block_1/cross_attention"].weights
    assert cross[1, :, :, 3:].max() == 0  # padding
    assert maps["decoder/block_0/self_attention"].weights[:, :, 0, 1:].max() == 0
    assert "cross_attention" in show_heads(maps)._repr_html_()


def peaked(**options):
    """A model that is sure of what it writes, the same on each backend."""
    model = Transformer(**{**TINY, **options}, use_output_bias=True)
    rng = np.random.default_rng(2)
    for weight in model.trainable_weights:
        if len(weight.shape) == 2:
            weight.assign(rng.normal(scale=0.4, size=weight.shape))
    tokens = model.get_layer("token_embedding").embeddings
    tokens.assign(3.0 * tokens)
    # The end is rare.
    model.get_layer("output_bias").bias.assign([0, 0, -4.0, *[0] * 8])
    return model


def log_probabilities(model, source, token_ids):
    """What a full pass gives to each of the tokens and the end, `(T + 1,)`."""
    targets = [*token_ids, model.end_id]
    inputs = inputs_of([source], [[model.start_id, *token_ids]])
    logits = to_numpy(model(inputs))[0].astype("float64")
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits[np.arange(len(targets)), targets]


@pytest.mark.parametrize("beam_width", [1, 3])
def test_a_translation_has_the_probability_and_the_attention_of_a_full_pass(beam_width):
    """Keys and values that were kept are those that are computed at once."""
    model = peaked()
    found, log_p, weights = model.translate(
        SOURCES,
        beam_width=beam_width,
        max_length=6,
        return_log_probabilities=True,
        return_attention_scores=True,
    )
    assert weights.shape == (2, 2, 2, found.shape[1], 5)  # L, B, N, T, S
    lengths = [np.count_nonzero(row) for row in found]
    assert max(lengths) == found.shape[1] and max(lengths) > 1
    for i, length in enumerate(lengths):
        token_ids = found[i, :length].tolist()
        expected = log_probabilities(model, SOURCES[i], token_ids).sum()
        np.testing.assert_allclose(log_p[i], expected, atol=1e-4)
        inputs = inputs_of(SOURCES[i : i + 1], [[1, *token_ids]])
        maps = attention_maps(model, inputs, layers="cross_attention")
        for layer, name in enumerate(maps):
            np.testing.assert_allclose(
                weights[layer, i, :, :length],
                maps[name].weights[0][:, :length],
                atol=1e-5,
            )
        assert not weights[:, i, :, length:].any()
    again = model.translate(SOURCES, beam_width=beam_width, max_length=6)
    np.testing.assert_array_equal(again, found)


@pytest.mark.compiles_much
def test_greedy_search_takes_the_most_probable_token_each_time():
    model = peaked(norm_order="pre")
    (found,) = model.translate(SOURCES[:1], beam_width=1, max_length=5)
    token_ids = [1]
    while len(token_ids) <= 5:
        logits = to_numpy(model(inputs_of(SOURCES[:1], [token_ids])))[0, -1]
        logits[[0, 1, 3]] = -np.inf  # never written
        if logits.argmax() == 2:
            break
        token_ids.append(int(logits.argmax()))
    assert found[: len(token_ids) - 1].tolist() == token_ids[1:]


@pytest.mark.compiles_much
def test_sentences_are_translated_into_sentences():
    vocabulary = Vocabulary(["one", "two", "three"])
    model = Transformer(
        **{**TINY, "source_vocabulary_size": None}, source_vocabulary=vocabulary
    )
    sentences = ["one two", "three", "two two one"]
    found = model.translate(sentences, max_length=4)
    assert len(found) == 3 and all(isinstance(text, str) for text in found)
    words = {word for text in found for word in text.split()}
    assert words <= {"one", "two", "three"}
    # The same, one at a time, and as token ids.
    assert [model.translate([s], max_length=4)[0] for s in sentences] == found
    assert model.translate(vocabulary.encode(sentences), max_length=4) == found


@pytest.mark.compiles_much
def test_it_translates_with_what_it_has_learned_since():
    """A search that was compiled sees the weights of today."""
    model = peaked()
    before = model.translate(SOURCES, beam_width=1, max_length=3)
    model.get_layer("output_bias").bias.assign([0.0] * 10 + [99.0])
    after = model.translate(SOURCES, beam_width=1, max_length=3)
    assert before.tolist() != after.tolist()
    assert after.tolist() == [[10, 10, 10]] * 2


@pytest.mark.slow
def test_it_trains_in_mixed_precision():
    model = Transformer(**TINY, dtype="mixed_bfloat16", seed=3)
    model.compile("adam", TokenCrossentropy())
    history = model.fit(INPUTS, np.array(TARGETS), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert {w.dtype for w in model.trainable_weights} == {"float32"}


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_heads": 3}, "does not divide into num_heads=3 heads"),
        ({"num_decoder_heads": 5}, "does not divide into num_heads=5 heads"),
        ({"positions": "rotary"}, "`positions` must be one of"),
        ({"positions": "learned"}, "Learned positions need `max_length`"),
        ({"target_vocabulary_size": 12}, "with 11 source tokens and 12 target tokens"),
        ({"source_vocabulary": list("abcdefgh")}, "`source_vocabulary` has 12 entries"),
        ({"padding_id": 11}, "`padding_id` must be from 0 to 10"),
        ({"end_id": -1}, "`end_id` must be from 0 to 10"),
        ({"start_id": "one"}, "`start_id` must be from 0 to 10"),
        ({"norm_order": "middle"}, "`norm_order` must be one of"),
        ({"max_length": 0}, "`max_length` must be a positive integer"),
        ({"source_vocabulary_size": 0}, "`source_vocabulary_size` must be a positive"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Transformer(**{**TINY, **arguments})


@pytest.mark.once
@pytest.mark.parametrize(
    "sentences, options, message",
    [
        ("one", {}, "`sentences` must be a list of at least one sentence"),
        ([], {}, "`sentences` must be a list of at least one sentence"),
        (["one"], {}, "has no source vocabulary"),
        ([[5, 11]], {}, "`encoder_token_ids` must be from 0 to 10"),
        ([[5.0, 6.0]], {}, "must be strings, or token ids"),
        ([[5, 6], [0, 0]], {}, "Sentence 1 has no token but padding"),
        ([[5] * 10], {}, "positions for max_length=9 tokens"),
        ([[5]], {"max_length": 9}, "has 9 positions, the first for the start"),
        ([[5]], {"max_length": 0}, "`max_length` must be a positive integer"),
        ([[5]], {"beam_width": 0}, "`beam_width` must be a positive integer"),
        ([[5]], {"length_penalty": -1.0}, "`length_penalty` must not be negative"),
    ],
)
def test_what_cannot_be_translated_is_refused(sentences, options, message):
    model = Transformer(**TINY, max_length=9)
    with pytest.raises(ValueError, match=message):
        model.translate(sentences, **options)


@pytest.mark.once
def test_an_empty_sentence_is_refused():
    sizes = {**TINY, "source_vocabulary_size": None}
    model = Transformer(**sizes, source_vocabulary=["one"])
    with pytest.raises(ValueError, match="with a word in it. Received: ' '"):
        model.translate(["one", " "])


@pytest.mark.once
@pytest.mark.parametrize(
    "sources, targets, message",
    [
        ([[5, 11]], [[1, 5]], "`encoder_token_ids` must be from 0 to 10"),
        ([[5, 6]], [[1, -5]], "`decoder_token_ids` must be from 0 to 10"),
        ([[5, 6], [7, 8]], [[1, 5]], "must have as many rows"),
        ([[5] * 10], [[1, 5]], "`encoder_token_ids` of the shape"),
        ([[5]], [[1] * 10], "`decoder_token_ids` of the shape"),
    ],
)
def test_token_ids_that_do_not_fit_are_refused(sources, targets, message):
    model = Transformer(**TINY, max_length=9)
    model.compile("sgd", TokenCrossentropy())
    with pytest.raises(ValueError, match=message):
        model.predict(inputs_of(sources, targets))
    with pytest.raises(ValueError, match=message):
        model.fit(inputs_of(sources, targets), np.array(targets))
