"""Texts go into `fit`, `evaluate` and `predict` of BERT and GPT-2."""

import keras
import numpy as np
import pytest

from keras_attention.applications import BERT
from keras_attention.applications import ELECTRA
from keras_attention.applications import GPT2
from keras_attention.tasks.text_inputs import read_texts
from keras_attention.tokenizers.tokenizer_files import byte_pair_tokenizer
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
from keras_attention.tokenizers.vocabulary import Vocabulary
from keras_attention.training import TokenBinaryCrossentropy

pytest.importorskip("tokenizers")

WORDS = "[PAD] [UNK] [CLS] [SEP] good bad film ##s the a un ##wanted .".split()
SIZES = {
    "hidden_dim": 6,
    "num_layers": 1,
    "num_heads": 2,
    "mlp_dim": 8,
    "max_length": 20,
    "seed": 3,
}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_bert(**arguments):
    return BERT(
        **{
            "tokenizer": word_piece_tokenizer(WORDS),
            "vocabulary_size": len(WORDS),
            "head": "classification",
            "initializer_range": 0.2,
            **SIZES,
            **arguments,
        }
    )


def make_gpt2(**arguments):
    tokenizer = byte_pair_tokenizer(
        {character: i for i, character in enumerate("abdefglmoĠ")}, []
    )
    return GPT2(
        tokenizer=tokenizer,
        vocabulary_size=10,
        **{"head": "classification", **SIZES, **arguments},
    )


TEXTS = ["a good film", "bad", "a bad film", "good"]


@pytest.mark.parametrize(
    "make", [make_bert, pytest.param(make_gpt2, marks=pytest.mark.compiles_much)]
)
def test_a_classifier_is_trained_in_three_lines(make):
    model = make(class_names=["bad", "good"], dropout=0.0, attention_dropout=0.0)
    model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    labels = ["good", "bad", "bad", "good"]
    losses = model.fit(TEXTS, labels, epochs=40, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    inputs = model.tokenizer(TEXTS)
    np.testing.assert_allclose(
        model.predict(TEXTS, verbose=0), model.predict(inputs, verbose=0), atol=1e-5
    )


def test_pairs_may_be_written_in_three_ways():
    model = make_bert()
    texts, pairs = TEXTS[:3], ["bad", "a film", "the films ."]
    expected = model.predict(model.tokenizer(texts, pairs), verbose=0)
    for x in (
        (texts, pairs),
        {"texts": texts, "pairs": np.array(pairs)},
        list(zip(texts, pairs, strict=True)),
    ):
        found = model.predict(x, batch_size=2, verbose=0)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    swapped = model.predict((pairs, texts), verbose=0)
    assert np.abs(swapped - expected).max() > 1e-4


@pytest.mark.once
def test_the_inputs_are_those_of_the_tokenizer():
    """Padded to 8, 12 or the 20 that the model reads."""
    model = make_bert()
    for text, length in (("good", 8), ("films " * 4, 12), ("film " * 18, 20)):
        inputs, _, _ = model._prepare_batch([text, "bad"])
        own = model.tokenizer([text, "bad"], padded_length=length)
        assert inputs.keys() == own.keys()
        for name, array in own.items():
            assert array.shape == (2, length)
            np.testing.assert_array_equal(inputs[name], array)


@pytest.mark.once
def test_texts_are_cut_where_the_tokenizer_says_so():
    model = make_bert()
    long = ["good", "film " * 19]
    message = "Text 1 needs 21 tokens, and this model reads at most 20: 'film .*To cut"
    with pytest.raises(ValueError, match=message):
        model.predict(long)
    model.tokenizer.truncate = True
    found = model.predict(long, verbose=0)
    inputs = model.tokenizer(["good", "film " * 18])
    np.testing.assert_allclose(found, model.predict(inputs, verbose=0), atol=1e-5)
    model.tokenizer.max_length = 5
    assert model.raw_lengths(long).tolist() == [3, 5]
    with pytest.raises(ValueError, match="Text 1 needs 21 tokens, more than max_len"):
        model.tokenizer.count(long, truncate=False)


@pytest.mark.once
def test_texts_are_told_from_other_inputs():
    assert read_texts(["a", "b"]) == read_texts(np.array(["a", "b"])) == ["a", "b"]
    assert read_texts([]) == []
    assert read_texts([["a", "b"], ["c"]]) == [["a", "b"], ["c"]]
    assert read_texts((["a", "b"], ["c", "d"])) == [("a", "c"), ("b", "d")]
    words = (["a", "b"], ["c"])
    assert read_texts(words, "token_classification") == [["a", "b"], ["c"]]
    ids = np.ones((2, 3), "int32")
    for prepared in (ids, [ids, ids], (ids, ids), {"token_ids": ids}, [[1, 2], [3]]):
        assert read_texts(prepared) is None


@pytest.mark.once
def test_what_is_no_text_is_told():
    for x, message in (
        ("a text", r"must be a list of strings. .*'a text'. Put one text in a list"),
        (["a", None], "Received None at position 1"),
        ([3, "a"], "Received 3 at position 0"),
        (["a", ("b", "c")], r"all of one kind. Received \('b', 'c'\) at position 1"),
        ((["a", "b"], ["c"]), "Received: 2 texts and 1 pairs"),
        ({"texts": ["a"], "labels": [1]}, "Received: labels, texts"),
    ):
        with pytest.raises(ValueError, match=message):
            read_texts(x)
    with pytest.raises(ValueError, match="BERT was built without a tokenizer.*'good'"):
        make_bert(tokenizer=None).predict(["good"])


@pytest.mark.once
def test_the_limits_of_a_tokenizer_are_saved_with_the_model(tmp_path):
    model = make_bert()
    model.tokenizer.max_length, model.tokenizer.truncate = 7, "only_first"
    model.save_to_preset(tmp_path)
    model.save(tmp_path / "model.keras")
    for again in (
        BERT.from_preset(tmp_path),
        keras.models.load_model(tmp_path / "model.keras"),
    ):
        assert again.tokenizer == model.tokenizer
        assert again.tokenizer.max_length == 7
        assert again.tokenizer.truncate == "only_first"


SENTENCES = [["a", "unwanted", "film"], ["good", "films"], ["bad"]]
TAGS = [["O", "ADJ", "N"], ["ADJ", "N"], ["ADJ"]]


def make_tagger(**arguments):
    return make_bert(
        head="token_classification", class_names=["O", "N", "ADJ"], **arguments
    )


@pytest.mark.once
def test_the_first_token_of_a_word_learns_its_label():
    """[CLS] a un ##wanted film [SEP], and good film ##s."""
    model = make_tagger()
    inputs, targets, weights = model._prepare_batch(
        SENTENCES, TAGS, np.array([1.0, 2.0, 4.0])
    )
    assert inputs["token_ids"][0, :6].tolist() == [2, 9, 10, 11, 6, 3]
    assert targets[:, :6].tolist() == [
        [0, 0, 2, 0, 1, 0],
        [0, 2, 1, 0, 0, 0],
        [0, 2, 0, 0, 0, 0],
    ]
    assert weights[:, :6].tolist() == [
        [0, 1, 1, 0, 1, 0],
        [0, 2, 2, 0, 0, 0],
        [0, 4, 0, 0, 0, 0],
    ]


def test_words_are_labelled():
    model = make_tagger(dropout=0.0, attention_dropout=0.0)
    model.compile(keras.optimizers.Adam(0.05), LOSS, weighted_metrics=["accuracy"])
    history = model.fit(SENTENCES, TAGS, epochs=40, verbose=0).history
    assert history["accuracy"][-1] == 1
    names, probabilities = model.classify(SENTENCES)
    assert names == TAGS
    assert [row.shape for row in probabilities] == [(3, 3), (2, 3), (1, 3)]
    np.testing.assert_allclose(probabilities[0].sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.once
def test_words_that_are_cut_off_have_no_label():
    model = make_tagger()
    model.tokenizer.truncate, model.tokenizer.max_length = True, 4
    _, targets, weights = model._prepare_batch(SENTENCES[:1], TAGS[:1])
    assert targets[0, :5].tolist() == [0, 0, 2, 0, 0]
    assert weights[0, :5].tolist() == [0, 1, 1, 0, 0]
    assert [len(names) for names in model.classify(SENTENCES)[0]] == [2, 2, 1]


QUESTIONS = ["the film", "good", "a"]
CONTEXTS = ["a  good film .", "the unwanted films", "bad"]
SPANS = [(3, 7), (4, 18), (-1, -1)]  # "good", "unwanted films", none


@pytest.mark.once
def test_answers_become_tokens():
    """[CLS] the film [SEP] a good film . [SEP]"""
    model = make_bert(head="question_answering")
    inputs, targets, _ = model._prepare_batch((QUESTIONS, CONTEXTS), SPANS)
    assert inputs["token_ids"][0, :9].tolist() == [2, 8, 6, 3, 9, 4, 6, 12, 3]
    assert targets["start"].tolist() == [5, 4, 0]
    assert targets["end"].tolist() == [5, 7, 0]
    model.tokenizer.truncate, model.tokenizer.max_length = "only_second", 7
    _, targets, _ = model._prepare_batch((QUESTIONS, CONTEXTS), SPANS)
    assert targets["start"].tolist() == [5, 0, 0]


@pytest.mark.compiles_much
def test_questions_are_answered():
    model = make_bert(head="question_answering", dropout=0.0, attention_dropout=0.0)
    model.compile(keras.optimizers.Adam(0.02), {"start": LOSS, "end": LOSS})
    model.fit((QUESTIONS[:2], CONTEXTS[:2]), SPANS[:2], epochs=40, verbose=0)
    assert model.answer(QUESTIONS[:2], CONTEXTS[:2]) == ["good", "unwanted films"]
    assert model.answer(QUESTIONS[1:2], CONTEXTS[1:2], max_answer_length=2) != [
        "unwanted films"
    ]


@pytest.mark.once
def test_labels_that_fit_no_word_or_context_are_told():
    tagger, reader = make_tagger(), make_bert(head="question_answering")
    for model, x, y, message in (
        (tagger, ["a film"], [["O", "N"]], "a list of words. Received 'a film' at"),
        (tagger, SENTENCES, [*TAGS[:2], []], "1 words and 0 labels at position 2"),
        (tagger, SENTENCES[2:], [["V"]], "one of .*Received 'V'"),
        (reader, ["a"], [(0, 1)], "pass pairs"),
        (reader, (["a"], ["bad"]), [[1]], r"shape \(1, 1\), int64"),
        (reader, (["a"], ["bad"]), [(0, 4)], "of 3 characters. Received: from 0 to 4"),
        (reader, (["a"], ["bad"]), [(-1, 2)], "Received: from -1 to 2"),
    ):
        with pytest.raises(ValueError, match=message):
            model.train_on_batch(x, y)
    with pytest.raises(ValueError, match="so it does not classify"):
        reader.classify(["a"])
    with pytest.raises(ValueError, match="so it answers no questions"):
        tagger.answer(["a"], ["a"])


@pytest.mark.once
@pytest.mark.parametrize(
    "method, arguments, message",
    [
        ("answer", ("a", ["b"]), r"`questions` must be .* Put one question in a list"),
        ("answer", (["a"], ["b", "c"]), "1 questions and 2 contexts"),
        ("answer", ([["a"]], [["b"]]), r"`questions` must be strings.*\['a'\] at pos"),
        ("answer", (["a"], ["b"], None, 0), "`max_answer_length`"),
        ("choose", ("a", [["b"]]), "`texts` must be .* Put one text in a list"),
        ("choose", (["a"], ["b"]), "`choices` must be .* Put one choice in a list"),
        ("choose", (["a"], [["b"], ["c"]]), "1 texts and 2 lists of choices"),
        ("classify", ("a",), "Texts must be a list .*Put one text in a list"),
    ],
)
def test_what_is_asked_is_named_by_what_is_wrong(method, arguments, message):
    heads = {"answer": "question_answering", "choose": "multiple_choice"}
    model = make_bert(head=heads.get(method, "classification"))
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(*arguments)


@pytest.mark.once
def test_replaced_tokens_are_labelled_by_the_text_as_it_was():
    """[CLS] a bad film [SEP], and padding that counts for nothing."""
    model = ELECTRA(
        tokenizer=word_piece_tokenizer(WORDS),
        vocabulary_size=len(WORDS),
        head="replaced_token_detection",
        **SIZES,
    )
    texts, originals = ["a bad film", "good"], ["a good film", "good"]
    inputs, targets, weights = model._prepare_batch(texts, originals)
    assert inputs["token_ids"][0, :5].tolist() == [2, 9, 5, 6, 3]
    assert targets[:, :5].tolist() == [[0, 0, 1, 0, 0], [0] * 5]
    assert weights[:, :5].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    model.compile("sgd", TokenBinaryCrossentropy())
    logits = model.predict_on_batch(inputs)
    losses = np.log1p(np.exp(logits)) - targets * logits
    np.testing.assert_allclose(
        model.evaluate(texts, originals, verbose=0),
        (losses * weights).sum() / weights.sum(),
        rtol=1e-5,
    )
    with pytest.raises(ValueError, match="5 tokens of 'a bad film', and 3 of 'good'"):
        model.train_on_batch(texts, ["good", "good"])
    with pytest.raises(ValueError, match="as they were before. Received: .*1"):
        model.train_on_batch(texts, [1, 0])
    with pytest.raises(ValueError, match=r"y_true.shape=\(2, 8, 1\)"):
        model.test_on_batch(inputs, targets[..., None])


@pytest.mark.once
def test_a_classifier_does_not_learn_from_texts_alone():
    model = make_bert(head="classification")
    message = "head='classification' learns .*Pass one for each text"
    for act in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match=message):
            act(TEXTS)


def test_a_classifier_says_names_and_probabilities():
    model = make_bert(class_names=["against", "for"])
    names, probabilities = model.classify(TEXTS)
    logits = model.predict(TEXTS, verbose=0)
    odds = np.exp(logits[:, 0] - logits[:, 1])
    np.testing.assert_allclose(
        probabilities[:, 0] / probabilities[:, 1], odds, rtol=1e-4
    )
    assert names == [["for", "against"][int(odd > 1)] for odd in odds]
    assert set(make_bert().classify(["good"])[0]) <= {0, 1}


def test_one_number_is_no_choice_of_classes():
    with pytest.raises(ValueError, match='num_classes=1. Pass head="regression"'):
        make_bert(num_classes=1)
    model = make_bert(head="regression")
    assert model.output_shape == (None, 1)
    with pytest.raises(ValueError, match="it gives numbers, not classes. Use `pred"):
        model.classify(["good"])
    with pytest.raises(ValueError, match="A regression learns numbers. Received: 'hi'"):
        model.train_on_batch(["good"], ["hi"])


@pytest.mark.compiles_much
def test_numbers_are_learned():
    model = make_bert(head="regression", dropout=0.0, attention_dropout=0.0)
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(TEXTS, [1.0, -1.0, -0.5, 0.5], epochs=30, verbose=0)
    found = model.predict(TEXTS, verbose=0)[:, 0]
    assert np.corrcoef(found, [1.0, -1.0, -0.5, 0.5])[0, 1] > 0.9


def test_several_labels_may_be_right():
    model = make_bert(head="multi_label", class_names=["good", "film"], dropout=0.0)
    labels = [["film", "good"], [], ["film"], ["good"]]
    _, targets, _ = model._prepare_batch(TEXTS, labels)
    assert targets.tolist() == [[1, 1], [0, 0], [0, 1], [1, 0]]
    np.testing.assert_array_equal(
        model._prepare_batch(TEXTS, np.array(targets))[1], targets
    )
    names, probabilities = model.classify(TEXTS)
    logits = model.predict(TEXTS, verbose=0)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    assert names == [
        [n for n, logit in zip(["good", "film"], row, strict=True) if logit > 0]
        for row in logits
    ]


@pytest.mark.once
def test_labels_that_are_no_lists_of_names_are_told():
    model = make_bert(head="multi_label", class_names=["good", "film"])
    for y, message in (
        (["good"], r"the string 'good'. Put one name in a list"),
        ([["bad"]], "one of .*Received 'bad'"),
        ([[1, 0, 1]], r"for each of the 2 classes. Received: shape \(1, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.train_on_batch(["a"], y)


CHOICES = [["good", "bad film ."], ["unwanted", "a film"]]


def test_the_best_of_several_choices():
    model = make_bert(head="multiple_choice")
    inputs, targets, _ = model._prepare_batch((TEXTS[:2], CHOICES), ["good", 1])
    assert inputs["token_ids"].shape == (2, 2, 12)
    assert targets.tolist() == [0, 1]
    flat = model.tokenizer(["bad", "bad"], CHOICES[1], padded_length=12)
    np.testing.assert_array_equal(inputs["token_ids"][1], flat["token_ids"])
    logits = model.predict((TEXTS[:2], CHOICES), verbose=0)
    assert logits.shape == (2, 2)
    chosen, probabilities = model.choose(TEXTS[:2], CHOICES)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    assert chosen == [
        row[number] for row, number in zip(CHOICES, logits.argmax(axis=-1), strict=True)
    ]


@pytest.mark.once
def test_choices_that_are_none_are_told():
    model = make_bert(head="multiple_choice")
    with pytest.raises(ValueError, match="2 at position 0, 1 at position 1"):
        model.predict((TEXTS[:2], [CHOICES[0], ["good"]]))
    with pytest.raises(ValueError, match="Received 'film' at position 1, with 2 ch"):
        model.train_on_batch((TEXTS[:2], CHOICES), [0, "film"])
    with pytest.raises(ValueError, match="so it chooses nothing"):
        make_bert().choose(["a"], [["b", "c"]])


def test_words_of_a_vocabulary_are_no_inputs_of_bert():
    model = make_bert(tokenizer=Vocabulary(["good"]))
    with pytest.raises(ValueError, match="PublishedTokenizer.*Received: Vocabulary"):
        model.predict(["good"])


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("token_ids", -1, "`token_ids` must be from 0 to 12. Received: -1 to 4"),
        ("token_ids", 13, "`token_ids` must be from 0 to 12. Received: 4 to 13"),
        ("segment_ids", 2, "`segment_ids` must be from 0 to 1. Received: 0 to 2"),
    ],
)
def test_ids_without_a_row_are_told(name, value, message):
    """And parts of an id."""
    model = make_bert()
    model.compile("adam", LOSS)
    inputs = {
        "token_ids": np.full((2, 4), 4),
        "padding_mask": np.ones((2, 4), bool),
        "segment_ids": np.zeros((2, 4), "int32"),
    }
    parts = {**inputs, name: inputs[name] + 0.5}
    with pytest.raises(ValueError, match=f"`{name}` must be whole numbers"):
        model.predict(parts)
    inputs[name][1, 2] = value
    for act in (
        lambda: model.predict(inputs),
        lambda: model.fit(inputs, np.zeros(2)),
        lambda: model.evaluate(inputs, np.zeros(2)),
        lambda: model.train_on_batch(inputs, np.zeros(2)),
    ):
        with pytest.raises(ValueError, match=message):
            act()


@pytest.mark.once
def test_labels_that_are_no_class_are_told_with_prepared_inputs_too():
    model = make_bert()
    model.compile("adam", LOSS)
    inputs = {
        "token_ids": np.full((2, 4), 4),
        "padding_mask": np.ones((2, 4), bool),
        "segment_ids": np.zeros((2, 4), "int32"),
    }
    too_large = np.array([0, 7])
    for act in (
        lambda: model.fit(inputs, too_large),
        lambda: model.fit(inputs, too_large[:, None]),
        lambda: model.evaluate(inputs, too_large),
        lambda: model.train_on_batch(inputs, too_large),
    ):
        with pytest.raises(ValueError, match="from 0 to 1.*Received 7 at position 1"):
            act()
    with pytest.raises(ValueError, match="whole number.* Received 0.5 at position 1"):
        model.fit(TEXTS[:2], [0.0, 0.5])
    model.fit(TEXTS[:2], [0.0, 1.0], verbose=0)
