"""GPT and GPT-Neo against transformers: what differs from GPT-2, which has its own."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import applications
from keras_attention.checkpoints import named_weights
from keras_attention.checkpoints.arguments import argument_defaults
from published import assert_close
from published import MASK
from published import run_reference
from published import save_reference
from published import state_of

transformers = pytest.importorskip("transformers")

IDS = np.random.default_rng(3).integers(1, 40, MASK.shape) * MASK
POSITIONS = np.maximum(np.cumsum(MASK, axis=1) - 1, 0)
INPUTS = {"token_ids": IDS, "padding_mask": MASK}
THEIRS = {"input_ids": IDS, "attention_mask": MASK, "position_ids": POSITIONS}
COMMON = {"vocab_size": 41, "bos_token_id": 40, "eos_token_id": 40, "pad_token_id": 0}
COMMON |= {"layer_norm_epsilon": 0.05, "initializer_range": 0.3}


@dataclasses.dataclass(frozen=True)
class Row:
    """A family.

    Args:
        model: Our class.
        published: The published classes without a head, and with each.
        config: An odd configuration.
    """

    model: type
    published: tuple
    config: dict


ROWS = [
    Row(
        applications.GPT,
        (
            "OpenAIGPTModel",
            "OpenAIGPTLMHeadModel",
            "OpenAIGPTForSequenceClassification",
        ),
        {
            **COMMON,
            **{"n_positions": 24, "n_embd": 12, "n_layer": 2, "n_head": 3},
        },
    ),
    Row(
        applications.GPTNeo,
        ("GPTNeoModel", "GPTNeoForCausalLM", "GPTNeoForSequenceClassification"),
        {
            **COMMON,
            **{"hidden_size": 12, "num_layers": 3, "num_heads": 3},
            "max_position_embeddings": 24,
            "intermediate_size": 20,
            "activation_function": "relu",
            # Of three blocks the second reads three tokens.
            "attention_types": [[["global", "local"], 1], [["global"], 1]],
            "window_size": 3,
        },
    ),
]
families = pytest.mark.parametrize("row", ROWS, ids=[r.model.__name__ for r in ROWS])
heads = pytest.mark.parametrize(
    "head, changes",
    [(1, {}), (1, {"tie_word_embeddings": False}), (2, {"num_labels": 4})],
    ids=["tied", "untied", "classification"],
)


@families
@heads
def test_the_logits_are_those_of_transformers(tmp_path, row, head, changes):
    """With padding in front too: positions count tokens."""
    config = {**row.config, **changes}
    reference = save_reference(row.published[head], tmp_path, **config)
    model = applications.from_preset(tmp_path)
    assert type(model) is row.model
    expected = run_reference(reference, **THEIRS)["logits"]
    assert_close(to_numpy(model(INPUTS)), expected, MASK if head == 1 else None)


@families
def test_each_block_computes_what_that_of_transformers_does(tmp_path, row):
    reference = save_reference(row.published[0], tmp_path, **row.config)
    reference.config.output_hidden_states = True
    reference.config.output_attentions = True
    expected = run_reference(reference, **THEIRS)
    model = row.model.from_preset(tmp_path)
    assert model.head is None
    x = model.embed(IDS, POSITIONS)
    for number, block in enumerate(model.decoder.blocks):
        assert_close(to_numpy(x), expected["hidden_states"][number], MASK)
        x, weights = block(x, mask=MASK.astype(bool), return_attention_scores=True)
        assert_close(
            to_numpy(weights).transpose(0, 2, 1, 3),
            expected["attentions"][number].transpose(0, 2, 1, 3),
            MASK,
        )
    assert_close(to_numpy(model(INPUTS)), expected["last_hidden_state"], MASK)


@families
def test_greedy_search_writes_what_that_of_transformers_writes(tmp_path, row):
    """Prompts of different lengths at once, longer than the window."""
    import torch

    reference = save_reference(row.published[1], tmp_path, **row.config)
    model = row.model.from_preset(tmp_path)
    prompts = [ids[m == 1].tolist() for ids, m in zip(IDS, MASK, strict=True)]
    found = model.generate(prompts, max_new_tokens=6)
    for prompt, written in zip(prompts, found.tolist(), strict=True):
        ids = reference.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
            max_new_tokens=6,
            do_sample=False,
            use_cache=False,
        )[0].tolist()
        ids = [i for i in ids if i != 40]
        assert [i for i in written if i not in (0, 40)][: len(ids)] == ids


@pytest.mark.once
@families
@heads
def test_what_is_saved_here_opens_there(tmp_path, row, head, changes):
    config = {**row.config, **changes}
    reference = save_reference(row.published[head], tmp_path / "theirs", **config)
    model = applications.from_preset(tmp_path / "theirs")
    model.save_to_preset(tmp_path / "ours")
    again, report = type(reference).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    theirs, ours = state_of(reference), state_of(again)
    assert set(ours) == set(theirs)
    for key in theirs:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    for field in row.config.keys() - {"attention_types"}:
        assert getattr(again.config, field) == getattr(reference.config, field)
    here = applications.from_preset(tmp_path / "ours")
    assert {**here.get_config(), "name": ""} == {**model.get_config(), "name": ""}


@pytest.mark.once
@families
def test_every_argument_survives_a_keras_file(tmp_path, row):
    small = {"vocabulary_size": 9, "hidden_dim": 4, "num_layers": 3, "num_heads": 2}
    model = row.model(**small, windows=[2, None], initializer_range=0.3, seed=2)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    assert again.decoder.window == [2, None, 2]
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


PRESETS = [
    (model, preset)
    for model in (applications.GPT, applications.GPT2, applications.GPTNeo)
    for preset in model.presets_table
]


@pytest.mark.once
@pytest.mark.parametrize("model, preset", PRESETS, ids=[name for _, name in PRESETS])
def test_the_presets_have_the_published_sizes(model, preset):
    """Counted with one block and two heads of a narrow model, which tell the rest."""
    entry = {**argument_defaults(model), **model.presets_table[preset]}
    words, width, layers = (
        entry[name] for name in ("vocabulary_size", "hidden_dim", "num_layers")
    )
    assert width % entry["num_heads"] == 0
    block = 12 * width**2 + 13 * width
    if not entry["use_attention_bias"]:
        block -= 3 * width
    last_norm = 2 * width if model.norm_order == "pre" else 0
    expected = (words + entry["max_length"]) * width + layers * block + last_norm
    assert expected == entry["parameters"]
    # The same sum is that of a small model.
    small = model(vocabulary_size=7, hidden_dim=6, num_layers=2, num_heads=2)
    block = 12 * 36 + 13 * 6 - (0 if entry["use_attention_bias"] else 18)
    rest = (7 + argument_defaults(model)["max_length"]) * 6
    assert small.count_params() == rest + 2 * block + (12 if last_norm else 0)


@pytest.mark.once
def test_windows_that_cannot_be_published_are_kept_in_our_layout(tmp_path):
    model = applications.GPTNeo(
        vocabulary_size=9, hidden_dim=4, num_layers=2, num_heads=2, windows=[2, 3]
    )
    model.save_to_preset(tmp_path)
    assert "model_type" not in json.loads((tmp_path / "config.json").read_text())
    again = applications.from_preset(tmp_path)
    assert again.windows == [2, 3]
    for name, weight in named_weights(model).items():
        np.testing.assert_array_equal(named_weights(again)[name], weight)


@pytest.mark.once
def test_blocks_that_are_neither_global_nor_local_are_told(tmp_path):
    save_reference("GPTNeoModel", tmp_path, **ROWS[1].config)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["attention_types"] = [[["global", "wide"], 1], [["global"], 1]]
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="Each block must be 'global' or 'local'"):
        applications.from_preset(tmp_path)
