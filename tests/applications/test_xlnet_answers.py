"""The head of XLNet that searches for answers, against transformers and in use."""

import json

import keras
import numpy as np
import pytest
from family_table import IDS
from family_table import SEGMENTS
from family_table import XLNET_CONFIG

from helpers import to_numpy
from keras_attention import applications
from keras_attention.tasks.question_answering import log_softmax
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
from published import assert_close
from published import MASK
from published import save_reference
from published import state_of

transformers = pytest.importorskip("transformers")

HEAD = "question_answering_beam_search"
CONFIG = {**XLNET_CONFIG, "start_n_top": 3, "end_n_top": 2}
# Where answers may stand: not in the first place, nor at padding.
PLACES = MASK.astype(bool) & (np.arange(7) > 0)
LAST = 6 - MASK[:, ::-1].argmax(axis=1)
STARTS, ENDS, UNANSWERABLE = np.array([[1, 2, 3], [4, 2, 3], [0, 1, 0]])


def run(reference, **others):
    """What the model of transformers computes."""
    import torch

    inputs = {
        "input_ids": IDS,
        "token_type_ids": SEGMENTS,
        "attention_mask": MASK,
        "p_mask": 1.0 - PLACES.astype("float32"),
        "cls_index": LAST,
        **others,
    }
    with torch.no_grad():
        return reference(**{name: torch.tensor(x) for name, x in inputs.items()})


def inputs_of(starts):
    """What ours reads."""
    return {
        "token_ids": IDS,
        "segment_ids": SEGMENTS,
        "padding_mask": MASK,
        "answer_mask": PLACES,
        "start_positions": starts,
    }


def test_answers_are_searched_for_as_transformers_does(tmp_path):
    """The most probable beginnings, of each the most probable ends, and the class."""
    reference = save_reference("XLNetForQuestionAnswering", tmp_path, **CONFIG)
    model = applications.from_preset(tmp_path)
    assert (model.head, model.num_answer_starts, model.num_answer_ends) == (HEAD, 3, 2)
    expected = {name: x.numpy() for name, x in run(reference).items() if name != "mems"}
    found = to_numpy(model(inputs_of(np.full((3, 3), -1))))
    starts, ends = found["starts"], np.exp(log_softmax(found["end"]))  # (3, 3, 7)
    np.testing.assert_array_equal(starts, expected["start_top_index"])
    probabilities = np.exp(log_softmax(found["start"]))
    assert_close(
        np.take_along_axis(probabilities, starts, axis=1),
        expected["start_top_log_probs"],
    )
    order = np.argsort(-ends, axis=-1, kind="stable")[..., :2]  # (3, 3, 2)
    theirs = (
        expected[f"end_top_{name}"].reshape(3, 2, 3).transpose(0, 2, 1)
        for name in ("index", "log_probs")
    )
    np.testing.assert_array_equal(order, next(theirs))
    assert_close(np.take_along_axis(ends, order, axis=-1), next(theirs))
    assert_close(found["unanswerable"][:, 0], expected["cls_logits"])


def test_the_losses_are_those_of_transformers(tmp_path):
    """Of ends whose beginnings are known: half of each."""
    reference = save_reference("XLNetForQuestionAnswering", tmp_path, **CONFIG)
    expected = run(
        reference,
        start_positions=STARTS,
        end_positions=ENDS,
        is_impossible=UNANSWERABLE.astype("float32"),
    )
    found = to_numpy(applications.from_preset(tmp_path)(inputs_of(STARTS[:, None])))
    rows = np.arange(3)
    losses = (
        -log_softmax(found["start"])[rows, STARTS],
        -log_softmax(found["end"])[rows, 0, ENDS],
        np.log1p(np.exp((1 - 2 * UNANSWERABLE) * found["unanswerable"][:, 0])),
    )
    assert found["starts"].tolist() == STARTS[:, None].tolist()
    assert_close(0.5 * np.sum(losses, axis=0).mean(), expected.loss.numpy())


@pytest.mark.once
def test_the_head_is_read_and_written(tmp_path):
    reference = save_reference(
        "XLNetForQuestionAnswering", tmp_path / "theirs", **CONFIG
    )
    model = applications.from_preset(tmp_path / "theirs")
    model.save_to_preset(tmp_path / "ours")
    again = type(reference).from_pretrained(tmp_path / "ours")
    theirs, ours = state_of(reference), state_of(again)
    assert set(ours) == set(theirs)
    for key in theirs:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert (config["start_n_top"], config["end_n_top"]) == (3, 2)
    # With another head the encoder is loaded, and the head is new.
    other = applications.from_preset(tmp_path / "theirs", head="question_answering")
    assert other.output.keys() == {"start", "end"}


WORDS = "[PAD] [UNK] [CLS] [SEP] good bad film the a un ##wanted .".split()
QUESTIONS = ["the film", "good", "a"]
CONTEXTS = ["a  good film .", "the unwanted film", "bad"]
SPANS = [(3, 7), (4, 12), (-1, -1)]  # "good", "unwanted", none


def make_model(**arguments):
    return applications.XLNet(
        tokenizer=word_piece_tokenizer(WORDS),
        vocabulary_size=len(WORDS),
        **{"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 16, "seed": 3},
        **{"head": HEAD, "dropout": 0.0, "initializer_range": 0.2, **arguments},
    )


@pytest.mark.once
def test_answers_become_tokens_of_the_context_or_the_class():
    """[CLS] the film [SEP] a good film . [SEP]"""
    model = make_model()
    inputs, targets, _ = model._prepare_batch((QUESTIONS, CONTEXTS), SPANS)
    assert inputs["answer_mask"][0].nonzero()[0].tolist() == [0, 4, 5, 6, 7]
    assert inputs["start_positions"].tolist() == [[5], [4], [0]]
    assert targets["start"].tolist() == [5, 4, 0]
    assert targets["end"].tolist() == [[5], [5], [0]]
    assert targets["unanswerable"].tolist() == [[0], [0], [1]]
    labels = {"start": np.array([4]), "end": np.array([5])}
    _, targets, _ = model._prepare_batch((QUESTIONS[:1], CONTEXTS[:1]), labels)
    assert targets["unanswerable"].tolist() == [[0]]
    with pytest.raises(ValueError, match="`start` and `end`.*It lacks end"):
        model._prepare_batch((QUESTIONS[:1], CONTEXTS[:1]), {"start": [4]})
    with pytest.raises(ValueError, match=r"one of 2 tokens.*\(3, 5\)"):
        short = {name: 0 * x[:, :2] for name, x in inputs_of(STARTS[:, None]).items()}
        model({**short, "start_positions": np.full((3, 5), -1)})
    with pytest.raises(ValueError, match="that is searched for is read as a whole"):
        model.read_segment(inputs_of(STARTS[:, None]))


@pytest.mark.once
def test_the_class_stands_behind_where_xlnet_has_it():
    """A head without search learns it for a question without an answer, too."""
    tokenizer = word_piece_tokenizer(WORDS)
    found = tokenizer(["a"], ["film"], return_offsets=True)
    from keras_attention.tasks.answers import find_answers

    behind = {name: x[:, ::-1] for name, x in found.items()}
    labels = find_answers(tokenizer, behind, [("a", "film")], [(-1, -1)])
    assert {name: x.tolist() for name, x in labels.items()} == {
        "start": [4],
        "end": [4],
    }


@pytest.mark.compiles_much
def test_questions_are_answered_or_not():
    model = make_model()
    of_tokens = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses = {"start": of_tokens, "end": of_tokens}
    losses["unanswerable"] = keras.losses.BinaryCrossentropy(from_logits=True)
    halves = dict.fromkeys(losses, 0.5)
    model.compile(keras.optimizers.Adam(0.02), losses, loss_weights=halves)
    model.fit((QUESTIONS, CONTEXTS), SPANS, epochs=60, verbose=0)
    assert model.answer(QUESTIONS[:2], CONTEXTS[:2]) == ["good", "unwanted"]
    found = model.answer(QUESTIONS, CONTEXTS, null_threshold=0.0, batch_size=2)
    assert found == ["good", "unwanted", ""]
    outputs = model.predict((QUESTIONS, CONTEXTS), verbose=0)
    shapes = {name: x.shape for name, x in outputs.items()}
    assert shapes == {
        "start": (3, 9),
        "starts": (3, 5),
        "end": (3, 5, 9),
        "unanswerable": (3, 1),
    }
