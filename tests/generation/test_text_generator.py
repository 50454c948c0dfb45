"""`generate` writes what the whole model says follows, token by token."""

import weakref

import numpy as np
import pytest
from keras import ops

from helpers import BACKEND
from helpers import to_numpy
from keras_attention.backend.programs import Program
from keras_attention.generation import BeamSearch
from keras_attention.generation import RandomSampler
from keras_attention.layers import AlibiBias
from keras_attention.layers import MultiHeadSelfAttention
from keras_attention.layers import RotaryEmbedding
from keras_attention.layers import TransformerDecoderBlock
from language_models import Letters
from language_models import SIZE
from language_models import TinyGPT

PROMPTS = [[3, 4, 5], [2, 9, 8, 7, 6, 5, 4, 3], [10]]


@pytest.fixture(scope="module")
def model():
    """One for all: what is compiled for one test serves the next."""
    return TinyGPT(with_tokenizer=True, end_id=None)


def logits_of(model, texts):
    """What the whole model says follows each token: padding behind changes nothing."""
    padded = np.zeros((len(texts), 16), "int32")
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = text
    if model not in PROGRAMS:
        PROGRAMS[model] = Program(lambda x: model(x), model.variables)
    logits = PROGRAMS[model](ops.convert_to_tensor(padded))
    return to_numpy(logits).astype("float64")


PROGRAMS = weakref.WeakKeyDictionary()


def by_hand(model, prompt, count):
    """Greedy search by the whole model, and the log-probability."""
    token_ids, total = list(prompt), 0.0
    for _ in range(count):
        logits = logits_of(model, [token_ids])[0, len(token_ids) - 1]
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


@pytest.mark.compiles_much
def test_rotary_positions_groups_of_heads_and_windows():
    attention = MultiHeadSelfAttention(
        4, 4, num_key_value_heads=2, rotary_embedding=RotaryEmbedding(), window=4
    )
    block = TransformerDecoderBlock(
        4, 32, attention=attention, use_cross_attention=False, norm_order="post"
    )
    check(TinyGPT(block=block, num_layers=1, end_id=None))


@pytest.mark.compiles_much
def test_sinusoidal_positions_and_a_bias_of_positions():
    model = TinyGPT(
        num_layers=1, kind="sinusoidal", position_bias=AlibiBias(2), end_id=None
    )
    check(model)


def test_nothing_on_the_model_changes(model):
    before = [to_numpy(v) for v in model.variables]
    layers = [layer.path for layer in model._flatten_layers()]
    model.generate(PROMPTS, max_new_tokens=6)
    assert [layer.path for layer in model._flatten_layers()] == layers
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), value)


def test_new_weights_are_seen(model):
    first = model.generate(PROMPTS, max_new_tokens=6)
    gamma = model.decoder.norm.gamma
    gamma.assign(-gamma)
    second = model.generate(PROMPTS, max_new_tokens=6)
    expected = by_hand(model, PROMPTS[0], 6)[0]
    gamma.assign(-gamma)
    assert first.tolist() != second.tolist()
    assert second[0, :9].tolist() == expected


def test_a_new_length_compiles_only_in_a_new_bucket():
    """16 tokens need a bucket of 16 slots, 17 one of 32; PyTorch compiles the loop."""
    model = TinyGPT(num_layers=1, end_id=None)
    counts = []
    for length in (3, 5, 16, 17, 30):
        model.generate([(list(range(1, 10)) * 4)[:length]], max_new_tokens=5)
        counts.append(model.num_compilations)
    assert counts == ([1] * 5 if BACKEND == "torch" else [2, 2, 2, 3, 3])


@pytest.mark.compiles_much
def test_enough_beams_find_the_best_of_all_texts(model):
    """Two tokens of eleven: 121 texts, all of them scored by the whole model."""
    found, found_log_p = model.generate(
        PROMPTS,
        max_new_tokens=2,
        sampler=BeamSearch(SIZE, num_results=3),
        return_log_probabilities=True,
    )
    assert found.shape == (3, 3, 10)
    for row, prompt in enumerate(PROMPTS):
        texts = [[*prompt, i, j] for i in range(SIZE) for j in range(SIZE)]
        logits = logits_of(model, texts)[:, len(prompt) - 1 : len(prompt) + 1]
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        totals = np.array(
            [log_p[n, 0, t[-2]] + log_p[n, 1, t[-1]] for n, t in enumerate(texts)]
        )
        best = np.argsort(totals)[::-1][:3]
        size = len(prompt) + 2
        assert found[row, :, :size].tolist() == [texts[n] for n in best]
        np.testing.assert_allclose(found_log_p[row], totals[best], atol=1e-4)


def test_the_same_seed_writes_the_same_text(model):
    """Row 0 draws the same, whatever the others are."""

    def write(prompts, seed):
        sampler = RandomSampler(temperature=2.0, top_k=9, seed=seed)
        return model.generate(prompts, max_new_tokens=6, sampler=sampler)

    first = write(PROMPTS, 1)
    np.testing.assert_array_equal(first, write(PROMPTS, 1))
    assert first.tolist() != write(PROMPTS, 2).tolist()
    others = write([PROMPTS[0], PROMPTS[2], PROMPTS[1]], 1)
    assert others[0, :9].tolist() == first[0, :9].tolist()


def test_the_attention_of_each_step_is_that_of_the_whole(model):
    found, weights = model.generate(
        PROMPTS, max_new_tokens=4, return_attention_scores=True
    )
    assert weights.shape == (2, 3, 2, 4, 12)  # num_layers, B, N, L, T
    read = Program(
        lambda x: model.decoder(model.embedding(x), return_attention_scores=True)[1],
        model.variables,
    )
    whole = np.stack(to_numpy(read(ops.convert_to_tensor(found))))
    for i, prompt in enumerate(PROMPTS):
        size = len(prompt) + 3
        for step in range(4):
            row = whole[:, i, :, len(prompt) - 1 + step, :size]
            np.testing.assert_allclose(weights[:, i, :, step, :size], row, atol=1e-5)
            assert not weights[:, i, :, step, size:].any()


TEXTS = Letters().decode(PROMPTS)


def test_strings_in_strings_out(model):
    token_ids = model.generate(PROMPTS, max_new_tokens=5)
    rows = [r[: len(p) + 5] for r, p in zip(token_ids, PROMPTS, strict=True)]
    texts = model.tokenizer.decode(rows)
    assert model.generate(TEXTS, max_new_tokens=5) == texts
    new = model.generate(TEXTS, max_new_tokens=5, include_prompt=False)
    assert [p + n for p, n in zip(TEXTS, new, strict=True)] == texts


def test_a_string_gives_a_string(model):
    assert isinstance(model.generate("abc", max_new_tokens=1), str)


def test_what_is_written_is_told_at_once(model):
    parts = []
    texts = model.generate(TEXTS, max_new_tokens=5, callback=parts.append)
    assert len(parts) == 5
    told = ["".join(part) for part in zip(*parts, strict=True)]
    assert [p + t for p, t in zip(TEXTS, told, strict=True)] == texts


def test_a_string_stops_a_text_and_is_left_out(model):
    texts = model.generate(TEXTS, max_new_tokens=6, include_prompt=False)
    stop = texts[0][2:4]
    stopped = model.generate(
        TEXTS, max_new_tokens=6, include_prompt=False, stop=[stop, "zz"]
    )
    assert stopped == [text.partition(stop)[0] for text in texts]


def test_token_ids_stop_a_text(model):
    whole = by_hand(model, PROMPTS[0], 6)[0]
    end = whole[4:6]
    found = model.generate(PROMPTS, max_new_tokens=6, stop=[end])[0].tolist()
    expected = whole[:4] if whole[3:5] != end else whole[:3]
    assert found[: len(expected) + 1] == [*expected, 0]


def test_a_text_ends_with_the_end_and_not_too_soon(model, monkeypatch):
    """The last new token becomes the end; it may not come before three others."""
    whole = by_hand(model, PROMPTS[0], 6)[0]
    monkeypatch.setattr(model, "end_id", whole[-1])
    found = model.generate(PROMPTS, max_new_tokens=6, min_new_tokens=3)
    new = found[0, 3:].tolist()
    assert whole[-1] not in new[:3]
    first = whole.index(whole[-1], 3) - 3
    if first >= 3:
        assert new[: first + 1] == [*whole[3 : 3 + first], 0]


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
def test_what_cannot_be_used_is_refused(model, prompts, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(prompts, **options)


def test_strings_need_a_tokenizer():
    with pytest.raises(ValueError, match="no tokenizer.*'abc'"):
        TinyGPT(num_layers=1).generate("abc")
