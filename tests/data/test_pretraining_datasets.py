"""Batches of text files for BERT and GPT-2: what is in them, and in which epoch."""

import re

import keras
import numpy as np
import pytest

from keras_attention.applications import ALBERT
from keras_attention.applications import BERT
from keras_attention.applications import GPT2
from keras_attention.data import FollowEpochs
from keras_attention.data import LanguageModelDataset
from keras_attention.data import MaskedLanguageModelDataset
from keras_attention.data import PermutationLanguageModelDataset
from keras_attention.tokenizers import load_tokenizer
from keras_attention.tokenizers import train_byte_pairs
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
from keras_attention.training import Perplexity
from keras_attention.training import TokenAccuracy
from keras_attention.training import TokenCrossentropy
from published_tokenizers import write_roberta

pytest.importorskip("tokenizers")

LETTERS = "abcdefghijkl"
# A document is written in one letter, which is a word.
WORDS = word_piece_tokenizer(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, "##x"]
)
TINY = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 16, "seed": 3}


def write_documents(path, rng, count=12, sentences=(2, 9), words=(1, 6)):
    """Documents of sentences, each document of another letter."""
    texts = []
    for letter in LETTERS[:count]:
        lengths = rng.integers(*words, rng.integers(*sentences))
        texts.append("\n".join(" ".join([letter] * n) for n in lengths))
    path.write_text("\n\n".join(texts))
    return path


@pytest.fixture
def documents(tmp_path, rng):
    return write_documents(tmp_path / "documents.txt", rng)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_ATTENTION_CACHE", str(tmp_path / "cache"))


def masked(path, **options):
    options = {"max_length": 13, "batch_size": 4, **options}
    return MaskedLanguageModelDataset(path, WORDS, **options)


def batches(dataset):
    return [dataset[i] for i in range(len(dataset))]


def unmasked(inputs, labels):
    """The rows before anything was hidden, without padding."""
    token_ids = np.where(labels != 0, labels, inputs["token_ids"])
    rows = zip(token_ids, inputs["padding_mask"], strict=True)
    return ["".join(WORDS.tokens([row[mask]])[0]) for row, mask in rows]


@pytest.mark.once
def test_an_epoch_shows_each_token_once(documents):
    """In order; a separator stands between documents, and rows are full."""
    dataset = masked(documents, shuffle=False)
    texts = []
    for inputs, labels, weights in batches(dataset):
        assert inputs["token_ids"].shape == labels.shape == weights.shape == (4, 13)
        assert not inputs["segment_ids"].any()
        np.testing.assert_array_equal(weights == 1, labels != 0)
        shown = unmasked(inputs, labels)
        texts += [t for t, row in zip(shown, weights, strict=True) if row.any()]
        lengths = inputs["padding_mask"].sum(axis=1)
    assert all(text.startswith("[CLS]") and text.endswith("[SEP]") for text in texts)
    joined = "".join(text.removeprefix("[CLS]") for text in texts)
    expected = documents.read_text().replace(" ", "").replace("\n\n", "|")
    expected = expected.replace("\n", "")
    assert joined.replace("[SEP]", "") == expected.replace("|", "")
    # A row ends with the sentence behind which the next does not fit.
    lengths = [len(text.replace("[CLS]", "-").replace("[SEP]", "-")) for text in texts]
    assert min(lengths[:-1]) > 13 - 6 and max(lengths) <= 13


@pytest.mark.once
def test_pairs_follow_or_come_from_another_document(tmp_path, rng):
    path = write_documents(tmp_path / "text.txt", rng, sentences=(12, 30))
    dataset = masked(path, next_sentence=True, max_length=16)
    sizes = {0: [], 1: []}
    for epoch in range(20):
        dataset.epoch = epoch
        for inputs, labels, weights in batches(dataset):
            follows = labels["next_sentence"]
            rows = unmasked(inputs, labels["masked_language_model"])
            for i in np.flatnonzero(weights["next_sentence"]):
                start, first, second, rest = re.split(r"\[CLS\]|\[SEP\]", rows[i])
                assert first and second and not (start or rest)
                assert {*first, *second} == {first[0], second[0]}
                assert (first[0] != second[0]) == follows[i]
                expected = [0] * (len(first) + 2) + [1] * (len(second) + 1)
                segments = inputs["segment_ids"][i]
                assert segments[: len(expected)].tolist() == expected
                assert not segments[len(expected) :].any()
                sizes[follows[i]].append((len(first), len(second)))
    count = [len(pairs) for pairs in sizes.values()]
    assert count[1] / sum(count) == pytest.approx(0.5, abs=0.03)
    # The lengths do not tell which is which.
    follow, random = (np.mean(pairs, axis=0) for pairs in sizes.values())
    np.testing.assert_allclose(follow, random, atol=0.3)
    assert np.sum([*sizes[0], *sizes[1]], axis=1).max() == 13


@pytest.mark.once
def test_pairs_are_in_their_order_or_exchanged(tmp_path, rng):
    """A document whose words are numbered tells which text was first."""
    path = tmp_path / "text.txt"
    order = [f"{letter}" for letter in LETTERS]
    path.write_text("\n".join(order) + "\n\n" + "\n".join(order))
    dataset = masked(path, sentence_order=True, max_length=7)
    found = []
    for epoch in range(30):
        dataset.epoch = epoch
        for inputs, labels, weights in batches(dataset):
            rows = unmasked(inputs, labels["masked_language_model"])
            for i in np.flatnonzero(weights["sentence_order"]):
                _, first, second, _ = re.split(r"\[CLS\]|\[SEP\]", rows[i])
                assert (first > second) == labels["sentence_order"][i]
                assert "".join(sorted(first + second)) in LETTERS
                found.append(labels["sentence_order"][i])
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


@pytest.mark.once
def test_a_model_learns_one_task_of_pairs(documents):
    with pytest.raises(ValueError, match="Received both"):
        masked(documents, next_sentence=True, sentence_order=True)


@pytest.mark.once
def test_spans_are_hidden(documents):
    """As many tokens as without, and more of them side by side."""

    def counted(**options):
        rows = np.concatenate([w for *_, w in batches(masked(documents, **options))])
        return rows.sum(), (rows[:, 1:] * rows[:, :-1]).sum()

    count, together = counted(rate=0.3)
    count_of_spans, together_of_spans = counted(rate=0.3, max_span=4)
    assert count_of_spans == count
    assert together_of_spans > 1.5 * together


@pytest.mark.once
def test_a_tokenizer_without_segments_makes_none(documents):
    """RoBERTa's: other names of the special tokens, other marks of words."""
    documents.write_text("the dog barks\nthe cat meows\n\ntwo dogs bark\na b\n")
    roberta = load_tokenizer(write_roberta(documents.parent))
    dataset = MaskedLanguageModelDataset(
        documents, roberta, max_length=24, batch_size=2, whole_word=True, rate=0.5
    )
    inputs, labels, weights = dataset[0]
    assert set(inputs) == {"token_ids", "padding_mask"}
    pieces = roberta.tokens(np.where(weights == 1, labels, inputs["token_ids"]))
    for row, hidden in zip(pieces, weights, strict=True):
        for before, after, piece in zip(hidden, hidden[1:], row[1:], strict=False):
            if before and not piece.startswith(("Ġ", "<")):
                assert after, row


@pytest.mark.once
def test_sentences_that_are_too_long_are_cut(tmp_path):
    """30 tokens among rows with room for 11; of a pair the ends that touch stay."""
    path = tmp_path / "text.txt"
    path.write_text("a " * 30 + "\nb\n\nc\nd")
    rows = [
        text
        for inputs, labels, _ in batches(masked(path, shuffle=False, batch_size=1))
        for text in unmasked(inputs, labels)
    ]
    assert "".join(rows).count("a") == 30
    assert max(text.count("a") for text in rows) == 11
    dataset = masked(path, next_sentence=True, batch_size=30)
    for epoch in range(3):
        dataset.epoch = epoch
        inputs = dataset[0][0]
        assert inputs["padding_mask"].sum(axis=1).max() == 13
        assert (np.sum(inputs["token_ids"] == 3, axis=1) == 2).all()


@pytest.mark.once
def test_a_document_of_one_sentence_has_no_next_one(tmp_path):
    """The last sentence is alone in no row: it comes with the one before."""
    path = tmp_path / "text.txt"
    path.write_text("a a a\nb b b\nc c c\n\nd\n\ne e\nf f")
    dataset = masked(path, next_sentence=True, max_length=10)
    rows = [WORDS.decode([dataset._tokens(*row)])[0] for row in dataset.rows]
    assert rows == ["a a a b b b", "b b b c c c", "e e f f"]


@pytest.mark.once
def test_whole_words_are_hidden(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("axx b cxx d exxx f\n" * 5)
    dataset = masked(path, whole_word=True, max_length=30, rate=0.3)
    continues = len(WORDS) - 1
    for inputs, labels, _ in batches(dataset):
        rows = np.where(labels != 0, labels, inputs["token_ids"])
        for row, hidden in zip(rows, labels != 0, strict=True):
            same = row[1:] == continues
            np.testing.assert_array_equal(hidden[1:][same], hidden[:-1][same])
    assert any((labels == continues).any() for _, labels, _ in batches(dataset))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(chr(33 + i % 90) for i in range(150)))
    return path


@pytest.fixture
def byte_pairs(text):
    return train_byte_pairs(text, vocabulary_size=257)


@pytest.mark.once
def test_each_token_is_predicted_once(text, byte_pairs):
    """151 tokens with the end: 150 predictions in 15 rows, the last batch filled up."""
    dataset = LanguageModelDataset(
        text, byte_pairs, length=10, batch_size=4, shuffle=False
    )
    assert len(dataset) == 4
    read, predicted = [], []
    for inputs, y, weights in batches(dataset):
        assert y.shape == weights.shape == inputs["token_ids"].shape == (4, 10)
        np.testing.assert_array_equal(inputs["token_ids"][:, 1:], y[:, :-1])
        assert inputs["padding_mask"].all()
        read += inputs["token_ids"][weights == 1].tolist()
        predicted += y[weights == 1].tolist()
    whole = byte_pairs.encode([text.read_text()])[0].tolist()
    assert read == whole
    assert predicted == [*whole[1:], byte_pairs.end_id]


@pytest.mark.once
def test_the_cuts_change_and_still_each_token_is_predicted(text, byte_pairs):
    """Where the rows do not come out even, the end of the last counts nothing."""
    dataset = LanguageModelDataset(text, byte_pairs, length=7, batch_size=4, seed=5)
    orders = []
    for _ in range(3):
        found = batches(dataset)
        pairs = [
            pair
            for inputs, y, weights in found
            for pair in zip(
                inputs["token_ids"][weights == 1], y[weights == 1], strict=True
            )
        ]
        assert len(pairs) == 150
        whole = [*byte_pairs.encode([text.read_text()])[0], byte_pairs.end_id]
        ring = sorted(zip(whole, np.roll(whole, -1), strict=True))
        missing = list(ring)
        for pair in pairs:
            missing.remove(pair)
        assert len(missing) == 1
        orders.append([y.tolist() for _, y, _ in found])
        dataset.on_epoch_end()
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.once
def test_batches_are_a_function_of_seed_and_epoch(documents, text, byte_pairs):
    def make(seed=1, shuffle=True):
        yield masked(documents, next_sentence=True, seed=seed, shuffle=shuffle)
        yield LanguageModelDataset(text, byte_pairs, 10, 4, seed=seed, shuffle=shuffle)

    def shown(dataset, epoch):
        dataset.epoch = epoch
        return repr(batches(dataset))

    for dataset, again, other, fixed in zip(
        make(), make(), make(2), make(shuffle=False), strict=True
    ):
        later = shown(dataset, 4)
        assert shown(dataset, 0) != later
        assert shown(again, 4) == later != shown(other, 4)
        assert shown(fixed, 0) == shown(fixed, 3)


@pytest.mark.once
def test_several_epochs_may_show_all(text, byte_pairs):
    """15 batches in 4 parts of 3: the last 3 batches of a pass are left out."""
    whole = LanguageModelDataset(text, byte_pairs, 10, 1, seed=2)
    parts = LanguageModelDataset(text, byte_pairs, 10, 1, seed=2, num_parts=4)
    assert (len(whole), len(parts)) == (15, 3)
    for epoch in range(8):
        whole.epoch, parts.epoch = divmod(epoch, 4)[0], epoch
        begin = epoch % 4 * 3
        assert repr(batches(parts)) == repr(batches(whole)[begin : begin + 3])


@pytest.mark.once
def test_what_fills_up_counts_nothing(documents):
    dataset = masked(documents, next_sentence=True, batch_size=500)
    _, labels, weights = dataset[0]
    assert weights["next_sentence"].sum() == len(dataset.rows) < 500
    for x in (labels["masked_language_model"], weights["masked_language_model"]):
        assert not x[len(dataset.rows) :].any()


@pytest.mark.once
def test_there_is_no_batch_beyond_the_last(documents):
    dataset = masked(documents)
    with pytest.raises(IndexError, match=f"Batch {len(dataset)} of {len(dataset)}"):
        dataset[len(dataset)]


@pytest.mark.once
def test_what_cannot_be_batched_is_told(documents, tmp_path, byte_pairs):
    with pytest.raises(ValueError, match="`batch_size` must be 1 or more.*=0"):
        masked(documents, batch_size=0)
    with pytest.raises(ValueError, match="`num_parts` must be 1 or more.*=0"):
        masked(documents, num_parts=0)
    with pytest.raises(ValueError, match="`max_length` must be 5 or more.*=4"):
        masked(documents, max_length=4, next_sentence=True)
    with pytest.raises(ValueError, match="`length` must be 1 or more.*=0"):
        LanguageModelDataset(documents, byte_pairs, length=0)
    with pytest.raises(ValueError, match="without class_id, separator_id, mask_id"):
        MaskedLanguageModelDataset(documents, byte_pairs)
    path = tmp_path / "lines.txt"
    path.write_text("a\nb\n\nc\n\nd")
    with pytest.raises(ValueError, match="Received 3 documents, 1 of them with two"):
        masked(path, next_sentence=True)
    with pytest.raises(ValueError, match="Expected a `LanguageModelDataset`.*: 3"):
        FollowEpochs(3)


@pytest.mark.compiles_much
@pytest.mark.parametrize(
    "cls, task",
    [(BERT, None), (BERT, "next_sentence"), (ALBERT, "sentence_order")],
)
def test_bert_and_albert_are_fit_from_it(documents, cls, task):
    head = "pretraining" if task else "masked_language_model"
    model = cls(vocabulary_size=len(WORDS), max_length=13, head=head, **TINY)
    token_loss, token_accuracy = TokenCrossentropy(), TokenAccuracy()
    if task:
        follows = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(
            "adam",
            {"masked_language_model": token_loss, task: follows},
            weighted_metrics={
                "masked_language_model": token_accuracy,
                task: "accuracy",
            },
        )
    else:
        model.compile("adam", token_loss, weighted_metrics=[token_accuracy])
    dataset = masked(documents, batch_size=8, **({task: True} if task else {}))
    history = model.fit(dataset, validation_data=dataset, verbose=0).history
    assert np.isfinite([values[-1] for values in history.values()]).all()
    assert any(name.endswith("token_accuracy") for name in history)


@pytest.mark.compiles_much
def test_gpt2_is_fit_from_it(text, byte_pairs):
    """What is evaluated is the mean over each of the 150 predictions, once."""
    model = GPT2(vocabulary_size=257, max_length=10, end_id=0, **TINY)
    model.compile(
        "adam",
        TokenCrossentropy(padding_id=None),
        weighted_metrics=[Perplexity(padding_id=None)],
    )
    model.fit(LanguageModelDataset(text, byte_pairs, 10, 4), verbose=0)
    dataset = LanguageModelDataset(text, byte_pairs, 10, 4, shuffle=False)
    found = model.evaluate(dataset, return_dict=True, verbose=0)
    losses = []
    for inputs, y, weights in batches(dataset):
        logits = model.predict(inputs, verbose=0).astype("float64")
        chosen = np.take_along_axis(logits, y[..., None], -1)[..., 0]
        losses.append((np.log(np.exp(logits).sum(-1)) - chosen)[weights == 1])
    expected = np.exp(np.concatenate(losses).mean())
    assert found["perplexity"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.once
def test_an_epoch_of_orders_shows_each_token_once(documents):
    """Behind the padding, before a separator and the class; other orders each time."""
    dataset = PermutationLanguageModelDataset(
        documents, WORDS, max_length=13, batch_size=4, seed=1
    )
    expected = sorted(re.sub(r"\s", "", documents.read_text()))
    epochs = []
    for _ in range(2):
        shown, drawn = [], []
        for inputs, labels, weights in batches(dataset):
            places = inputs["target_positions"]
            assert (places.shape, labels.shape) == ((4, 2), (4, 2))
            ids = np.take_along_axis(inputs["token_ids"], np.maximum(places, 0), axis=1)
            np.testing.assert_array_equal(np.where(places < 0, 0, ids), labels)
            assert inputs["segment_ids"][:, -2:].tolist() == [[0, 2]] * 4
            for row, mask in zip(
                inputs["token_ids"][weights.any(axis=1)],
                inputs["padding_mask"][weights.any(axis=1)],
                strict=True,
            ):
                tokens = WORDS.tokens([row[mask]])[0]
                assert mask.tolist() == sorted(mask)
                assert tokens[-2:] == ["[SEP]", "[CLS]"]
                shown += [token for token in tokens if len(token) == 1]
            drawn.append(places.tolist())
        assert sorted(shown) == expected
        epochs.append(drawn)
        dataset.on_epoch_end()
    assert epochs[0] != epochs[1]
    dataset.epoch = 0
    inputs, _, _ = dataset[0]
    assert inputs["target_positions"].tolist() == epochs[0][0]


@pytest.mark.once
def test_orders_that_cannot_be_made_are_told(documents):
    plain = train_byte_pairs(documents, vocabulary_size=260)
    with pytest.raises(ValueError, match="Received one without class_id, separator_id"):
        PermutationLanguageModelDataset(documents, plain)
    with pytest.raises(ValueError, match="must be 4 or more. Received: max_length=3"):
        PermutationLanguageModelDataset(documents, WORDS, max_length=3)
