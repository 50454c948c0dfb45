"""Models that write learn from strings: translators from pairs, LSTMNs from texts."""

import keras
import numpy as np
import pytest

from keras_attention.applications import AttentionSeq2Seq
from keras_attention.applications import LSTMNLanguageModel
from keras_attention.applications import RNNSeq2Seq
from keras_attention.applications import Transformer
from keras_attention.tokenizers import Vocabulary
from keras_attention.training import TokenCrossentropy

LETTERS = Vocabulary(list("abcd"), split="characters")
NAMES = Vocabulary(list("ABCD"), split="spaces")
# Two batches of one length and then a longer one: TensorFlow must not take for fixed
# what the first two have in common.
SOURCES = ["abc", "da", "bbcd", "c", "abcdabcd", "d"]
TARGETS = ["C B A", "A D", "D C B B", "C", "D C B A D C B A", "D"]
PAIRS = list(zip(SOURCES, TARGETS, strict=True))
RECURRENT = {"hidden_dim": 8, "word_dim": 5, "max_length": 5, "num_layers": 1}
TINY = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 9, "dropout": 0.0}
TINY |= {"share_embeddings": False, "norm_order": "pre", "seed": 3}
MODELS = {
    "RNNSeq2Seq": (RNNSeq2Seq, RECURRENT),
    "AttentionSeq2Seq": (AttentionSeq2Seq, RECURRENT),
    "Transformer": (Transformer, TINY),
    "Transformer of other ids": (
        Transformer,
        {**TINY, "padding_id": 3, "start_id": 3, "end_id": 0},
    ),
}


def make(name, **options):
    kind, sizes = MODELS[name]
    words = {"source_vocabulary": LETTERS, "target_vocabulary": NAMES}
    return kind(**{**words, **sizes, **options})


def loss_of(model):
    return TokenCrossentropy(padding_id=model.padding_id)


class Batches(keras.utils.PyDataset):
    """Batches of two pairs."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(2 * index, 2 * index + 2)
        return SOURCES[rows], TARGETS[rows]


@pytest.mark.once
@pytest.mark.parametrize("name", MODELS)
def test_a_token_is_predicted_from_the_true_ones_before_it(name):
    model = make(name)
    pad, start, end = model.padding_id, model.start_id, model.end_id
    inputs, targets, weights = model.collate([("ab", "C B A"), ("dd", "A")])
    shown = inputs["encoder_token_ids"][:, :5].tolist()
    assert shown == [[1, 4, 5, 2, pad], [1, 7, 7, 2, pad]]
    assert inputs["decoder_token_ids"][:, :5].tolist() == [
        [start, 6, 5, 4, pad],
        [start, 4, pad, pad, pad],
    ]
    assert targets[:, :5].tolist() == [[6, 5, 4, end, pad], [4, end, pad, pad, pad]]
    assert weights.sum(axis=1).tolist() == [4, 2]
    assert targets.shape == weights.shape == inputs["encoder_token_ids"].shape == (2, 8)


@pytest.mark.parametrize(
    "name",
    ["RNNSeq2Seq", pytest.param("Transformer", marks=pytest.mark.compiles_much)],
)
def test_pairs_come_in_all_that_keras_takes(name):
    """With the same loss, whichever way, and with that of token ids in arrays."""
    model = make(name)
    model.compile(keras.optimizers.SGD(0.0), loss_of(model))
    source, target = LETTERS.encode(SOURCES), NAMES.encode(TARGETS)
    arrays = {"encoder_token_ids": source, "decoder_token_ids": target[:, :-1]}
    expected = model.evaluate(arrays, target[:, 1:], batch_size=6, verbose=0)
    options = {"batch_size": 6, "verbose": 0}
    history = model.fit(SOURCES, TARGETS, 6, 1, 0, validation_data=PAIRS).history
    found = [history["loss"][0], history["val_loss"][0]]
    found.append(model.evaluate(SOURCES, TARGETS, **options))
    np.testing.assert_allclose(found, [expected] * 3, rtol=1e-4)
    # Batches of two: the mean counts tokens.
    pairs = [PAIRS[i : i + 2] for i in (0, 2, 4)]
    generator = (tuple(map(list, zip(*rows, strict=True))) for rows in pairs)
    history = model.fit(generator, steps_per_epoch=3, verbose=0).history
    data = model.fit(Batches(), shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], data["loss"], rtol=1e-4)
    assert data["loss"][0] == pytest.approx(expected, rel=0.05)
    logits = model.predict(PAIRS, verbose=0)
    whole = model.predict(arrays, verbose=0)
    last = target[:, 1:] != 0
    assert logits.shape[1] >= whole.shape[1]
    np.testing.assert_allclose(
        logits[:, : whole.shape[1]][last], whole[last], atol=1e-5
    )


@pytest.mark.once
def test_what_is_no_pair_is_refused():
    model = make("Transformer", max_length=6)
    without = RNNSeq2Seq(
        source_vocabulary_size=9, target_vocabulary_size=7, hidden_dim=6, word_dim=4
    )
    for function, message in (
        (lambda: model.fit(SOURCES), "Each source needs the target .* 'abc'"),
        (lambda: model.predict(SOURCES), "Each source needs the target"),
        (lambda: model.fit(SOURCES, TARGETS[:2]), "6 texts and 2 pairs"),
        (lambda: model.fit(PAIRS, TARGETS), "Received pairs of texts, and labels"),
        (lambda: model.fit(SOURCES[:1], [3]), "transl.* Received 3 at position 0"),
        (lambda: model.fit(PAIRS), "Pair 4 needs 10 tokens, .* at most 6: .*truncate"),
        (lambda: model.fit([(["a"], ["A"])]), "is a string, .* at position 0"),
        (lambda: model.fit([("", "A")]), "Text 0 has no word"),
        (lambda: without.fit(PAIRS), "has no source_vocabulary, so it learns from"),
        (lambda: model.fit(iter([PAIRS[:4]])), "Received 4 parts. Yield pairs as col"),
    ):
        with pytest.raises(ValueError, match=message):
            function()


def make_language_model(**options):
    sizes = {"vocabulary_size": len(LETTERS), "hidden_dim": 12, "word_dim": 5}
    return LSTMNLanguageModel(**{"tokenizer": LETTERS, "end_id": 2, **sizes, **options})


@pytest.mark.once
def test_the_lstmn_reads_texts_as_it_writes_them():
    model = make_language_model()
    inputs, targets, weights = model.collate(["abc", "d"])
    assert inputs["token_ids"][:, :5].tolist() == [[1, 4, 5, 6, 0], [1, 7, 0, 0, 0]]
    assert targets[:, :5].tolist() == [[4, 5, 6, 2, 0], [7, 2, 0, 0, 0]]
    assert weights[:, :5].tolist() == [[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]]
    inputs, targets, weights = model.collate([("ab", "cd")])
    assert inputs["token_ids"][0, :6].tolist() == [1, 4, 5, 6, 7, 0]
    assert weights[0, :6].tolist() == [0, 0, 1, 1, 1, 0]
    with pytest.raises(ValueError, match="needs a `tokenizer` .*Received 'abc'.*=None"):
        make_language_model(tokenizer=None).fit(["abc"])
    with pytest.raises(ValueError, match="The tokenizer has 8 token ids"):
        make_language_model(vocabulary_size=6).fit(["abc"])


def test_the_lstmn_learns_texts_and_answers():
    """With the losses of token ids in arrays, of all tokens and of some."""
    model = make_language_model()
    model.compile(keras.optimizers.SGD(0.0), TokenCrossentropy())
    ids = LETTERS.encode(["abc", "badd"])
    inputs, targets = {"token_ids": ids[:, :-1]}, ids[:, 1:]
    expected = model.evaluate(inputs, targets, verbose=0)
    history = model.fit(["abc", "badd"], verbose=0).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)
    answers = np.array([[0, 0, 1, 1, 0], [0, 0, 1, 1, 1]])
    expected = model.evaluate(inputs, targets, sample_weight=answers, verbose=0)
    found = model.evaluate(["ab", "ba"], ["c", "dd"], verbose=0)
    assert found == pytest.approx(expected, rel=1e-4)
    logits = model.predict(["abc", "badd"], verbose=0)
    whole = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(logits[0, :4], whole[0, :4], atol=1e-5)
