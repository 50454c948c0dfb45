"""Texts longer than a model reads, as windows that overlap, against transformers."""

import numpy as np
import pytest

from keras_attention.tokenizers import load_tokenizer
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
from published_tokenizers import FOLDERS
from published_tokenizers import rows
from published_tokenizers import SENTENCES

transformers = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")
pytest.importorskip("sentencepiece")
pytestmark = pytest.mark.once

QUESTIONS = ["the dog?", "a", "who reads?", "attention"]
LONG = [" ".join([*SENTENCES, text]) for text in SENTENCES]


@pytest.mark.parametrize("name", ["bert", "roberta", "xlnet", "deberta-v2", "gpt2"])
@pytest.mark.parametrize("stride", [0, 5])
@pytest.mark.parametrize("is_left", [False, True])
def test_windows_are_those_of_transformers(tmp_path, name, stride, is_left):
    FOLDERS[name](tmp_path)
    if is_left:
        (tmp_path / "tokenizer_config.json").write_text('{"truncation_side": "left"}')
    ours = load_tokenizer(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for pairs, strategy in ((None, True), (LONG, "only_second")):
        texts = QUESTIONS if pairs else LONG
        options = {"return_offsets": True, "return_word_ids": True}
        found = ours(texts, pairs, max_length=40, stride=stride, **options)
        expected = theirs(
            texts,
            pairs,
            max_length=40,
            stride=stride,
            truncation=strategy,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        assert rows(found) == expected["input_ids"]
        assert len(found["token_ids"]) > len(texts)
        text_ids = found["text_ids"]
        assert text_ids.tolist() == expected["overflow_to_sample_mapping"]
        for i, offsets in enumerate(expected["offset_mapping"]):
            mask = found["padding_mask"][i]
            assert found["offsets"][i][mask].tolist() == list(map(list, offsets))
            numbers = [-1 if n is None else n for n in expected.sequence_ids(i)]
            assert found["sequence_ids"][i][mask].tolist() == numbers


@pytest.mark.parametrize("stride", [0, 1, 3])
def test_windows_hold_every_token(stride):
    """The first tokens of a window are the last of the one before."""
    words = [f"w{i}" for i in range(20)]
    tokenizer = word_piece_tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])
    text = " ".join(words)
    found = tokenizer([text, "w1"], max_length=8, stride=stride)
    windows = [row[1:-1] for row in rows(found)]
    assert found["text_ids"].tolist() == [0] * (len(windows) - 1) + [1]
    joined = windows[0]
    for window in windows[1:-1]:
        assert window[:stride] == joined[len(joined) - stride :]
        joined = joined + window[stride:]
    assert joined == list(range(4, 24))
    assert found["token_ids"].shape == (len(windows), 8)


def test_an_answer_is_found_in_the_window_that_holds_it():
    """What questions over long texts need: where in its text each token stands."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "who", "a", "reads", "dog"]
    tokenizer = word_piece_tokenizer(words)
    context = "a " * 50 + "dog reads " + "a " * 30
    found = tokenizer(["who"], [context], 16, stride=4, return_offsets=True)
    begin = context.index("dog")
    is_context = found["sequence_ids"] == 1
    starts = (found["offsets"][..., 0] == begin) & is_context
    window, place = np.argwhere(starts)[0]
    assert found["token_ids"][window, place] == words.index("dog")
    assert found["text_ids"][window] == 0
    # Each place of the context is in a window, that of the question in none of them.
    covered = set(map(tuple, found["offsets"][is_context].tolist()))
    assert len(covered) == 82


def test_windows_without_room_are_told():
    tokenizer = word_piece_tokenizer(["[UNK]", "[CLS]", "[SEP]", "a"])
    for options, message in (
        ({"max_length": 5, "stride": 3}, "from 0 to 2, as there are 2 special tokens"),
        ({"max_length": 5, "stride": -1}, "Received: stride=-1"),
        ({"stride": 1}, "stride=1 without `max_length`"),
    ):
        with pytest.raises(ValueError, match=message):
            tokenizer(["a a a a a"], **options)
    message = "cannot be cut to max_length=8 with truncate='only_second', stride=3"
    with pytest.raises(ValueError, match=message):
        tokenizer(["a a a"], ["a a a a a"], max_length=8, stride=3)
