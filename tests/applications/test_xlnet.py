"""XLNet's two streams and its memory against transformers, and what it learns from."""

import keras
import numpy as np
import pytest
from family_table import IDS
from family_table import SEGMENTS
from family_table import XLNET_CONFIG

from helpers import to_numpy
from keras_attention import applications
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
from keras_attention.training import TokenCrossentropy
from published import assert_close
from published import MASK
from published import save_reference

transformers = pytest.importorskip("transformers")

PERMUTED = "permutation_language_model"
SMALL = {"hidden_dim": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 16, "seed": 3}
# Padding in the middle besides, and each second row reads its end from its beginning.
MIDDLE = np.where(np.arange(3)[:, None] < 2, MASK, [[1, 1, 0, 0, 1, 1, 1]])
ORDERS = np.array([[3, 1, 0, 2, 0, 0, 4], [0, 0, 2, 1, 3, 4, 0], [1, 0, 0, 0, 2, 3, 4]])
READABLE = ((ORDERS[:, None] == 0) | (ORDERS[:, None] < ORDERS[:, :, None])).astype(int)
TARGETS = np.array([[6, 0, 3], [3, 2, -1], [5, 0, 4]])


def inputs_of(rows=slice(None), **others):
    """What our model and theirs read."""
    ours = {
        "token_ids": IDS[rows],
        "segment_ids": SEGMENTS[rows],
        "padding_mask": MIDDLE[rows],
        **others,
    }
    theirs = {
        "input_ids": IDS[rows],
        "token_type_ids": SEGMENTS[rows],
        "attention_mask": MIDDLE[rows],
    }
    return ours, theirs


def run(reference, inputs, **others):
    """What a model of transformers computes."""
    import torch

    tensors = {name: torch.from_numpy(x) for name, x in inputs.items()}
    with torch.no_grad():
        return reference(**tensors, **others)


def test_both_streams_compute_what_those_of_transformers_do(tmp_path):
    """Logits, hidden states and weights; a target may be missing."""
    reference = save_reference("XLNetLMHeadModel", tmp_path, **XLNET_CONFIG)
    reference.config.output_hidden_states = True
    reference.config.output_attentions = True
    ours, theirs = inputs_of(permutation_mask=READABLE, target_positions=TARGETS)
    theirs["perm_mask"] = (1 - READABLE).astype("float32")
    theirs["target_mapping"] = (TARGETS[:, :, None] == np.arange(7)).astype("float32")
    expected = run(reference, theirs)
    model = applications.from_preset(tmp_path, head=PERMUTED)
    assert_close(to_numpy(model(ours)), expected.logits.numpy(), TARGETS >= 0)
    x = model.embedding(ours.pop("token_ids"))
    _, entered, weights = model.encoder.read(x, return_attention_scores=True, **ours)
    for number, x in enumerate(entered):
        assert_close(to_numpy(x), expected.hidden_states[2 * number].numpy())
        found = zip(weights[number], expected.attentions[number], strict=True)
        for mine, other in found:
            assert_close(to_numpy(mine), other.numpy())


@pytest.mark.parametrize(
    "changes, rows",
    [
        ({"mem_len": 5, "reuse_len": 4}, slice(None)),
        pytest.param(
            {"mem_len": None, "bi_data": True, "clamp_len": -1},
            slice(2),
            marks=pytest.mark.compiles_much,
        ),
        pytest.param(
            {"mem_len": 4, "attn_type": "uni", "same_length": True},
            slice(1),
            marks=pytest.mark.compiles_much,
        ),
    ],
    ids=["reused", "reversed", "causal"],
)
def test_segments_are_read_behind_their_memories(tmp_path, changes, rows):
    """Three in a row, of which the last reads more than one."""
    config = {**XLNET_CONFIG, **changes}
    reference = save_reference("XLNetLMHeadModel", tmp_path, **config)
    model = applications.from_preset(tmp_path)
    memories, their_memories = None, {}
    for number in range(3):
        ours, theirs = inputs_of(rows)
        if "attn_type" in changes:  # masks of a batch, too, fail there
            del ours["padding_mask"], theirs["attention_mask"]
        ours["token_ids"] = np.roll(ours["token_ids"], number, axis=1)
        theirs["input_ids"] = ours["token_ids"]
        expected = run(reference, theirs, **their_memories)
        their_memories = {"mems": expected.mems}
        found, memories = model.read_segment(ours, memories)
        assert_close(to_numpy(found), expected.logits.numpy())
        for mine, other in zip(memories, expected.mems, strict=True):
            assert_close(to_numpy(mine), other.numpy().swapaxes(0, 1))


def make_model(**arguments):
    """A small model with words."""
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f g".split()
    return applications.XLNet(
        vocabulary_size=len(words),
        **{
            "tokenizer": word_piece_tokenizer(words),
            "head": PERMUTED,
            "dropout": 0.0,
            **SMALL,
            **arguments,
        },
    )


@pytest.mark.compiles_much
def test_no_token_is_told_by_itself_or_by_those_after_it(rng):
    """Another token at a place changes the logits of those that come later alone."""
    model = make_model(initializer_range=0.5)
    order = np.array([2, 4, 1, 3, 5])
    inputs = {
        "token_ids": rng.integers(5, 12, (1, 5)),
        "padding_mask": np.ones((1, 5)),
        "segment_ids": np.zeros((1, 5), "int32"),
        "permutation_mask": order[None, None] < order[None, :, None],
        "target_positions": np.arange(5)[None],
    }
    before = to_numpy(model(inputs))[0]
    for place in range(5):
        token_ids = inputs["token_ids"].copy()
        token_ids[0, place] = 5 + (token_ids[0, place] - 4) % 7
        after = to_numpy(model({**inputs, "token_ids": token_ids}))[0]
        changed = np.abs(after - before).max(axis=-1) > 1e-6
        np.testing.assert_array_equal(changed, order > order[place])


@pytest.mark.compiles_much
def test_orders_are_learned_in_three_lines():
    keras.utils.set_random_seed(5)
    model = make_model(initializer_range=0.2)
    model.compile(keras.optimizers.Adam(0.05), TokenCrossentropy(padding_id=None))
    texts = ["a b c d e f g"] * 32
    model.fit(texts, epochs=30, verbose=0)
    assert model.evaluate(texts, verbose=0) < 0.5 * np.log(7)
    logits = model.predict(["a b [MASK] d e f g", "[MASK] b c [MASK] e f g"], verbose=0)
    assert logits.shape == (2, 2, 12)
    assert model.tokenizer.tokens(logits.argmax(axis=-1))[0][0] == "c"


@pytest.mark.once
def test_what_does_not_fit_is_told(tmp_path):
    model = make_model()
    with pytest.raises(ValueError, match=r"under \[MASK\]. Received .* position 1"):
        model.predict(["a [MASK]", "a b"], verbose=0)
    with pytest.raises(ValueError, match="draws itself .* Received labels, too"):
        model.fit(["a"], [1])
    bare = make_model(head=None)
    part = {"token_ids": np.ones((2, 3), "int32")}
    _, memories = bare.read_segment(part)
    with pytest.raises(ValueError, match=r"with B=3 and D=8.*\[\(2, 3, 8\)\]"):
        bare.read_segment({"token_ids": np.ones((3, 3), "int32")}, memories)
    with pytest.raises(ValueError, match="`token_ids` must be from 0 to 11.* 99"):
        bare.read_segment({"token_ids": np.array([[1, 99]])})
    with pytest.raises(ValueError, match="for each of its 2 blocks.*Received 1"):
        bare.read_segment(part, memories[:1])
    with pytest.raises(ValueError, match="several choices is read as a whole"):
        make_model(head="multiple_choice").read_segment(part)
    for changes, message in (
        ({"summary_type": "mean"}, "summary_type='mean', which"),
        ({"d_head": 5}, "d_head=5, d_model=12, n_head=3"),
    ):
        with pytest.raises(ValueError, match=message):
            applications.XLNet.families[0].read_arguments(
                {**XLNET_CONFIG, **changes}, "config.json"
            )


@pytest.mark.once
def test_the_head_of_two_streams_comes_back(tmp_path):
    model = make_model(tokenizer=None, max_length=64)
    with pytest.warns(UserWarning, match="no field for max_length, head"):
        model.save_to_preset(tmp_path)
    again = applications.from_preset(tmp_path, name=model.name, seed=3)
    assert again.get_config() == model.get_config()
