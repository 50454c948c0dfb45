"""One writer behind `generate`, `translate` and `caption`: all can what one can."""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention.applications import AttentionSeq2Seq
from keras_attention.applications import RNNCaptioner
from keras_attention.applications import ShowAttendTell
from keras_attention.applications import Transformer
from keras_attention.generation import BeamSearch
from keras_attention.generation import RandomSampler
from keras_attention.generation.writer import into_batches
from keras_attention.tokenizers import SubwordTokenizer
from keras_attention.tokenizers import Vocabulary
from keras_attention.training import TokenCrossentropy
from keras_attention.visualization import show_heads
from language_models import TinyGPT

PROMPTS = [[3, 4, 5], [2, 9, 8, 7, 6, 5, 4, 3], [10], [7, 7], [5, 2, 9, 3]]
SENTENCES = ["a b", "c", "b b d"]
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3)).astype("uint8")


@pytest.fixture(scope="module")
def generator():
    return TinyGPT(with_tokenizer=True, end_id=None, num_layers=3)


def make_transformer(**options):
    """A model that is sure of what it writes, and seldom ends."""
    words = Vocabulary(list("abcdefg"), split="spaces")
    sizes = {"hidden_dim": 8, "num_layers": 3, "num_heads": 2, "mlp_dim": 12}
    model = Transformer(
        source_vocabulary=words, use_output_bias=True, **sizes, **options
    )
    rng = np.random.default_rng(2)
    for weight in model.trainable_weights:
        if len(weight.shape) == 2:
            weight.assign(rng.normal(scale=0.8, size=weight.shape))
    bias = np.zeros(11)
    bias[2] = -9.0
    model.get_layer("output_bias").bias.assign(bias)
    return model


@pytest.fixture(scope="module")
def translator():
    return make_transformer()


@pytest.fixture(scope="module")
def captioner():
    return ShowAttendTell(
        vocabulary=list("abcdef"),
        image_size=(16, 24),
        encoder_filters=(4, 5),
        hidden_dim=8,
        word_dim=5,
        max_length=5,
    )


@pytest.fixture(params=["generate", "translate", "caption"])
def write(request):
    """Each of the three verbs, greedy, on three or five inputs: strings come out."""
    if request.param == "generate":
        model = request.getfixturevalue("generator")
        texts = model.tokenizer.decode(PROMPTS)

        def run(**options):
            return model.generate(
                texts, max_new_tokens=3, include_prompt=False, **options
            )

    elif request.param == "translate":
        model = request.getfixturevalue("translator")

        def run(**options):
            options = {"sampler": "greedy", "max_length": 5} | options
            return model.translate(SENTENCES, **options)

    else:
        model = request.getfixturevalue("captioner")

        def run(**options):
            options = {"sampler": "greedy", "min_new_tokens": 5} | options
            return model.caption(IMAGES, **options)

    run.model = model
    is_text = request.param == "generate"
    run.split, run.first_id = (list, 2) if is_text else (str.split, 4)  # that of "a"
    return run


def test_what_is_told_while_it_is_written_is_what_comes_out(write):
    parts = []
    texts = write(callback=parts.append, no_repeat_ngram_size=1)
    assert texts == write(no_repeat_ngram_size=1)
    assert len(parts) >= 3
    assert ["".join(told) for told in zip(*parts, strict=True)] == texts


@pytest.mark.compiles_much
def test_a_stop_sequence_ends_each_and_is_not_told(write):
    whole = write()
    stop = whole[0][2:4]
    parts = []
    texts = write(stop=[stop, "zzz"], callback=parts.append)
    assert texts == [text.partition(stop)[0] for text in whole]
    assert ["".join(told) for told in zip(*parts, strict=True)] == texts


@pytest.mark.compiles_much
def test_samplers_and_what_may_follow_are_the_same_for_all(write):
    def words(**options):
        return [write.split(text) for text in write(**options)]

    sampler = RandomSampler(temperature=3.0, seed=1)
    drawn = write(sampler=sampler)
    assert drawn == write(sampler=sampler) != write()
    cold = RandomSampler(temperature=1e-8, seed=1)
    assert write(sampler=cold) == write()
    for row in words(no_repeat_ngram_size=1):
        assert len(set(row)) == len(row)
    for row, plain in zip(words(repetition_penalty=1e6), words(), strict=True):
        assert len(set(row)) >= len(set(plain))
    first = words()[0][0]
    number = write.first_id + ord(first) - ord("a")
    assert all(first not in row for row in words(forbidden_ids=[number]))


@pytest.mark.compiles_much
def test_several_results_come_best_first(write):
    texts, log_p = write(
        sampler=BeamSearch(3, num_results=2), return_log_probabilities=True
    )
    assert np.shape(texts) == log_p.shape == (len(write()), 2)
    assert (log_p[:, 0] >= log_p[:, 1]).all()
    assert all(first != second for first, second in texts)


def test_batches_change_nothing_but_the_memory(generator):
    """Of five prompts two at a time; the last batch is filled up."""
    asked = {"return_log_probabilities": True, "return_attention_scores": True}
    parts = []
    whole = generator.generate(PROMPTS, max_new_tokens=4, **asked)
    found = generator.generate(
        PROMPTS, max_new_tokens=4, batch_size=2, callback=parts.append, **asked
    )
    np.testing.assert_array_equal(found[0], whole[0])
    np.testing.assert_allclose(found[1], whole[1], atol=1e-4)
    np.testing.assert_allclose(found[2], whole[2], atol=1e-5)
    for i, prompt in enumerate(PROMPTS):
        told = [token for part in parts for token in part[i]]
        assert prompt + told == whole[0][i, : len(prompt) + 4].tolist()
    sampler = RandomSampler(temperature=3.0, seed=5)
    drawn = [
        generator.generate(PROMPTS, max_new_tokens=4, sampler=sampler, batch_size=size)
        for size in (None, 2)
    ]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.once
def test_sequences_of_like_lengths_share_a_batch():
    found = [numbers.tolist() for numbers in into_batches([3, 8, 1, 2, 4], 2)]
    assert found == [[1, 4], [0, 3], [2, 2]]
    found = [numbers.tolist() for numbers in into_batches([1, 1, 1], 32)]
    assert found == [[0, 1, 2, 2]]  # a power of two
    filled = [] if BACKEND == "torch" else [2]  # where sizes are compiled
    assert into_batches([1, 1, 1])[0].tolist() == [0, 1, 2, *filled]


def shown(weights, index=0):
    """The shapes of the layers that a page of heads shows."""
    page = show_heads(weights, index=index)
    return [layer["shape"] for layer in page._data["maps"]]


def test_the_weights_are_shown_as_layers_of_heads(generator, translator):
    """Three layers of two heads, six tokens that were read, four that were written."""
    _, weights = generator.generate(
        PROMPTS[:3], max_new_tokens=4, return_attention_scores=True
    )
    assert weights.shape == (3, 3, 2, 4, 12)
    assert shown(weights, index=2) == [[2, 4, 12]] * 3
    texts, weights = translator.translate(
        SENTENCES, beam_width=1, max_length=4, return_attention_scores=True
    )
    assert weights.shape == (3, 3, 2, 4, 5)
    assert shown(weights, index=1) == [[2, 4, 5]] * 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_on_the_way_leaves_the_model_as_it_was(write, error):
    before = [to_numpy(v.value) for v in write.model.variables]

    def fail(parts):
        raise error("on the way")

    with pytest.raises(error, match="on the way"):
        write(callback=fail)
    for value, variable in zip(before, write.model.variables, strict=True):
        np.testing.assert_array_equal(to_numpy(variable.value), value)
    assert write() == write()


@pytest.mark.compiles_much
def test_an_error_within_fit_leaves_the_weights():
    """On JAX `fit` holds them itself, and a callback of it may write."""
    model = make_transformer()
    model.compile("adam", TokenCrossentropy())
    source = model.source_vocabulary.encode(SENTENCES)

    def fail(parts):
        raise KeyboardInterrupt

    class Reader(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            model.translate(SENTENCES, beam_width=1, max_length=3, callback=fail)

    inputs = {"encoder_token_ids": source, "decoder_token_ids": source[:, :-1]}
    with pytest.raises(KeyboardInterrupt):
        model.fit(inputs, source[:, 1:], callbacks=[Reader()], verbose=0)
    assert all(np.isfinite(to_numpy(v.value)).all() for v in model.variables)
    assert len(model.translate(SENTENCES, beam_width=1, max_length=3)) == 3


@pytest.mark.compiles_much
def test_pieces_of_words_are_served_by_all():
    pieces = SubwordTokenizer.train(["a bird sings", "birds sing"] * 3, 40)
    sentences = ["birds sing", "a bird"]
    sizes = {"hidden_dim": 8, "word_dim": 5, "max_length": 6}
    translator = AttentionSeq2Seq(
        source_vocabulary=pieces, target_vocabulary=pieces, **sizes
    )
    captioner = RNNCaptioner(
        vocabulary=pieces, image_size=16, encoder_filters=(4,), **sizes
    )
    for write in (
        lambda **options: translator.translate(sentences, **options),
        lambda **options: captioner.caption(IMAGES[:2, :16, :16], **options),
    ):
        parts = []
        texts = write(beam_width=1, min_new_tokens=4, callback=parts.append)
        assert ["".join(told) for told in zip(*parts, strict=True)] == texts
        assert all(texts)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"forbidden_ids": [-1]}, r"`forbidden_ids` must hold token ids.*\[-1\]"),
        ({"forbidden_ids": [0.5]}, "`forbidden_ids` must hold token ids"),
        ({"stop": [[3, 99]]}, r"`stop` must hold token ids, integers from 0.*99"),
        ({"sampler": "best"}, "`sampler` must be one of"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"callback": print, "sampler": "beam"}, "cannot follow beams"),
        ({"repetition_penalty": 0}, "`repetition_penalty` must be positive"),
        ({"min_new_tokens": -1}, "`min_new_tokens` must be an integer from 0"),
    ],
)
def test_what_cannot_be_used_is_refused_by_all(write, options, message):
    with pytest.raises(ValueError, match=message):
        write(**options)


def test_a_sentence_needs_its_end(translator):
    with pytest.raises(ValueError, match="must leave the end.*and the end is 2"):
        translator.translate(SENTENCES, forbidden_ids=[2])
    with pytest.raises(ValueError, match="must be at most 4.*min_new_tokens=5"):
        translator.translate(SENTENCES, max_length=4, min_new_tokens=5)


@pytest.mark.parametrize("token_id", [-1, 11, 2**32 + 5])
def test_token_ids_beyond_the_table_are_refused(generator, translator, token_id):
    with pytest.raises(ValueError, match=f"from 0 to 10. Received: .*{token_id}"):
        generator.generate([[3, token_id]], max_new_tokens=2)
    with pytest.raises(ValueError, match=f"from 0 to 10.*{token_id}"):
        translator.translate([[3, token_id]])
    with pytest.raises(ValueError, match=f"from 0 to 10.*{token_id}"):
        translator.translate(np.array([[3, token_id]]))
