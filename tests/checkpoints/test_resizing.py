"""Published tables read into larger and smaller ones: old rows kept, new ones drawn."""

import functools

import numpy as np
import pytest
from family_table import CASES

from keras_attention import applications
from keras_attention.checkpoints import named_weights
from keras_attention.tokenizers.tokenizer_files import byte_pair_tokenizer
from published import save_reference

pytestmark = pytest.mark.once

GPT2_CONFIG = {"vocab_size": 9, "n_positions": 7, "n_embd": 4, "n_layer": 1}
GPT2_CONFIG |= {"n_head": 2, "bos_token_id": 8, "eos_token_id": 8}
MARIAN_CONFIG = {"vocab_size": 9, "max_position_embeddings": 8, "d_model": 4}
MARIAN_CONFIG |= {f"{side}_layers": 1 for side in ("encoder", "decoder")}
MARIAN_CONFIG |= {f"{side}_attention_heads": 2 for side in ("encoder", "decoder")}
MARIAN_CONFIG |= {f"{side}_ffn_dim": 6 for side in ("encoder", "decoder")}
MARIAN_CONFIG |= {"pad_token_id": 1, "decoder_start_token_id": 1, "eos_token_id": 0}
UNTIED = {"tie_word_embeddings": False}
WORDS = ("vocabulary_size", "max_length")
SIDES = ("source_vocabulary_size", "target_vocabulary_size")

# Published class, its config, arguments that change, and the axes of the weights whose
# sizes they are, (weight, axis, argument).
HEADS = {"masked_language_model", "untied"}
ROWS = {
    f"{row.published}-{head}": (
        row.published + row.heads[head][0],
        {**row.config, **row.heads[head][1]},
        (*WORDS, "num_segments") if row.has_segments else WORDS,
    )
    for row, head in CASES
    if head in HEADS
}
ROWS["GPT2"] = "GPT2LMHeadModel", GPT2_CONFIG, WORDS
ROWS["GPT2-untied"] = "GPT2LMHeadModel", {**GPT2_CONFIG, **UNTIED}, WORDS
ROWS["Marian"] = "MarianMTModel", MARIAN_CONFIG, SIDES


RECURRENT = {"source_vocabulary_size": 9, "target_vocabulary_size": 7}
RECURRENT |= {"hidden_dim": 6, "word_dim": 4}
LUONG = {"score": "general", "cell": "lstm"}
BLOCK = {"hidden_dim": 6, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}
BLOCK |= {"share_embeddings": False, "positions": "learned", "max_length": 5}
LSTMN = {"vocabulary_size": 9, "hidden_dim": 6, "word_dim": 4}
# Models without a published layout: class, its arguments, those that change.
OWN = {
    "RNNSeq2Seq": ("RNNSeq2Seq", {**RECURRENT, "num_layers": 1}, SIDES),
    "AttentionSeq2Seq": ("AttentionSeq2Seq", RECURRENT, SIDES),
    "Luong": ("AttentionSeq2Seq", {**RECURRENT, **LUONG}, SIDES),
    "LSTMN": ("LSTMNLanguageModel", LSTMN, WORDS[:1]),
    "Transformer": (
        "Transformer",
        {"source_vocabulary_size": 9, "target_vocabulary_size": 7, **BLOCK},
        (*SIDES, "max_length"),
    ),
}


def assert_resized(before, load, sizes):
    """Larger and smaller tables hold what both have; new rows are drawn."""
    arguments, old = before.get_config(), named_weights(before)
    for change in (2, -2):
        wanted = {size: arguments[size] + change for size in sizes}
        if change > 0:
            with pytest.warns(UserWarning, match="the new rows stay random until"):
                model = load(**wanted)
        else:
            wanted.pop("num_segments", None)
            model = load(**wanted)
        new = named_weights(model)
        assert old.keys() == new.keys()
        resized = 0
        for key in old:
            whole, part = np.array(new[key]), np.array(old[key])
            if change < 0:
                whole, part = part, whole
            place = tuple(slice(side) for side in part.shape)
            np.testing.assert_array_equal(whole[place], part)
            resized += whole.shape != part.shape
            if change > 0 and whole.shape != part.shape and whole.ndim == 2:
                rest = whole.copy()
                rest[place] = 0.0
                assert np.count_nonzero(rest) == rest.size - part.size
        assert resized >= len(wanted) - 1


@pytest.mark.parametrize("name, arguments, sizes", OWN.values(), ids=OWN)
def test_rows_of_our_own_layout_are_kept_too(tmp_path, name, arguments, sizes):
    before = getattr(applications, name)(**arguments, seed=1)
    before.save_to_preset(tmp_path)
    load = functools.partial(applications.from_preset, tmp_path)
    assert_resized(before, load, sizes)
    with pytest.raises(ValueError, match="of another shape .*Nothing was loaded"):
        load(hidden_dim=8)
    if "seq" in name.lower():
        load(max_length=60)  # of what is written: no table, no warning


def test_a_vocabulary_grows_behind_its_words(tmp_path):
    """Each word keeps its row, so it must keep its id."""
    words = {"source_vocabulary": ["a", "b"], "target_vocabulary": ["c", "d", "e"]}
    sizes = {"hidden_dim": 6, "word_dim": 4, "num_layers": 1}
    before = applications.RNNSeq2Seq(**words, **sizes)
    before.save_to_preset(tmp_path)
    load = functools.partial(applications.from_preset, tmp_path)
    with pytest.warns(UserWarning, match="has target_vocabulary=7, and .* 9: the new"):
        model = load(target_vocabulary=["c", "d", "e", "f", "g"])
    assert model.target_vocabulary.words == list("cdefg")
    old, new = named_weights(before), named_weights(model)
    (key,) = (key for key in old if old[key].shape == (7, 4))
    np.testing.assert_array_equal(np.array(new[key])[:7], np.array(old[key]))
    assert load(target_vocabulary=["c", "d"]).vocabulary_sizes == (6, 6)
    with pytest.raises(ValueError, match="must begin with the words .*'d', 'c'"):
        load(target_vocabulary=["d", "c", "e", "f"])


@pytest.mark.parametrize("name, config, sizes", ROWS.values(), ids=ROWS)
def test_rows_are_kept_and_new_ones_drawn(tmp_path, name, config, sizes):
    pytest.importorskip("transformers")
    save_reference(name, tmp_path, **config)
    before = applications.from_preset(tmp_path)
    load = functools.partial(applications.from_preset, tmp_path)
    assert_resized(before, load, sizes)


def test_a_table_of_another_width_is_refused(tmp_path):
    pytest.importorskip("transformers")
    save_reference("GPT2LMHeadModel", tmp_path, **GPT2_CONFIG)
    for change in ({"hidden_dim": 6}, {"hidden_dim": 6, "vocabulary_size": 11}):
        with pytest.raises(ValueError, match="of another shape .*wte.*Nothing was"):
            applications.GPT2.from_preset(tmp_path, **change)


def test_a_model_reads_the_tokens_that_were_added(tmp_path):
    pytest.importorskip("transformers")
    save_reference("GPT2LMHeadModel", tmp_path, **GPT2_CONFIG)
    tokenizer = byte_pair_tokenizer({letter: i for i, letter in enumerate("abc")}, [])
    assert tokenizer.add_tokens([f"<{i}>" for i in range(7)], special=True) == 7
    with pytest.raises(ValueError, match="10 token ids.* larger `vocabulary_size`"):
        applications.GPT2.from_preset(tmp_path, tokenizer=tokenizer)
    with pytest.warns(UserWarning, match="vocabulary_size=9, and .* 10: the new"):
        model = applications.GPT2.from_preset(
            tmp_path, tokenizer=tokenizer, vocabulary_size=len(tokenizer)
        )
    assert model.predict(["a<6>b"], verbose=0).shape == (1, 3, 10)
    tokenizer.add_tokens(["<7>"])
    with pytest.raises(ValueError, match="The tokenizer has 11 token ids"):
        model.predict(["a"])
