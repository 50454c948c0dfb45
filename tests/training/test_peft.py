"""Adapters of the library peft, read and written: the outputs are those it computes."""

import json

import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import applications
from keras_attention.checkpoints.weights import named_weights
from keras_attention.training import add_lora
from keras_attention.training import load_lora
from keras_attention.training import save_lora

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
import torch  # noqa: E402

# peft 0.21 asks transformers by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")

SIZES = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3}
IDS = np.random.default_rng(0).integers(4, 20, (2, 5))
TEXTS = {"input_ids": IDS, "attention_mask": np.ones_like(IDS)}
PIXELS = np.random.default_rng(0).random((2, 8, 8, 3), "float32")


def gpt2():
    config = transformers.GPT2Config(
        vocab_size=20, n_positions=16, n_embd=12, n_layer=2, n_head=3
    )
    return transformers.GPT2LMHeadModel(config), TEXTS


def bert():
    config = transformers.BertConfig(
        vocab_size=20, intermediate_size=16, num_labels=3, **SIZES
    )
    return transformers.BertForSequenceClassification(config), TEXTS


def bare_bert():
    config = transformers.BertConfig(vocab_size=20, intermediate_size=16, **SIZES)
    return transformers.BertModel(config), TEXTS


def vit():
    config = transformers.ViTConfig(
        image_size=8, patch_size=4, intermediate_size=16, num_labels=3, **SIZES
    )
    pixels = PIXELS.transpose(0, 3, 1, 2)
    return transformers.ViTForImageClassification(config), {"pixel_values": pixels}


# How it is made; options of theirs; our targets.
CASES = {
    "gpt2": (gpt2, {"target_modules": ["c_attn", "mlp.c_fc"], "fan_in_fan_out": True}),
    "gpt2_patterns": (
        gpt2,
        {
            "target_modules": ["c_attn", "attn.c_proj"],
            "rank_pattern": {"c_attn": 3},
            "alpha_pattern": {"attn.c_proj": 5},
            "use_rslora": True,
            "fan_in_fan_out": True,
        },
    ),
    "bert": (
        bert,
        {"target_modules": ["query", "value"], "modules_to_save": ["classifier"]},
    ),
    "bare_bert": (bare_bert, {"target_modules": ["key", "attention.output.dense"]}),
    "vit": (vit, {"target_modules": ["q_proj", "v_proj", "fc1"]}),
}


def ours_of(found):
    """The outputs of our model for the same inputs."""

    def run(model):
        if type(model).__name__ == "ViT":
            return to_numpy(model(PIXELS))
        inputs = {"token_ids": IDS, "padding_mask": np.ones_like(IDS)}
        if type(model).__name__ == "BERT":
            inputs["segment_ids"] = 0 * IDS
        outputs = model(inputs)
        return to_numpy(outputs["tokens"] if isinstance(outputs, dict) else outputs)

    return run(found)


def theirs_of(model, inputs):
    with torch.no_grad():
        outputs = model.eval()(**{k: torch.tensor(v) for k, v in inputs.items()})
    return outputs[0].numpy()


def shake(parameters):
    with torch.no_grad():
        for number, parameter in enumerate(parameters):
            generator = torch.Generator().manual_seed(number)
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("case", CASES)
def test_what_peft_wrote_computes_the_same(tmp_path, case):
    make, options = CASES[case]
    base, inputs = make()
    base.save_pretrained(tmp_path / "base")
    adapted = peft.get_peft_model(base, peft.LoraConfig(r=2, lora_alpha=3, **options))
    shake(p for p in adapted.parameters() if p.requires_grad)
    adapted.save_pretrained(tmp_path / "adapter")
    expected = theirs_of(adapted, inputs)

    model = applications.from_preset(tmp_path / "base")
    assert np.abs(ours_of(model) - expected).max() > 1e-2
    load_lora(model, tmp_path / "adapter")
    np.testing.assert_allclose(ours_of(model), expected, atol=1e-5)

    # And back: a new model of theirs with what we write.
    save_lora(model, tmp_path / "ours")
    again = type(base).from_pretrained(tmp_path / "base")
    again = peft.PeftModel.from_pretrained(again, tmp_path / "ours")
    np.testing.assert_allclose(theirs_of(again, inputs), expected, atol=1e-5)


@pytest.mark.parametrize("case", ["gpt2", "vit"])
def test_what_is_trained_here_computes_the_same_there(tmp_path, case):
    """GPT-2's adapters of queries and values are one of its joint projection there."""
    make, _ = CASES[case]
    base, inputs = make()
    base.save_pretrained(tmp_path / "base")
    model = applications.from_preset(tmp_path / "base")
    add_lora(model, rank=2, alpha=3.0, targets=("query", "value", "output"))
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0.0, 0.3, weight.shape))
    save_lora(model, tmp_path / "ours")
    again = peft.PeftModel.from_pretrained(base, tmp_path / "ours")
    expected = ours_of(model)
    np.testing.assert_allclose(theirs_of(again, inputs), expected, atol=1e-5)
    other = applications.from_preset(tmp_path / "base")
    load_lora(other, tmp_path / "ours")
    np.testing.assert_allclose(ours_of(other), expected, atol=1e-5)


def test_folders_that_do_not_fit(tmp_path):
    base, _ = bert()
    base.save_pretrained(tmp_path / "base")
    options = {"r": 2, "target_modules": ["query"]}
    adapted = peft.get_peft_model(base, peft.LoraConfig(**options))
    adapted.save_pretrained(tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    model = applications.from_preset(tmp_path / "base")
    names = list(named_weights(model))

    def refused(message, **changes):
        text = config.read_text()
        config.write_text(json.dumps({**json.loads(text), **changes}))
        with pytest.raises(ValueError, match=message):
            load_lora(model, tmp_path / "adapter")
        config.write_text(text)
        assert list(named_weights(model)) == names

    refused("has use_dora=True, which is unknown here. Expected False", use_dora=True)
    refused("has peft_type='IA3'", peft_type="IA3")
    refused("has bias='all'", bias="all")
    wide = applications.BERT(
        vocabulary_size=20, hidden_dim=24, num_layers=2, num_heads=3, mlp_dim=16
    )
    with pytest.raises(ValueError, match=r"does not fit BERT .*Nothing was loaded"):
        load_lora(wide, tmp_path / "adapter")
    with pytest.raises(ValueError, match="There is no adapter_config.json in"):
        load_lora(model, tmp_path)
    recurrent = applications.AttentionSeq2Seq(
        source_vocabulary_size=9, target_vocabulary_size=8, hidden_dim=4, word_dim=4
    )
    add_lora(recurrent, rank=1, targets="query", also_train=[])
    with pytest.raises(ValueError, match="has no published layout, so peft has no"):
        save_lora(recurrent, tmp_path / "recurrent")
