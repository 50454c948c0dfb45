"""`generate` writes what the whole model says follows, token by token."""

import numpy as np
import pytest

from generation.language_models import SIZE
from generation.language_models import TinyGPT
from helpers import BACKEND
from helpers import to_numpy
from keras_attention.generation import BeamSearch
from keras_attention.generation import RandomSampler
from keras_attention.layers import AlibiBias
from keras_attention.layers import MultiHeadSelfAttention
from keras_attention.layers import RotaryEmbedding
from keras_attention.layers import TransformerDecoderBlock

PROMPTS = [[3, 4, 5], [2, 9, 8, 7, 6, 5, 4, 3], [10]]


@pytest.fixture(scope="module")
def model():
    return TinyGPT(end_id=None)


@pytest.fixture(scope="module")
def speaking():
    return TinyGPT(with_tokenizer=True, end_id=None)


def by_hand(model, prompt, count):
    """Greedy search by the whole model, and the log-probability."""
    token_ids, total = list(prompt), 0.0
    for _ in range(count):
        logits = to_numpy(model(np.array([token_ids])))[0, -1].astype("float64")
        token_ids.append(int(logits.argmax()))
        total += logits.max() - np.log(np.exp(logits).sum())
    return token_ids, total


def check(model, prompts=PROMPTS, count=6):
    found, log_p = model.generate(
        prompts, max_new_tokens=count, return_log_probabilities=True
    )
    for i, prompt in enumerate(prompts):
        expected, total = by_hand(model, prompt, count)
        assert found[i, : len(expected)].tolist() == expected
        assert not found[i, len(expected) :].any()
        np.testing.assert_allclose(log_p[i], total, atol=1e-4)


def test_prompts_of_different_lengths_go_on_as_each_alone(model):
    check(model)


@pytest.mark.parametrize("kind", ["sinusoidal", "rotary", "alibi"])
def test_positions_of_each_kind(kind):
    if kind == "rotary":
        attention = MultiHeadSelfAttention(
            4, 4, num_key_value_heads=2, rotary_embedding=RotaryEmbedding(), window=4
        )
        block = TransformerDecoderBlock(
            4, 32, attention=attention, use_cross_attention=False, norm_order="post"
        )
        check(TinyGPT(block=block, end_id=None))
    elif kind == "alibi":
        check(TinyGPT(position_bias=AlibiBias(2), end_id=None))
    else:
        check(TinyGPT(kind="sinusoidal", end_id=None))


def test_nothing_on_the_model_changes(model):
    before = [to_numpy(v) for v in model.variables]
    layers = [layer.path for layer in model._flatten_layers()]
    model.generate(PROMPTS, max_new_tokens=6)
    assert [layer.path for layer in model._flatten_layers()] == layers
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), value)


def test_new_weights_are_seen():
    model = TinyGPT(end_id=None)
    first = model.generate([PROMPTS[0]], max_new_tokens=6)
    model.decoder.norm.gamma.assign(-model.decoder.norm.gamma)
    second = model.generate([PROMPTS[0]], max_new_tokens=6)
    assert first.tolist() != second.tolist()
    assert second[0].tolist() == by_hand(model, PROMPTS[0], 6)[0]


def test_a_new_length_compiles_only_in_a_new_bucket():
    """16 tokens need a bucket of 16 slots, 17 one of 32; PyTorch compiles the loop."""
    model = TinyGPT(num_layers=1, end_id=None)
    counts = []
    for length in (3, 5, 16, 17, 30):
        model.generate([(list(range(1, 10)) * 4)[:length]], max_new_tokens=5)
        counts.append(model.num_compilations)
    assert counts == ([1] * 5 if BACKEND == "torch" else [2, 2, 2, 3, 3])


def test_one_beam_is_greedy_and_beams_are_more_probable(model):
    greedy, log_p = model.generate(
        PROMPTS, max_new_tokens=6, return_log_probabilities=True
    )
    one = model.generate(PROMPTS, max_new_tokens=6, sampler=BeamSearch(1))
    np.testing.assert_array_equal(one, greedy)
    few, few_log_p = model.generate(
        PROMPTS,
        max_new_tokens=6,
        sampler=BeamSearch(4, num_results=2),
        return_log_probabilities=True,
    )
    assert few.shape == (3, 2, 14)
    assert (few_log_p[:, 0] >= log_p - 1e-5).all()
    assert (few_log_p[:, 0] >= few_log_p[:, 1]).all()


def test_enough_beams_find_the_best_of_all_texts(model):
    """Two tokens of eleven: 121 texts, all of them scored by the whole model."""
    prompt = PROMPTS[0]
    texts = [[*prompt, i, j] for i in range(SIZE) for j in range(SIZE)]
    logits = to_numpy(model(np.array(texts))).astype("float64")[:, 2:4]
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    totals = [log_p[n, 0, t[3]] + log_p[n, 1, t[4]] for n, t in enumerate(texts)]
    best = np.argsort(totals)[::-1][:3]
    found, found_log_p = model.generate(
        [prompt],
        max_new_tokens=2,
        sampler=BeamSearch(SIZE, num_results=3),
        return_log_probabilities=True,
    )
    assert found[0].tolist() == [texts[n] for n in best]
    np.testing.assert_allclose(found_log_p[0], np.array(totals)[best], atol=1e-4)


def test_the_same_seed_writes_the_same_text(model):
    def write(prompts, seed):
        sampler = RandomSampler(temperature=2.0, top_k=9, seed=seed)
        return model.generate(prompts, max_new_tokens=6, sampler=sampler)

    first = write(PROMPTS, 1)
    np.testing.assert_array_equal(first, write(PROMPTS, 1))
    assert first.tolist() != write(PROMPTS, 2).tolist()
    assert write(PROMPTS[:1], 1)[0].tolist() == first[0, :9].tolist()


def test_the_attention_of_each_step_is_that_of_the_whole(model):
    found, weights = model.generate(
        PROMPTS, max_new_tokens=4, return_attention_scores=True
    )
    assert weights.shape == (3, 4, 2, 2, 12)  # B, L, num_layers, N, T
    for i, prompt in enumerate(PROMPTS):
        size = len(prompt) + 3
        _, whole = model.decoder(
            model.embedding(found[i : i + 1, :size]), return_attention_scores=True
        )
        whole = np.stack([to_numpy(w)[0] for w in whole])  # (num_layers, N, T, T)
        for step in range(4):
            row = whole[:, :, len(prompt) - 1 + step]
            np.testing.assert_allclose(weights[i, step, ..., :size], row, atol=1e-5)
            assert not weights[i, step, ..., size:].any()


def test_strings_in_strings_out(speaking):
    token_ids = speaking.generate([[2, 3, 4], [10]], max_new_tokens=5)
    texts = speaking.tokenizer.decode([token_ids[0], token_ids[1, :6]])
    assert speaking.generate(["abc", "i"], max_new_tokens=5) == texts
    assert speaking.generate("abc", max_new_tokens=5) == texts[0]
    new = speaking.generate("abc", max_new_tokens=5, include_prompt=False)
    assert texts[0] == "abc" + new


def test_what_is_written_is_told_at_once(speaking):
    parts = []
    text = speaking.generate("abc", max_new_tokens=5, callback=parts.append)
    assert len(parts) == 5
    assert "abc" + "".join(part for (part,) in parts) == text


def test_a_string_stops_a_text_and_is_left_out(speaking):
    text = speaking.generate("abc", max_new_tokens=5, include_prompt=False)
    stopped = speaking.generate(
        "abc", max_new_tokens=5, include_prompt=False, stop=[text[2:4], "zz"]
    )
    assert stopped == text[: text.index(text[2:4])]


def test_token_ids_stop_a_text(model):
    prompt, whole = PROMPTS[0], by_hand(model, PROMPTS[0], 6)[0]
    end = whole[4:6]
    found = model.generate([prompt], max_new_tokens=6, stop=[end])[0].tolist()
    assert found == whole[: 4 if whole[3:5] != end else 3]


def test_texts_end_with_the_end_and_not_too_soon(model):
    """The third token that greedy search writes is the end."""
    whole = by_hand(model, PROMPTS[0], 6)[0]
    ending = TinyGPT(end_id=whole[5])
    for variable, value in zip(ending.variables, model.variables, strict=True):
        variable.assign(to_numpy(value))
    first = whole.index(whole[5], 3)
    found = ending.generate(PROMPTS[:1], max_new_tokens=6)
    assert found[0].tolist() == whole[:first]
    found = ending.generate(PROMPTS[:1], max_new_tokens=6, min_new_tokens=6)
    assert len(found[0]) == 9
    assert whole[5] not in found[0, 3:].tolist()


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "`prompts` must hold at least one"),
        ([[]], {}, "Prompt 0 has no token"),
        ([""], {}, "Each prompt must be a string that is not empty"),
        ([[3], [SIZE]], {}, "from 0 to 10. Received: 11 to 11 in prompt 1"),
        ([[-1]], {}, "Received: -1 to -1"),
        ([[0.5]], {}, "`prompts` must be strings, or token ids"),
        ([[3] * 64], {}, "has 64 tokens, which leaves none"),
        ([[3] * 9], {"max_length": 9}, "has 9 tokens, .* max_length=9"),
        ([[3]], {"max_length": 65}, "positions for 64 tokens"),
        ([[3] * 60], {"max_new_tokens": 5}, "prompt of 60 tokens, and 65 tokens"),
        ([[3]], {"max_new_tokens": 0}, "`max_new_tokens` must be a positive"),
        ([[3]], {"max_length": 5, "max_new_tokens": 4}, "Received both: 5 and 4"),
        ([[3]], {"sampler": "best"}, "`sampler` must be one of"),
        ([[3]], {"stop": "a"}, "A string stops only texts that are strings"),
        ([[3]], {"stop": [[]]}, "A stop sequence must not be empty"),
        (["a"], {"stop": [""]}, "A stop sequence must not be empty"),
        (["a"], {"callback": print, "sampler": "beam"}, "cannot follow beams"),
    ],
)
def test_what_cannot_be_used_is_refused(speaking, prompts, options, message):
    with pytest.raises(ValueError, match=message):
        speaking.generate(prompts, **options)


def test_strings_need_a_tokenizer(model):
    with pytest.raises(ValueError, match="no tokenizer.*'abc'"):
        model.generate("abc")
