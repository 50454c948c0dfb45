"""Published tables read into larger and smaller ones: old rows kept, new ones drawn."""

import numpy as np
import pytest
from family_table import CASES

from keras_attention import applications
from keras_attention.checkpoints import named_weights
from keras_attention.tokenizers.tokenizer_files import byte_pair_tokenizer
from published import save_reference

pytestmark = pytest.mark.once
pytest.importorskip("transformers")

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


@pytest.mark.parametrize("name, config, sizes", ROWS.values(), ids=ROWS)
def test_rows_are_kept_and_new_ones_drawn(tmp_path, name, config, sizes):
    save_reference(name, tmp_path, **config)
    before = applications.from_preset(tmp_path)
    arguments = before.get_config()
    for change in (2, -2):
        wanted = {size: arguments[size] + change for size in sizes}
        if change > 0:
            with pytest.warns(UserWarning, match="the new rows stay random until"):
                model = applications.from_preset(tmp_path, **wanted)
        else:
            wanted.pop("num_segments", None)
            model = applications.from_preset(tmp_path, **wanted)
        old, new = named_weights(before), named_weights(model)
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


def test_a_table_of_another_width_is_refused(tmp_path):
    save_reference("GPT2LMHeadModel", tmp_path, **GPT2_CONFIG)
    for change in ({"hidden_dim": 6}, {"hidden_dim": 6, "vocabulary_size": 11}):
        with pytest.raises(ValueError, match="of another shape .*wte.*Nothing was"):
            applications.GPT2.from_preset(tmp_path, **change)


def test_a_model_reads_the_tokens_that_were_added(tmp_path):
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
