"""GPT-2 against transformers: tiny random models of odd configurations."""

import json
import pathlib

import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import applications
from keras_attention.applications import GPT2
from keras_attention.backend.without_values import built_without_values
from keras_attention.checkpoints import named_weights
from keras_attention.checkpoints import open_tensors
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
CONFIG = {
    "vocab_size": 41,
    "n_positions": 24,
    "n_embd": 12,
    "n_layer": 2,
    "n_head": 3,
    "n_inner": 20,
    "activation_function": "gelu",
    "layer_norm_epsilon": 0.05,
    "bos_token_id": 40,
    "eos_token_id": 40,
    "pad_token_id": 0,
}


@pytest.mark.parametrize(
    "name, changes",
    [
        ("GPT2LMHeadModel", {"activation_function": "gelu_new", "n_inner": None}),
        ("GPT2LMHeadModel", {"tie_word_embeddings": False}),
        ("GPT2ForSequenceClassification", {"num_labels": 4}),
        ("GPT2LMHeadModel", {"scale_attn_weights": False}),
        (
            "GPT2LMHeadModel",
            {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
        ),
    ],
    ids=["tied", "untied", "classification", "unscaled", "scaled by layer"],
)
def test_the_logits_are_those_of_transformers(tmp_path, name, changes):
    """With padding in front too: positions count tokens."""
    reference = save_reference(name, tmp_path, **{**CONFIG, **changes})
    model = applications.from_preset(tmp_path)
    assert type(model) is GPT2
    expected = run_reference(reference, **THEIRS)["logits"]
    mask = None if name.endswith("Classification") else MASK
    assert_close(to_numpy(model(INPUTS)), expected, mask)


def test_each_block_computes_what_that_of_transformers_does(tmp_path):
    reference = save_reference("GPT2Model", tmp_path, **CONFIG)
    model = GPT2.from_preset(tmp_path)
    assert model.get_config()["head"] is None
    reference.config.output_hidden_states = True
    reference.config.output_attentions = True
    expected = run_reference(reference, **THEIRS)
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


def test_greedy_search_writes_what_that_of_transformers_writes(tmp_path):
    """Prompts of different lengths at once."""
    import torch

    reference = save_reference("GPT2LMHeadModel", tmp_path, **CONFIG)
    model = GPT2.from_preset(tmp_path)
    prompts = [row[m == 1].tolist() for row, m in zip(IDS, MASK, strict=True)]
    expected = []
    for prompt in prompts:
        ids = reference.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
            max_new_tokens=6,
            do_sample=False,
        )
        expected.append(ids[0].tolist())
    found = model.generate(prompts, max_new_tokens=6)
    for row, ids in zip(found, expected, strict=True):
        ids = [i for i in ids if i != 40]
        assert [i for i in row.tolist() if i != 40][: len(ids)] == ids


@pytest.mark.once
@pytest.mark.parametrize(
    "name, changes",
    [
        ("GPT2Model", {}),
        ("GPT2LMHeadModel", {}),
        ("GPT2LMHeadModel", {"tie_word_embeddings": False}),
        ("GPT2ForSequenceClassification", {"num_labels": 4}),
    ],
    ids=["bare", "tied", "untied", "classification"],
)
def test_what_is_saved_here_opens_there(tmp_path, name, changes):
    reference = save_reference(name, tmp_path / "theirs", **{**CONFIG, **changes})
    model = applications.from_preset(tmp_path / "theirs")
    model.save_to_preset(tmp_path / "ours")
    again, report = type(reference).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys"))
    theirs, ours = state_of(reference), state_of(again)
    assert set(ours) == set(theirs)
    for key, tensor in theirs.items():
        np.testing.assert_array_equal(ours[key], tensor)
    for field, value in {**CONFIG, **changes}.items():
        assert getattr(again.config, field) == value
    here = applications.from_preset(tmp_path / "ours")
    assert {**here.get_config(), "name": ""} == {**model.get_config(), "name": ""}


@pytest.mark.once
def test_names_of_a_language_model_need_no_prefix(tmp_path):
    """As in the first published file of GPT-2, which also holds masks as buffers."""
    import safetensors.numpy

    save_reference("GPT2LMHeadModel", tmp_path, **CONFIG)
    with open_tensors(tmp_path) as (path, tensors):
        arrays = {
            name.removeprefix("transformer."): tensor.read()
            for name, tensor in tensors.items()
        }
    arrays["h.0.attn.bias"] = np.tri(24, dtype="uint8")[None, None]
    arrays["lm_head.weight"] = arrays["wte.weight"]
    before = GPT2.from_preset(tmp_path)
    safetensors.numpy.save_file(arrays, path)
    after = GPT2.from_preset(tmp_path)
    for name, weight in named_weights(after).items():
        np.testing.assert_array_equal(weight, named_weights(before)[name])


@pytest.mark.once
def test_a_mask_that_is_not_causal_is_told(tmp_path):
    import safetensors.numpy

    save_reference("GPT2LMHeadModel", tmp_path, **CONFIG)
    path = tmp_path / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tensors["transformer.h.0.attn.bias"] = np.ones((1, 1, 24, 24), "uint8")
    safetensors.numpy.save_file(tensors, path)
    message = r"with other numbers than are computed there \(h.0.attn.bias\)"
    with pytest.raises(ValueError, match=message):
        GPT2.from_preset(tmp_path)


@pytest.mark.once
def test_a_head_that_is_not_known_is_left_out_where_another_is_asked_for(tmp_path):
    reference = save_reference("GPT2DoubleHeadsModel", tmp_path, **CONFIG, num_labels=1)
    with pytest.raises(ValueError, match="is a GPT2DoubleHeadsModel.*Pass head=None"):
        GPT2.from_preset(tmp_path)
    with pytest.warns(UserWarning, match="left out: multiple_choice_head.summary.bias"):
        model = GPT2.from_preset(tmp_path, head="next_token")
    expected = transformers.GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    expected = run_reference(expected, **THEIRS)["logits"]
    assert_close(to_numpy(model(INPUTS)), expected, MASK)
    assert type(reference).__name__ == "GPT2DoubleHeadsModel"


@pytest.mark.once
def test_pytorch_model_bin_is_read(tmp_path):
    import torch

    reference = save_reference("GPT2LMHeadModel", tmp_path, **CONFIG)
    before = GPT2.from_preset(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(reference.half().state_dict(), tmp_path / "pytorch_model.bin")
    after = GPT2.from_preset(tmp_path)
    for name, weight in named_weights(after).items():
        np.testing.assert_allclose(weight, named_weights(before)[name], atol=1e-3)


@pytest.mark.once
def test_a_tokenizer_that_is_passed_replaces_one_that_is_damaged(tmp_path):
    save_reference("GPT2LMHeadModel", tmp_path, **CONFIG)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="tokenizer.json"):
        GPT2.from_preset(tmp_path)
    assert GPT2.from_preset(tmp_path, tokenizer=None).tokenizer is None


@pytest.mark.once
def test_another_head_is_new_and_the_rest_is_loaded(tmp_path):
    save_reference("GPT2LMHeadModel", tmp_path, **CONFIG)
    before = named_weights(GPT2.from_preset(tmp_path))
    model = GPT2.from_preset(tmp_path, num_classes=5)
    assert model.get_config()["head"] == "classification"
    assert to_numpy(model(INPUTS)).shape == (3, 5)
    after = named_weights(model)
    assert set(after) - set(before) == {"classifier/kernel"}
    for name, weight in before.items():
        np.testing.assert_array_equal(after[name], weight)


@pytest.mark.once
def test_another_number_of_classes_drops_the_head(tmp_path):
    config = {**CONFIG, "id2label": {0: "cat", 1: "dog", 2: "fox"}}
    save_reference("GPT2ForSequenceClassification", tmp_path, **config)
    model = GPT2.from_preset(tmp_path)
    assert model.class_names == ["cat", "dog", "fox"]
    other = GPT2.from_preset(tmp_path, num_classes=2)
    assert other.class_names is None
    assert other.output_shape == (None, 2)
    bare = GPT2.from_preset(tmp_path, head=None)
    assert bare.output_shape == (None, None, 12)


@pytest.mark.once
def test_the_precision_is_that_of_the_one_who_loads(tmp_path):
    save_reference("GPT2Model", tmp_path, **CONFIG)
    model = GPT2.from_preset(tmp_path, dtype="bfloat16")
    assert {weight.dtype for weight in model.weights} == {"bfloat16"}


def change_config(folder, **fields):
    path = pathlib.Path(folder) / "config.json"
    config = json.loads(path.read_text())
    config.update(fields)
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))


@pytest.mark.once
@pytest.mark.parametrize(
    "fields, sentence",
    [
        (
            {"n_inner": 21},
            r"of another shape \(transformer.h.0.mlp.c_fc.weight \(12, 2",
        ),
        ({"n_layer": 3}, r"12 missing \(transformer.h.2.attn.c_attn.weight, "),
        ({"n_layer": 1}, r"12 unknown to the model \(h.1.attn.c_attn.bias, "),
        ({"activation_function": "mish"}, "activation_function='mish', which is not"),
        ({"use_sinks": 3}, "fields that are not known here: use_sinks=3"),
        (
            {"model_type": "mamba"},
            "a model with model_type='mamba', which is not known",
        ),
        (
            {"architectures": ["GPT2DoubleHeadsModel"]},
            "is a GPT2DoubleHeadsModel, whic",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_told(tmp_path, fields, sentence):
    save_reference("GPT2LMHeadModel", tmp_path, **CONFIG)
    change_config(tmp_path, **fields)
    with pytest.raises(ValueError, match=sentence):
        applications.from_preset(tmp_path)


@pytest.mark.once
def test_a_checkpoint_of_another_family_is_told(tmp_path):
    save_reference("GPT2Model", tmp_path, **CONFIG)
    sentence = "a model with model_type='gpt2', not BERT. Load it with `GPT2.from_pre"
    with pytest.raises(ValueError, match=sentence):
        applications.BERT.from_preset(tmp_path)


@pytest.mark.once
def test_large_weights_are_saved_in_several_files(tmp_path, monkeypatch):
    save_reference("GPT2LMHeadModel", tmp_path / "theirs", **CONFIG)
    model = GPT2.from_preset(tmp_path / "theirs")
    model.save_to_preset(tmp_path / "ours")
    monkeypatch.setattr("keras_attention.checkpoints.tensors.MAX_FILE_BYTES", 5500)
    model.save_to_preset(tmp_path / "ours")
    names = sorted(path.name for path in (tmp_path / "ours").iterdir())
    assert names[:3] == [
        "config.json",
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
    ]
    assert "model.safetensors" not in names
    again = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "ours")
    assert again.num_parameters() == model.count_params()


@pytest.mark.once
@pytest.mark.parametrize(
    "preset, size",
    [
        ("gpt2", 124_439_808),
        ("gpt2_medium", 354_823_168),
        ("gpt2_large", 774_030_080),
        ("gpt2_xl", 1_557_611_200),
    ],
)
def test_the_presets_have_the_published_sizes(preset, size):
    """Counted with one block, whose like the others are."""
    entry = {
        k: v
        for k, v in GPT2.presets_table[preset].items()
        if k not in ("description", "parameters")
    }
    num_layers = entry.pop("num_layers", 12)
    hidden_dim = entry.get("hidden_dim", 768)
    small = {**entry, "num_layers": 1, "vocabulary_size": 7}
    model = built_without_values(lambda: GPT2(**small))
    block = sum(int(np.prod(w.shape)) for w in model.decoder.blocks[0].weights)
    counted = model.count_params() + (num_layers - 1) * block
    assert counted + (50257 - 7) * hidden_dim == size


@pytest.mark.once
def test_too_long_a_sequence_is_told():
    model = GPT2(**SMALL, max_length=4)
    ones = np.ones((1, 5), "int32")
    with pytest.raises(ValueError, match="has 5 tokens, .* for max_length=4"):
        model({"token_ids": ones, "padding_mask": ones})


SMALL = {"vocabulary_size": 9, "hidden_dim": 4, "num_layers": 1, "num_heads": 2}


@pytest.mark.once
def test_a_model_without_a_language_head_does_not_write():
    model = GPT2(**SMALL, max_length=8, head=None)
    with pytest.raises(
        ValueError, match='head=None, so it writes no text.*"next_token"'
    ):
        model.generate([[1, 2]], max_new_tokens=2)


@pytest.mark.once
def test_classes_without_a_classifier_are_told():
    with pytest.raises(ValueError, match="head='next_token', num_classes=3. Pass"):
        GPT2(**SMALL, num_classes=3)
    with pytest.raises(ValueError, match="num_classes=3, 2 names"):
        GPT2(**SMALL, head="classification", num_classes=3, class_names=["a", "b"])


@pytest.mark.compiles_much
def test_one_step_of_training_moves_every_weight():
    model = GPT2(**SMALL, max_length=8, dropout=0.2, embedding_dropout=0.1, seed=1)
    model.compile("adam", "mse")
    before = model.get_weights()
    ids = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    model.fit(inputs, np.ones((2, 4, 9)), epochs=1, verbose=0)
    moved = [(a != b).any() for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(moved)


@pytest.mark.once
def test_every_argument_survives_a_keras_file(tmp_path):
    import keras

    from keras_attention.tokenizers.tokenizer_files import byte_pair_tokenizer

    tokenizer = byte_pair_tokenizer({"a": 0, "b": 1, "ab": 2}, [("a", "b")])
    arguments = {
        **SMALL,
        "tokenizer": tokenizer,
        "max_length": 8,
        "mlp_dim": 6,
        "activation": "relu",
        "epsilon": 0.1,
        "dropout": 0.2,
        "attention_dropout": 0.3,
        "embedding_dropout": 0.4,
        "head": "classification",
        "tie_embeddings": False,
        "num_classes": 3,
        "class_names": ["x", "y", "z"],
        "end_id": [3, 4],
        "padding_id": 5,
        "seed": 2,
        "name": "mine",
    }
    model = GPT2(**arguments)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    assert again.tokenizer == tokenizer
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
