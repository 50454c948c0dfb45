"""Heads whose labels are the texts: the next token, hidden words, answers."""

import keras
import numpy as np
import pytest

from keras_attention.applications import BERT
from keras_attention.applications import GPT2
from keras_attention.tokenizers.tokenizer_files import byte_pair_tokenizer
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
from keras_attention.training import Perplexity
from keras_attention.training import TokenCrossentropy

pytest.importorskip("tokenizers")

SIZES = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 16, "seed": 3}
END = "<|endoftext|>"
LETTERS = {letter: number for number, letter in enumerate("abcdefĠ")} | {END: 7}
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f g".split()
LOSS = TokenCrossentropy(padding_id=None)


def make_gpt2(settings=None, **arguments):
    settings = {"eos_token": END, "bos_token": END, **(settings or {})}
    tokenizer = byte_pair_tokenizer(LETTERS, [], settings)
    rates = ("dropout", "attention_dropout", "embedding_dropout")
    return GPT2(
        tokenizer=tokenizer,
        vocabulary_size=len(LETTERS),
        end_id=7,
        max_length=12,
        initializer_range=0.2,
        **{**SIZES, **dict.fromkeys(rates, 0.0), **arguments},
    )


def make_bert(**arguments):
    words = WORDS if "words" not in arguments else arguments.pop("words")
    return BERT(
        tokenizer=word_piece_tokenizer(words),
        vocabulary_size=len(WORDS),
        max_length=12,
        **{"head": "masked_language_model", **SIZES, **arguments},
    )


@pytest.mark.once
def test_the_label_of_a_token_is_the_next_one():
    model = make_gpt2()
    inputs, targets, weights = model.collate(["abc", "d"])
    assert inputs["token_ids"][:, :4].tolist() == [[0, 1, 2, 7], [3, 7, 7, 7]]
    assert inputs["padding_mask"].sum(axis=1).tolist() == [3, 1]
    assert targets[:, :4].tolist() == [[1, 2, 7, 7], [7, 7, 7, 7]]
    assert weights.sum(axis=1).tolist() == [3, 1]


@pytest.mark.once
def test_of_a_prompt_with_its_answer_the_answer_is_learned():
    """Its first token is told by the last of the prompt."""
    model = make_gpt2()
    for rows in ([("ab", "cd"), ("a", "")], [(("ab", "cd"),), (("a", ""),)]):
        inputs, targets, weights = model.collate(rows)
        assert inputs["token_ids"][:, :5].tolist() == [[0, 1, 2, 3, 7], [0, 7, 7, 7, 7]]
        assert targets[:, :4].tolist() == [[1, 2, 3, 7], [7, 7, 7, 7]]
        assert weights[:, :5].tolist() == [[0, 1, 1, 1, 0], [1, 0, 0, 0, 0]]


@pytest.mark.once
def test_what_stands_before_an_answer_is_what_generate_reads():
    """A tokenizer that begins each text begins no answer, and its end comes once."""
    model = make_gpt2({"add_bos_token": True, "add_eos_token": True})
    assert model.tokenizer.encode(["ab"]).tolist() == [[7, 0, 1, 7]]
    inputs, targets, weights = model.collate([("ab", "c")])
    prompt = model.encode_prompt("ab")
    assert inputs["token_ids"][0, : len(prompt)].tolist() == prompt == [7, 0, 1]
    assert targets[0, :4].tolist() == [0, 1, 2, 7]
    assert weights[0, :5].tolist() == [0, 0, 1, 1, 0]


@pytest.mark.once
def test_a_text_that_is_cut_does_not_end():
    model = make_gpt2()
    model.tokenizer.truncate, model.tokenizer.max_length = True, 4
    inputs, targets, _ = model.collate(["abcdef", "abcd"])
    assert inputs["token_ids"][:, :4].tolist() == [[0, 1, 2, 7], [0, 1, 2, 3]]
    assert targets[:, :4].tolist() == [[1, 2, 3, 7], [1, 2, 3, 7]]
    model.tokenizer.truncate = "only_first"
    _, targets, weights = model.collate([("abcd", "ef")])
    assert targets[0, :4].tolist() == [1, 4, 5, 7]
    assert weights[0].sum() == 3
    with pytest.raises(ValueError, match="The answer '' to the prompt 'a' has no tok"):
        make_gpt2({"eos_token": None}).collate([("a", "")])


def test_a_model_learns_to_write_in_three_lines():
    model = make_gpt2()
    model.compile(
        keras.optimizers.Adam(0.03), LOSS, weighted_metrics=[Perplexity(None)]
    )
    texts = ["abcdef", "fedcba"] * 2
    history = model.fit(texts, epochs=40, validation_data=texts, verbose=0).history
    assert history["perplexity"][-1] < 1.6
    np.testing.assert_allclose(
        model.evaluate(texts, verbose=0)[0], history["val_loss"][-1], rtol=1e-4
    )
    assert model.generate(["ab", "fe"], max_new_tokens=8) == ["abcdef", "fedcba"]


@pytest.mark.compiles_much
def test_a_model_learns_to_answer_in_three_lines():
    prompts, answers = ["ab", "ba", "cd"], ["e", "f", "ef"]
    model = make_gpt2()
    model.compile(keras.optimizers.Adam(0.03), LOSS)
    model.fit(prompts, answers, epochs=60, verbose=0)
    found = model.generate(prompts, max_new_tokens=3, include_prompt=False)
    assert found == answers
    again = model.evaluate((prompts, answers), verbose=0)
    np.testing.assert_allclose(model.evaluate(prompts, answers, verbose=0), again)
    assert again < 0.3 < model.evaluate(prompts, ["f", "e", "c"], verbose=0)


@pytest.mark.once
def test_other_words_are_hidden_in_each_epoch():
    model = make_bert()
    texts = ["a b c d e f g a b c"] * 4
    whole = model.tokenizer(texts[:2], padded_length=12)
    dataset = model._open({"x": texts, "y": None}, 2, shuffle=True)
    epochs = []
    for _ in range(3):
        inputs, targets, weights = dataset[0]
        np.testing.assert_array_equal(dataset[0][0]["token_ids"], inputs["token_ids"])
        assert weights.sum(axis=1).tolist() == [2, 2]  # 15% of ten words, rounded
        is_hidden = weights == 1
        assert (targets[is_hidden] > 4).all() and (targets[~is_hidden] == 0).all()
        np.testing.assert_array_equal(
            np.where(is_hidden, targets, inputs["token_ids"]), whole["token_ids"]
        )
        epochs.append((inputs["token_ids"].tolist(), weights.tolist()))
        dataset.on_epoch_end()
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    fixed = model._open({"x": ["a b c d"] * 2, "y": None}, 2)
    before = fixed[0]
    fixed.on_epoch_end()
    np.testing.assert_array_equal(fixed[0][1], before[1])


def test_hidden_words_are_learned_in_three_lines():
    keras.utils.set_random_seed(5)
    model = make_bert(dropout=0.0, attention_dropout=0.0)
    model.compile(keras.optimizers.Adam(0.03), LOSS)
    texts = ["a b c d e f g"] * 16
    model.fit(texts, epochs=30, validation_split=0.25, verbose=0)
    loss = model.evaluate(texts, verbose=0)
    assert loss < 0.5 * np.log(7)
    assert model.evaluate(texts, verbose=0) == pytest.approx(loss)
    assert np.isfinite(model.train_on_batch(texts[:2]))


@pytest.mark.once
def test_pretraining_hides_words_of_pairs():
    model = make_bert(head="pretraining")
    weight = np.array([1.0, 3.0])
    pairs = (["a b c", "d"], ["e f", "g"])
    _, targets, weights = model._prepare_batch(pairs, [0, 1], weight, seed=0)
    assert targets["next_sentence"].tolist() == [0, 1]
    assert weights["next_sentence"].tolist() == [1, 3]
    assert weights["masked_language_model"].sum(axis=1).tolist() == [1, 3]


@pytest.mark.once
def test_labels_that_no_text_needs_are_told():
    gpt2, bert = make_gpt2(), make_bert()
    for model, x, y, message in (
        (gpt2, ["a"], [1], "their answers, which are strings. Received 1 at pos"),
        (gpt2, (["a"], ["b"]), ["c"], r"Received pairs .* fit\(prompts, answers\)"),
        (gpt2, ["a", "b"], ["c"], "2 texts and 1 pairs"),
        (gpt2, [["a", "b"]], None, r"Received \['a', 'b'\] at position 0. Join"),
        (bert, ["a"], [1], "hides words of texts itself. Received labels, too"),
        (make_bert(words=WORDS[:4]), ["a"], None, "its tokenizer has none. Load the"),
        (make_bert(head="pretraining"), ["a"], None, "MaskedLanguageModelDataset"),
        (make_bert(head="pretraining"), (["a"], ["b"]), [2], "from 0 to 1"),
    ):
        for act in (model.fit, model.evaluate, model.train_on_batch):
            with pytest.raises(ValueError, match=message):
                act(x, y)
