"""The perplexity of texts in windows is that of a loop over the logits."""

import numpy as np
import pytest
from keras import ops

from keras_attention.applications import GPT2
from keras_attention.applications import LSTMNLanguageModel
from language_models import TinyGPT

RNG = np.random.default_rng(3)
ROWS = [RNG.integers(3, 11, size).tolist() for size in (37, 5, 2, 16)]
MAKE = {
    "GPT2": lambda: GPT2(
        vocabulary_size=11, max_length=16, hidden_dim=8, num_layers=2, num_heads=2
    ),
    "LSTMN": lambda: LSTMNLanguageModel(vocabulary_size=11, hidden_dim=8, word_dim=4),
    "a tensor alone": lambda: TinyGPT(),
}


def log_probabilities(model, row):
    """Of each token but the first, as the logits of the whole row have it."""
    row = np.array([row])
    inputs = {"token_ids": row, "padding_mask": np.ones_like(row)}
    if isinstance(model.input, dict):
        logits = model({name: inputs[name] for name in model.input})
    else:
        logits = model(row)
    logits = ops.convert_to_numpy(logits)[0, :-1].astype("float64")
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    return logits[np.arange(row.size - 1), row[0, 1:]]


@pytest.mark.parametrize(
    "kind, stride",
    [
        ("GPT2", 15),
        pytest.param("GPT2", None, marks=pytest.mark.compiles_much),
        pytest.param("LSTMN", 3, marks=pytest.mark.compiles_much),
        pytest.param("a tensor alone", 3, marks=pytest.mark.compiles_much),
    ],
)
def test_each_token_is_counted_once_from_what_its_window_holds(kind, stride):
    model, size, step = MAKE[kind](), 16, stride or 8
    expected = []
    for row in ROWS:
        scores, done = [], 1
        for start in range(0, len(row), step):
            end = min(start + size, len(row))
            if done < end:
                part = log_probabilities(model, row[start:end])
                scores.extend(part[done - start - 1 :])
                done = end
        assert len(scores) == len(row) - 1
        expected.append(scores)
    options = {"stride": stride, "window": size, "batch_size": 2, "verbose": 0}
    np.testing.assert_allclose(
        model.perplexity(ROWS, per_text=True, **options),
        [np.exp(-np.mean(scores)) for scores in expected],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        model.perplexity(ROWS, **options),
        np.exp(-np.mean(np.concatenate(expected))),
        rtol=1e-5,
    )


def test_a_model_without_a_longest_text_reads_it_at_once():
    model = MAKE["LSTMN"]()
    expected = np.exp(-log_probabilities(model, ROWS[0]).mean())
    found = model.perplexity(ROWS[:1], verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_string_is_encoded_by_the_tokenizer():
    model = TinyGPT(with_tokenizer=True)
    expected = model.perplexity([[2, 3, 4, 2]], verbose=0)
    assert model.perplexity("abca", verbose=0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "texts, options, message",
    [
        ([[3]], {}, "text 0 with one token alone"),
        ([[3, 4]], {"window": 17}, "no more than the model reads, 16"),
        ([[3, 4]], {"window": 8, "stride": 8}, "`stride` must be less than a window"),
        ([[3, 4]], {"stride": 0}, "stride"),
        ([[3, 40]], {}, "Token ids must be from 0 to 10.* 3 to 40 in text 0"),
        ("ab", {}, "has no tokenizer.*encode the texts"),
        ([], {}, "`texts` must hold at least one text"),
        ([[3, 4], []], {}, "Text 1 has no token. Give each text"),
        ([[0.5]], {}, r"`texts` must be strings, or.*\[0.5\] as text 0"),
    ],
)
def test_what_has_no_perplexity_is_refused(texts, options, message):
    with pytest.raises(ValueError, match=message):
        MAKE["GPT2"]().perplexity(texts, verbose=0, **options)


def test_a_classifier_predicts_no_tokens():
    model = GPT2(
        vocabulary_size=11,
        hidden_dim=8,
        num_layers=1,
        num_heads=2,
        head="classification",
    )
    with pytest.raises(ValueError, match="predicts no tokens"):
        model.perplexity([[3, 4]])
